//! What health checks ask, and what they found: kept up to date node by node, so that a change costs
//! what it changes and not what there is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kenger_types::{HealthPath, Host, NamespaceName, Node, Port};

use super::view::NamespaceView;

/// Changes that are remembered until the health checks ask for them; when there are more, they are
/// told everything instead.
const CHANGES_MAX: usize = 1 << 16;

/// What a health check connects to and asks for. Nodes of several namespaces that share an address
/// and a path share the check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: Port,
    pub(crate) path: HealthPath,
}

impl Target {
    pub(super) fn of(view: &NamespaceView, node: &Node) -> Self {
        Self { host: node.host.clone(), port: node.port, path: view.health_path(node).clone() }
    }

    pub(super) fn is_of(&self, view: &NamespaceView, node: &Node) -> bool {
        (&self.host, self.port, &self.path) == (&node.host, node.port, view.health_path(node))
    }
}

/// A target with what is known of it. New ones count as healthy. Written under the router's lock.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) target: Target,
    is_healthy: AtomicBool,
}

impl Checked {
    pub(super) fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Relaxed)
    }
}

/// What has become of the targets since the health checks last asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TargetChanges {
    /// Everything that there is, and whether it counts as healthy.
    All(Vec<(Target, bool)>),
    /// These are different.
    Some(Vec<TargetChange>),
}

/// What has become of one target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TargetChange {
    pub(crate) target: Target,
    /// It was gone meanwhile: what was known of it counts no more.
    pub(crate) was_removed: bool,
    pub(crate) is_present: bool,
}

/// The online nodes' targets.
#[derive(Debug, Default)]
pub(super) struct Targets {
    all: HashMap<Target, Used>,
    /// Which may be different, and whether they were gone meanwhile; `None`: any.
    changed: Option<HashMap<Target, bool>>,
}

/// A target, and the namespaces that have a node there.
#[derive(Debug)]
struct Used {
    checked: Arc<Checked>,
    namespaces: Vec<NamespaceName>,
}

impl Targets {
    /// One more namespace has a node there.
    pub(super) fn acquire(&mut self, target: Target, namespace: &NamespaceName) -> Arc<Checked> {
        match self.all.entry(target) {
            Entry::Occupied(mut known) => {
                known.get_mut().namespaces.push(namespace.clone());
                Arc::clone(&known.get().checked)
            }
            Entry::Vacant(new) => {
                let target = new.key().clone();
                note(&mut self.changed, &target, false);
                let checked = Arc::new(Checked { target, is_healthy: AtomicBool::new(true) });
                new.insert(Used { checked: Arc::clone(&checked), namespaces: vec![namespace.clone()] });
                checked
            }
        }
    }

    /// A namespace has no node there any more. What was known of a target that nobody has is forgotten.
    pub(super) fn release(&mut self, checked: &Checked, namespace: &NamespaceName) {
        let Some(used) = self.all.get_mut(&checked.target) else { return };
        used.namespaces.retain(|name| name != namespace);
        if used.namespaces.is_empty() {
            self.all.remove(&checked.target);
            note(&mut self.changed, &checked.target, true);
        }
    }

    /// Notes what a check found; the namespaces that have a node there, if that is news.
    pub(super) fn set_health(&self, target: &Target, is_healthy: bool) -> &[NamespaceName] {
        match self.all.get(target) {
            Some(used) if used.checked.is_healthy() != is_healthy => {
                used.checked.is_healthy.store(is_healthy, Ordering::Relaxed);
                &used.namespaces
            }
            _ => &[],
        }
    }

    /// What is different since the last call; at first everything.
    pub(super) fn take_changes(&mut self) -> TargetChanges {
        match self.changed.replace(HashMap::new()) {
            None => {
                let all = self.all.iter();
                TargetChanges::All(
                    all.map(|(target, used)| (target.clone(), used.checked.is_healthy())).collect(),
                )
            }
            Some(changed) => {
                let change = |(target, was_removed)| {
                    let is_present = self.all.contains_key(&target);
                    TargetChange { target, was_removed, is_present }
                };
                TargetChanges::Some(changed.into_iter().map(change).collect())
            }
        }
    }
}

fn note(changed: &mut Option<HashMap<Target, bool>>, target: &Target, was_removed: bool) {
    let Some(targets) = changed else { return };
    if targets.len() >= CHANGES_MAX {
        *changed = None;
        return;
    }
    *targets.entry(target.clone()).or_default() |= was_removed;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;

    fn target(port: u16) -> Target {
        let node = node("demo", port, 1);
        Target { host: node.host, port: node.port, path: HealthPath::default() }
    }

    fn names() -> [NamespaceName; 2] {
        ["a".parse().unwrap(), "b".parse().unwrap()]
    }

    #[test]
    fn everything_is_told_first_and_then_what_changed() {
        let ([a, b], mut targets) = (names(), Targets::default());
        let first = targets.acquire(target(1), &a);
        assert_eq!(targets.take_changes(), TargetChanges::All(vec![(target(1), true)]));
        assert_eq!(targets.take_changes(), TargetChanges::Some(Vec::new()));
        targets.acquire(target(1), &b);
        targets.release(&first, &a);
        assert_eq!(targets.take_changes(), TargetChanges::Some(Vec::new()), "it is still there");
        targets.release(&first, &b);
        let gone = TargetChange { target: target(1), was_removed: true, is_present: false };
        assert_eq!(targets.take_changes(), TargetChanges::Some(vec![gone]));
    }

    #[test]
    fn a_target_that_was_gone_for_a_moment_is_told_to_be_a_new_one() {
        let ([a, _], mut targets) = (names(), Targets::default());
        let first = targets.acquire(target(1), &a);
        targets.set_health(&target(1), false);
        targets.take_changes();
        targets.release(&first, &a);
        assert!(targets.acquire(target(1), &a).is_healthy());
        let anew = TargetChange { target: target(1), was_removed: true, is_present: true };
        assert_eq!(targets.take_changes(), TargetChanges::Some(vec![anew]));
    }

    #[test]
    fn who_does_not_ask_makes_nothing_grow() {
        let ([a, _], mut targets) = (names(), Targets::default());
        targets.take_changes();
        let mut churn = |ports: std::ops::RangeInclusive<u16>, path: &str| {
            for port in ports {
                let target = Target { path: path.parse().unwrap(), ..target(port) };
                let checked = targets.acquire(target, &a);
                targets.release(&checked, &a);
            }
        };
        churn(1..=u16::MAX, "/a");
        churn(1..=10, "/b");
        assert_eq!(targets.changed, None);
        assert_eq!(targets.take_changes(), TargetChanges::All(Vec::new()));
    }

    #[test]
    fn only_news_about_a_present_target_concern_anybody() {
        let ([a, b], mut targets) = (names(), Targets::default());
        targets.acquire(target(1), &a);
        targets.acquire(target(1), &b);
        assert_eq!(targets.set_health(&target(1), false), names());
        assert!(targets.set_health(&target(1), false).is_empty());
        assert!(targets.set_health(&target(2), false).is_empty());
    }
}
