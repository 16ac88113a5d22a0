//! Calls about namespaces.

use kenger_types::Namespace;
use kenger_types::api::{NamespaceAdd, NamespaceDelete, NamespaceUpdate, path};
use serde::de::IgnoredAny;

use super::call::{Call, Repeat};
use super::{Answer, Client, Consistency};
use crate::Error;

impl Client {
    /// All namespaces, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn namespaces(&self, consistency: Consistency) -> Result<Answer<Vec<Namespace>>, Error> {
        self.call(&Call::get(path::NAMESPACE_LIST).consistency(consistency)).await
    }

    /// Makes a namespace. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`]; a taken name is [`kenger_types::ErrorCode::NamespaceExists`].
    pub async fn add_namespace(&self, body: &NamespaceAdd) -> Result<Namespace, Error> {
        Ok(self.call(&Call::post(path::NAMESPACE_ADD, body, Repeat::Never)?).await?.data)
    }

    /// Changes a namespace; answers what it is now. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_namespace(&self, body: &NamespaceUpdate) -> Result<Namespace, Error> {
        Ok(self.call(&Call::post(path::NAMESPACE_UPDATE, body, Repeat::Never)?).await?.data)
    }

    /// Deletes a namespace and all its nodes. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_namespace(&self, body: &NamespaceDelete) -> Result<(), Error> {
        self.call::<IgnoredAny>(&Call::post(path::NAMESPACE_DELETE, body, Repeat::Never)?).await.map(drop)
    }
}
