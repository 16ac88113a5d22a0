//! Members are asked to stop (SIGTERM) and started again one after the other, each when the one before is
//! ready, as for a new release. All of it happens at the beginning of the fault: other nemeses wait.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::net::TcpStream;

use super::victims::{list, sound};
use super::{Nemesis, Struck};
use crate::harness::{MemberId, within};
use crate::history::Timers;
use crate::run::Arena;

/// A member that is not ready within this time (it may be cut off) is not waited for any longer.
const READY_LIMIT: Duration = Duration::from_secs(8);
/// A process that does not listen within this time is not restarted.
const LISTEN_LIMIT: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct RollingRestart;

impl RollingRestart {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        Box::new(Self)
    }
}

impl Nemesis for RollingRestart {
    fn hold(&self, _timers: &Timers) -> RangeInclusive<Duration> {
        Duration::ZERO..=Duration::from_millis(200)
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let free = sound(arena);
            let order = arena.draw(&free, free.len());
            if order.is_empty() {
                return Err("no member is there to be restarted".to_owned());
            }
            let mut shown = Some(Vec::new());
            for id in &order {
                // Another fault may have got it by now.
                arena.look_after_members();
                let Some(before) = arena.cluster.pid(*id) else { continue };
                if !listens(arena, *id).await {
                    continue;
                }
                arena.stop(*id).await;
                arena.start(*id);
                let ready = is_ready(arena, *id).await;
                match (arena.cluster.pid(*id).filter(|now| *now != before), &mut shown) {
                    (Some(now), Some(shown)) => {
                        let ready = if ready { "ready" } else { "not ready in time" };
                        shown.push(format!("process {before} of member {id} is now {now}, {ready}"));
                    }
                    _ => shown = None,
                }
            }
            let evidence = shown.filter(|shown| !shown.is_empty()).map(|shown| shown.join("; "));
            let detail = format!("in the order {}", list(&order));
            Ok(Struck { members: order, evidence, detail })
        })
    }

    fn end<'a>(&'a mut self, _arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async { Some("every one of them was started".to_owned()) })
    }
}

/// Whether its process has come so far that it can be asked to stop: another nemesis may have started it just
/// now, and a signal before the first instruction of its own ends it like any other program.
async fn listens(arena: &Arena, id: MemberId) -> bool {
    let address = arena.cluster.api_address(id);
    within(LISTEN_LIMIT, async || TcpStream::connect(&address).await.ok()).await.is_some()
}

async fn is_ready(arena: &Arena, id: MemberId) -> bool {
    let api = arena.cluster.api(id).with_limit(Duration::from_secs(1));
    within(READY_LIMIT, async || api.is_ready().await.then_some(())).await.is_some()
}
