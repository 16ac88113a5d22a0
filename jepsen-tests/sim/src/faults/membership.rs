//! Members come and go: a spare is added, promoted, and another one is removed for it.

use std::time::Duration;

use jepsen_tests::history::{Happened, Phase};
use kenger_types::MemberId;
use tokio::time::{Instant, sleep, timeout};

use super::Faults;
use crate::machine::{Change, Machine};
use crate::world::Order;

/// Between two tries, each at the member that leads by then.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// One answer takes no longer; what came of it is not known then, and it is done again.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
/// A change that is not done within this time is given up: other faults may last as long.
const CHANGE_LIMIT: Duration = Duration::from_secs(20);

impl Faults {
    /// Lets spares come and others go until `end`.
    pub(crate) async fn of_membership(mut self, end: Instant) {
        while self.calm(end).await {
            let joined = self.world.joined();
            let next = self
                .world
                .machines
                .iter()
                .find(|machine| machine.id() > joined.iter().copied().max().unwrap_or(0));
            let Some(spare) = next.cloned() else { return };
            self.replace(&spare).await;
        }
    }

    /// Adds a spare and removes somebody else.
    async fn replace(&mut self, spare: &Machine) {
        let id = spare.id();
        let number = self.next_number();
        self.recorder.note_life(&format!("member {id}"), Happened::Started);
        let mut steps = Vec::new();
        let mut is_done = self.change(&Change::Add(spare.place()), &mut steps).await;
        if is_done {
            self.world.join(id);
            is_done = self.change(&Change::Promote(MemberId(id)), &mut steps).await;
        }
        let what = format!("member {id}: {}", steps.join(", "));
        self.note(
            "membership",
            number,
            &[id],
            Phase::Begin,
            is_done.then(|| what.clone()).or(Some(what)),
            "",
        );
        if is_done {
            let mut steps = Vec::new();
            let others: Vec<_> = self.all().into_iter().filter(|other| *other != id).collect();
            let gone = others[self.rng.usize(..others.len())];
            if self.change(&Change::Remove(MemberId(gone)), &mut steps).await {
                self.world.leave(gone);
                self.give([Order::Kill(gone)]).await;
                self.recorder.note_life(&format!("member {gone}"), Happened::Killed);
            }
        }
        self.note("membership", number, &[id], Phase::End, Some("over".to_owned()), "");
    }

    /// Has whoever leads make a change, until it is made; whether it was.
    async fn change(&mut self, change: &Change, steps: &mut Vec<String>) -> bool {
        let until = Instant::now() + CHANGE_LIMIT;
        while Instant::now() < until {
            for id in self.all() {
                let Some(machine) = self.world.machine(id).cloned() else { continue };
                let answered = timeout(ANSWER_LIMIT, machine.change(change.clone())).await;
                if matches!(answered, Ok(Ok(()))) {
                    steps.push(format!("{change:?} by member {id}"));
                    return true;
                }
            }
            sleep(RETRY_EVERY).await;
        }
        steps.push(format!("{change:?} was not done"));
        false
    }
}
