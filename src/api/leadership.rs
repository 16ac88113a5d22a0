//! Who leads, watched once for all streams.

use std::time::Duration;

use kenger_cluster::{Leadership, Member};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the member is asked; a stream ends at most this much later than its leader is lost.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Follows who leads until `stopping` is cancelled. `lag` is only as fresh as the last change of the
/// leader: ask the member for it.
pub(super) fn follow(member: Member, stopping: CancellationToken) -> watch::Receiver<Leadership> {
    let (sender, receiver) = watch::channel(member.leadership());
    tokio::spawn(stopping.run_until_cancelled_owned(async move {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = member.leadership();
            sender.send_if_modified(|known| {
                let changed = known.leader != now.leader || known.is_leader != now.is_leader;
                if changed {
                    *known = now;
                }
                changed
            });
        }
    }));
    receiver
}
