//! A wall clock that jumps is nobody's death.

use std::time::Duration;

use jepsen_tests::harness::{Cluster, FakeClock, Settings, Sse, skip};
use kenger_types::Metadata;
use kenger_types::feed::ChangeEvent;
use tokio::time::{Instant, sleep, timeout};

use crate::agreement::place;
use crate::leases::{Alive, TTL, settings};

const HOUR: i64 = 3_600;

#[tokio::test]
async fn nodes_live_and_die_by_the_monotonic_clock_while_the_wall_clock_jumps() {
    let folder = tempfile::tempdir().unwrap();
    let clock = match FakeClock::new(folder.path()).await {
        Ok(clock) => clock,
        Err(reason) => {
            return skip("nodes_live_and_die_by_the_monotonic_clock_while_the_wall_clock_jumps", &reason);
        }
    };
    let cluster = Cluster::start(Settings { environment: clock.environment(), ..settings() }).await;
    let leader = cluster.wait_for_leader().await;
    let api = cluster.api(leader);
    let alive = Alive::start(&cluster, "heard", leader % 3 + 1).await;

    let mut shown = Vec::new();
    for (number, jump) in (1..).zip([0, HOUR, -HOUR, 24 * HOUR, 0]) {
        clock.jump(jump);
        let node = place(&format!("registered-{number}"), 80);
        shown.push(api.register(&node, Metadata::default()).await.acknowledged().created_at.unix_ms());
        sleep(TTL / 3).await;
    }
    // The members did see the jumps: what is for people moved with them.
    let hour = |from: usize, to: usize| shown[to].abs_diff(shown[from]) / 3_600_000;
    assert_eq!((hour(0, 1), hour(1, 2), hour(2, 3)), (1, 1, 25), "{shown:?}");

    // A silent node keeps its time although the wall clock jumps far past it, and no longer.
    let mut feed = Sse::open(&api, None).await.unwrap();
    let silent = place("silent", 80);
    let registered = Instant::now();
    api.register(&silent, Metadata::default()).await.acknowledged();
    clock.jump(HOUR);
    let offline = timeout(TTL * 3, async {
        loop {
            let event = feed.next().await.expect("the stream goes on");
            if event.name == "change" {
                let event: ChangeEvent = serde_json::from_str(&event.data).unwrap();
                let text = serde_json::to_string(&event.changes).unwrap();
                if text.contains("\"silent\"") && text.contains("\"expired\"") {
                    return registered.elapsed();
                }
            }
        }
    });
    let offline = offline.await.expect("a silent node goes offline");
    let limit = TTL + cluster.settings().lease_tick + Duration::from_secs(1);
    assert!((TTL..limit).contains(&offline), "offline after {offline:?}");
    alive.was_never_offline(&cluster, TTL).await;
}
