//! Active health checks: asks every online node again and again and tells the router what changed.
//!
//! New nodes count as healthy until a check says otherwise; a node that left the registry is not
//! asked any more, and what was known of it is forgotten.

mod probe;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::config::HealthConfig;
use crate::metrics::Counter;
use crate::routing::{Router, Target, TargetChange, TargetChanges};
use probe::probe;

/// Most checks at the same time.
const CONCURRENT_CHECKS_MAX: usize = 256;
/// The time to the next check varies by this many per cent, so that many gateways do not ask at once.
const JITTER_PERCENT: u64 = 10;
/// A new node is asked within this part of the interval.
const FIRST_CHECK_PART: u32 = 4;

/// Findings of this long are told together: when a whole service falls, that is many in a moment, and
/// each telling may make a table.
const TELL_AFTER: Duration = Duration::from_millis(5);

/// What the checks found, counted.
#[derive(Debug, Default)]
pub(crate) struct HealthCounters {
    pub(crate) good: Counter,
    pub(crate) bad: Counter,
}

/// Names a check, so that what is told of a removed one is not taken for its successor's.
type CheckId = u64;

struct Check {
    target: Target,
    is_healthy: bool,
    /// How many findings in a row were against `is_healthy`.
    against: u32,
    running: Option<AbortHandle>,
}

#[derive(Clone, Copy)]
struct Finding {
    id: CheckId,
    began: Instant,
    is_good: bool,
}

/// Checks all nodes of the router. Never ends.
pub(crate) async fn run(config: HealthConfig, router: Arc<Router>, counters: Arc<HealthCounters>) {
    let changes = router.view_changes();
    let mut checks = Checks::new(config, counters);
    checks.run(&router, changes).await;
}

struct Checks {
    config: HealthConfig,
    counters: Arc<HealthCounters>,
    by_id: HashMap<CheckId, Check>,
    ids: HashMap<Target, CheckId>,
    next_id: CheckId,
    /// When which check is due; checks that are gone are skipped.
    due: BinaryHeap<Reverse<(Instant, CheckId)>>,
    running: JoinSet<Finding>,
    /// What has turned and was not told yet, and when it is to be.
    turned: Vec<(Target, bool)>,
    tell_at: Option<Instant>,
    random: fastrand::Rng,
}

impl Checks {
    fn new(config: HealthConfig, counters: Arc<HealthCounters>) -> Self {
        Self {
            config,
            counters,
            by_id: HashMap::new(),
            ids: HashMap::new(),
            next_id: 0,
            due: BinaryHeap::new(),
            running: JoinSet::new(),
            turned: Vec::new(),
            tell_at: None,
            random: fastrand::Rng::new(),
        }
    }

    async fn run(&mut self, router: &Router, mut changes: watch::Receiver<()>) {
        self.follow(router.take_target_changes());
        loop {
            let next_due = self.due.peek().map(|Reverse((due, _))| *due);
            let may_start = self.running.len() < CONCURRENT_CHECKS_MAX;
            let at = next_due.unwrap_or_else(Instant::now);
            let tell_at = self.tell_at;
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.follow(router.take_target_changes());
                }
                Some(first) = self.running.join_next() => {
                    let mut findings: Vec<_> = first.into_iter().collect();
                    while let Some(next) = self.running.try_join_next() {
                        findings.extend(next);
                    }
                    for finding in findings {
                        let turned = self.judge(finding);
                        self.turned.extend(turned);
                    }
                    if !self.turned.is_empty() && self.tell_at.is_none() {
                        self.tell_at = Some(Instant::now() + TELL_AFTER);
                    }
                }
                () = tokio::time::sleep_until(tell_at.unwrap_or(at)), if tell_at.is_some() => {
                    self.tell_at = None;
                    router.report_health(self.turned.drain(..));
                }
                () = tokio::time::sleep_until(at), if may_start && next_due.is_some() => self.start_due(),
            }
        }
    }

    /// Begins to check what is new and forgets what is gone.
    fn follow(&mut self, changes: TargetChanges) {
        match changes {
            TargetChanges::All(all) => {
                let present: HashSet<_> = all.iter().map(|(target, _)| target).collect();
                let gone: Vec<_> =
                    self.ids.keys().filter(|target| !present.contains(target)).cloned().collect();
                gone.iter().for_each(|target| self.forget(target));
                for (target, is_healthy) in all {
                    match self.ids.get(&target).and_then(|id| self.by_id.get_mut(id)) {
                        Some(check) => (check.is_healthy, check.against) = (is_healthy, 0),
                        None => self.begin(target),
                    }
                }
            }
            TargetChanges::Some(changes) => {
                for TargetChange { target, was_removed, is_present } in changes {
                    if was_removed {
                        self.forget(&target);
                    }
                    if is_present && !self.ids.contains_key(&target) {
                        self.begin(target);
                    }
                }
            }
        }
    }

    fn begin(&mut self, target: Target) {
        let id = self.next_id;
        self.next_id += 1;
        let within = self.config.interval / FIRST_CHECK_PART;
        let first = Instant::now() + self.random_part(within);
        self.due.push(Reverse((first, id)));
        self.ids.insert(target.clone(), id);
        self.by_id.insert(id, Check { target, is_healthy: true, against: 0, running: None });
    }

    fn forget(&mut self, target: &Target) {
        // What was found of it must not be told of its successor.
        self.turned.retain(|(turned, _)| turned != target);
        let check = self.ids.remove(target).and_then(|id| self.by_id.remove(&id));
        if let Some(running) = check.and_then(|check| check.running) {
            running.abort();
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        while self.running.len() < CONCURRENT_CHECKS_MAX {
            match self.due.peek() {
                Some(Reverse((due, _))) if *due <= now => {}
                _ => return,
            }
            let Some(Reverse((_, id))) = self.due.pop() else { return };
            let Some(check) = self.by_id.get_mut(&id) else { continue };
            let target = check.target.clone();
            let (expected, timeout) = (self.config.expected_status, self.config.timeout);
            check.running = Some(self.running.spawn(async move {
                let found = probe(&target, expected, timeout).await;
                if let Err(error) = &found {
                    tracing::debug!(host = %target.host, port = %target.port, path = %target.path, %error, "a health check failed");
                }
                Finding { id, began: now, is_good: found.is_ok() }
            }));
        }
    }

    /// Notes a finding and plans the next check; the node and its new health if that has turned.
    fn judge(&mut self, finding: Finding) -> Option<(Target, bool)> {
        if finding.is_good { &self.counters.good } else { &self.counters.bad }.increment();
        let next = finding.began + self.jittered_interval();
        let check = self.by_id.get_mut(&finding.id)?;
        check.running = None;
        self.due.push(Reverse((next, finding.id)));
        if finding.is_good == check.is_healthy {
            check.against = 0;
            return None;
        }
        check.against += 1;
        let needed = if finding.is_good { self.config.rise } else { self.config.fall };
        if check.against < needed {
            return None;
        }
        (check.is_healthy, check.against) = (finding.is_good, 0);
        let target = &check.target;
        tracing::info!(host = %target.host, port = %target.port, is_healthy = finding.is_good, "the health of a node has turned");
        Some((target.clone(), finding.is_good))
    }

    fn jittered_interval(&mut self) -> Duration {
        let interval = self.config.interval;
        let spread = interval * u32::try_from(2 * JITTER_PERCENT).unwrap_or(0) / 100;
        interval - spread / 2 + self.random_part(spread)
    }

    /// A random time shorter than `whole`.
    fn random_part(&mut self, whole: Duration) -> Duration {
        let us = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.random.u64(..us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;

    fn checks(rise: u32, fall: u32) -> Checks {
        let config = HealthConfig {
            is_on: true,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            expected_status: 200,
            rise,
            fall,
        };
        let mut checks = Checks::new(config, Arc::default());
        let node = node("demo", 1, 1);
        let target = Target { host: node.host, port: node.port, path: Default::default() };
        checks.next_id = 1;
        checks.by_id.insert(0, Check { target, is_healthy: true, against: 0, running: None });
        checks
    }

    fn judged(checks: &mut Checks, found: &[bool]) -> Vec<Option<bool>> {
        let began = Instant::now();
        let mut one = |is_good: &bool| checks.judge(Finding { id: 0, began, is_good: *is_good });
        found.iter().map(|is_good| one(is_good).map(|(_, is_healthy)| is_healthy)).collect()
    }

    #[test]
    fn one_finding_turns_the_health_by_default() {
        let turned = judged(&mut checks(1, 1), &[true, false, false, true, true]);
        assert_eq!(turned, [None, Some(false), None, Some(true), None]);
    }

    #[test]
    fn findings_in_a_row_are_needed_where_it_is_configured() {
        let turned =
            judged(&mut checks(2, 3), &[false, false, true, false, false, false, true, false, true, true]);
        let expected = [None, None, None, None, None, Some(false), None, None, None, Some(true)];
        assert_eq!(turned, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_gone_for_a_moment_is_asked_as_a_new_one() {
        let mut checks = checks(1, 1);
        let target = checks.by_id[&0].target.clone();
        checks.ids.insert(target.clone(), 0);
        assert_eq!(judged(&mut checks, &[false]), [Some(false)]);
        checks.turned.push((target.clone(), false));
        let anew = TargetChange { target: target.clone(), was_removed: true, is_present: true };
        checks.follow(TargetChanges::Some(vec![anew]));
        assert_eq!(checks.turned, []);
        let id = checks.ids[&target];
        assert!(id != 0 && checks.by_id[&id].is_healthy);
        let finding = Finding { id, began: Instant::now(), is_good: false };
        assert_eq!(checks.judge(finding), Some((target.clone(), false)), "that it is unwell is told again");
        checks.follow(TargetChanges::All(vec![(target.clone(), true)]));
        let finding = Finding { id, began: Instant::now(), is_good: false };
        assert_eq!(checks.judge(finding), Some((target, false)), "the router counted it as healthy");
        checks.follow(TargetChanges::All(Vec::new()));
        assert!(checks.ids.is_empty() && checks.by_id.is_empty());
    }

    #[test]
    fn a_finding_about_a_removed_check_is_ignored() {
        let mut checks = checks(1, 1);
        checks.by_id.clear();
        assert_eq!(judged(&mut checks, &[false]), [None]);
        assert!(checks.due.is_empty());
    }
}
