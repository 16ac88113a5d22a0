//! Commands about namespaces.

use std::sync::Arc;

use kenger_types::feed::{Change, NodeCause};
use kenger_types::{Description, HealthPath, NamespaceId, NamespaceName, Revision};

use crate::apply::{Transition, check_revision};
use crate::command::NamespaceKey;
use crate::outcome::{LeaseEffect, Output, Rejection};
use crate::record::{NamespaceRecord, NodeRecord};

impl Transition<'_> {
    pub(crate) fn add_namespace(
        &mut self,
        name: &NamespaceName,
        description: &Description,
        health_path: &HealthPath,
    ) -> Result<Output, Rejection> {
        self.check_free(name)?;
        Ok(Output::Namespace(self.make_namespace(name, description, health_path)))
    }

    pub(crate) fn update_namespace(
        &mut self,
        key: &NamespaceKey,
        new_name: Option<&NamespaceName>,
        description: Option<&Description>,
        health_path: Option<&HealthPath>,
        if_revision: Option<Revision>,
    ) -> Result<Output, Rejection> {
        let before = self.find_namespace(key)?;
        check_revision(if_revision, before.mod_revision)?;
        let new_name = new_name.filter(|name| **name != before.name);
        if let Some(name) = new_name {
            self.check_free(name)?;
        }

        let mut after = NamespaceRecord::clone(&before);
        after.name = new_name.unwrap_or(&before.name).clone();
        after.description = description.unwrap_or(&before.description).clone();
        after.health_path = health_path.unwrap_or(&before.health_path).clone();
        if after == *before {
            return Ok(Output::Namespace(before));
        }
        if new_name.is_some() {
            self.changes.push(Change::NamespaceDeleted { id: before.id, name: before.name.clone() });
        }
        let after = self.put_namespace(after);
        if new_name.is_some() {
            self.rename_nodes(&after);
        }
        Ok(Output::Namespace(after))
    }

    pub(crate) fn delete_namespace(
        &mut self,
        key: &NamespaceKey,
        if_revision: Option<Revision>,
    ) -> Result<Output, Rejection> {
        let namespace = self.find_namespace(key)?;
        check_revision(if_revision, namespace.mod_revision)?;
        let nodes = self.state.remove_namespace(namespace.id);
        self.leases.extend(nodes.iter().map(|node| LeaseEffect::Removed { id: node.id }));
        self.changes.push(Change::NamespaceDeleted { id: namespace.id, name: namespace.name.clone() });
        Ok(Output::NamespaceDeleted(namespace, nodes.len() as u64))
    }

    /// A new namespace; its name is free.
    pub(crate) fn make_namespace(
        &mut self,
        name: &NamespaceName,
        description: &Description,
        health_path: &HealthPath,
    ) -> Arc<NamespaceRecord> {
        let id = self.state.next_namespace_id;
        self.state.next_namespace_id = NamespaceId(id.0 + 1);
        self.put_namespace(NamespaceRecord {
            id,
            name: name.clone(),
            description: description.clone(),
            health_path: health_path.clone(),
            created_at_ms: self.at_ms,
            updated_at_ms: self.at_ms,
            mod_revision: self.revision,
        })
    }

    /// Writes a namespace that is new or different.
    fn put_namespace(&mut self, mut namespace: NamespaceRecord) -> Arc<NamespaceRecord> {
        namespace.updated_at_ms = self.at_ms;
        namespace.mod_revision = self.revision;
        self.changes.push(Change::NamespacePut { namespace: namespace.view() });
        let namespace = Arc::new(namespace);
        self.state.put_namespace(Arc::clone(&namespace));
        namespace
    }

    /// Each node carries its namespace's name, so a rename is a change of each of them, too.
    fn rename_nodes(&mut self, namespace: &NamespaceRecord) {
        let nodes: Vec<_> = self.state.nodes_of(namespace.id).cloned().collect();
        for before in nodes {
            let after = NodeRecord { ns: namespace.name.clone(), ..NodeRecord::clone(&before) };
            self.put_node(Some(&before), after, NodeCause::NamespaceRenamed);
        }
    }

    fn check_free(&self, name: &NamespaceName) -> Result<(), Rejection> {
        match self.state.namespace(name) {
            Some(_) => Err(Rejection::NamespaceExists(name.clone())),
            None => Ok(()),
        }
    }
}
