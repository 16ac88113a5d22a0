//! Active health checks: asks every online node again and again and tells the router what changed.
//!
//! New nodes count as healthy until a check says otherwise; a node that left the registry is not
//! asked any more, and what was known of it is forgotten.

mod probe;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::config::HealthConfig;
use crate::metrics::Counter;
use crate::routing::{Router, Target};
use probe::probe;

/// Most checks at the same time.
const CONCURRENT_CHECKS_MAX: usize = 256;
/// The time to the next check varies by this many per cent, so that many gateways do not ask at once.
const JITTER_PERCENT: u64 = 10;
/// A new node is asked within this part of the interval.
const FIRST_CHECK_PART: u32 = 4;

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
            random: fastrand::Rng::new(),
        }
    }

    async fn run(&mut self, router: &Router, mut changes: watch::Receiver<()>) {
        self.follow(router);
        loop {
            let next_due = self.due.peek().map(|Reverse((due, _))| *due);
            let may_start = self.running.len() < CONCURRENT_CHECKS_MAX;
            let at = next_due.unwrap_or_else(Instant::now);
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.follow(router);
                }
                Some(first) = self.running.join_next() => {
                    let mut findings: Vec<_> = first.into_iter().collect();
                    while let Some(next) = self.running.try_join_next() {
                        findings.extend(next);
                    }
                    let turned: Vec<_> = findings.into_iter().filter_map(|finding| self.judge(finding)).collect();
                    if !turned.is_empty() {
                        router.report_health(turned);
                    }
                }
                () = tokio::time::sleep_until(at), if may_start && next_due.is_some() => self.start_due(),
            }
        }
    }

    /// Begins to check what is new and forgets what is gone.
    fn follow(&mut self, router: &Router) {
        let targets = router.targets();
        self.by_id.retain(|_, check| {
            let stays = targets.contains(&check.target);
            if !stays && let Some(running) = &check.running {
                running.abort();
            }
            stays
        });
        let by_id = &self.by_id;
        self.ids.retain(|_, id| by_id.contains_key(id));
        let now = Instant::now();
        for target in targets {
            if self.ids.contains_key(&target) {
                continue;
            }
            let id = self.next_id;
            self.next_id += 1;
            let within = self.config.interval / FIRST_CHECK_PART;
            let first = now + self.random_part(within);
            self.due.push(Reverse((first, id)));
            self.ids.insert(target.clone(), id);
            self.by_id.insert(id, Check { target, is_healthy: true, against: 0, running: None });
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

    #[test]
    fn a_finding_about_a_removed_check_is_ignored() {
        let mut checks = checks(1, 1);
        checks.by_id.clear();
        assert_eq!(judged(&mut checks, &[false]), [None]);
        assert!(checks.due.is_empty());
    }
}
