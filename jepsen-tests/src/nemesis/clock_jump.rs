//! The wall clock of members jumps, forwards or backwards, by seconds or by a day; the monotonic clock
//! does not. Somebody has set a clock by hand, or a time server was wrong.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::victims::{Whom, list, sorted};
use super::{Nemesis, Struck};
use crate::harness::{Clocks, MemberId};
use crate::run::{Arena, Setup};

/// By how many seconds; each way.
const JUMPS: [i64; 5] = [2, 45, 600, 3_600, 86_400];
/// What `date` says is that of a whole second, and takes a moment.
const TOLERANCE_SECONDS: i64 = 5;

/// See the module.
#[derive(Default)]
pub(super) struct ClockJump {
    moved: Vec<MemberId>,
}

impl ClockJump {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        Box::<Self>::default()
    }
}

fn clocks(arena: &Arena) -> Arc<Clocks> {
    Arc::clone(arena.cluster.settings().clocks.as_ref().expect("made before the members were started"))
}

/// What shows that the member lives by a clock that is now `seconds` off.
fn shown(arena: &Arena, id: MemberId, seconds: i64) -> Option<String> {
    let pid = arena.cluster.pid(id)?;
    let has_clock = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?.contains("libfaketime");
    let clocks = clocks(arena);
    let off = clocks.of(id).seen_off();
    (has_clock && (off - seconds).abs() <= TOLERANCE_SECONDS)
        .then(|| format!("the clock of member {id} is {off} s off"))
}

impl Nemesis for ClockJump {
    fn prepare<'a>(&'a mut self, setup: &'a mut Setup) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            if setup.settings.clocks.is_none() {
                let clocks = Clocks::new(&setup.folder, setup.settings.members).await?;
                setup.settings.clocks = Some(Arc::new(clocks));
            }
            Ok(())
        })
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let whom = if arena.rng.bool() { Whom::All } else { Whom::Some };
            let ids = whom.choose(arena).await?;
            let mut seconds = JUMPS[arena.rng.usize(..JUMPS.len())];
            if arena.rng.bool() {
                seconds = -seconds;
            }
            let clocks = clocks(arena);
            ids.iter().for_each(|id| clocks.of(*id).jump(seconds));
            let evidence = ids.iter().map(|id| shown(arena, *id, seconds)).collect::<Option<Vec<_>>>();
            self.moved = sorted(ids.clone());
            let detail = format!("{seconds:+} s for {}", list(&self.moved));
            Ok(Struck { members: ids, evidence: evidence.map(|shown| shown.join("; ")), detail })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async {
            let clocks = clocks(arena);
            let moved = std::mem::take(&mut self.moved);
            moved.iter().for_each(|id| clocks.of(*id).jump(0));
            let back = moved.iter().all(|id| clocks.of(*id).seen_off().abs() <= TOLERANCE_SECONDS);
            back.then(|| format!("the clocks of {} are right again", list(&moved)))
        })
    }
}
