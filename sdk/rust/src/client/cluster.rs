//! Calls about the members themselves.

use kenger_types::api::path;
use kenger_types::cluster::ClusterStatus;

use super::call::Call;
use super::{Answer, Client};
use crate::{Endpoint, Error};

impl Client {
    /// The cluster as the first member sees it that answers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cluster_status(&self) -> Result<Answer<ClusterStatus>, Error> {
        self.call(&Call::get(path::CLUSTER_STATUS)).await
    }

    /// Whether this member's process is up.
    ///
    /// # Errors
    /// See [`Error`]; it did not say so.
    pub async fn healthz(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.text(endpoint, path::HEALTHZ).await.map(drop)
    }

    /// Whether this member has a leader and has caught up.
    ///
    /// # Errors
    /// See [`Error`]; it did not say so.
    pub async fn readyz(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.text(endpoint, path::READYZ).await.map(drop)
    }

    /// This member's metrics, in Prometheus' text format.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn metrics(&self, endpoint: &Endpoint) -> Result<String, Error> {
        self.text(endpoint, path::METRICS).await
    }

    async fn text(&self, endpoint: &Endpoint, path: &'static str) -> Result<String, Error> {
        let raw = self.send_to(endpoint, &Call::get(path)).await?;
        String::from_utf8(raw.body).map_err(|_| Error::Unexpected {
            endpoint: endpoint.clone(),
            reason: "the answer is not text".to_owned(),
        })
    }
}
