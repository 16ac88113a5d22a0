//! Members are killed (SIGKILL), as by the kernel when memory runs out, and started again.

use futures_util::future::LocalBoxFuture;

use super::victims::{self, Whom};
use super::{Nemesis, Struck};
use crate::harness::MemberId;
use crate::run::Arena;

/// See the module.
pub(super) struct Kill {
    whom: Whom,
    killed: Vec<MemberId>,
}

impl Kill {
    pub(super) fn boxed(whom: Whom) -> Box<dyn Nemesis> {
        Box::new(Self { whom, killed: Vec::new() })
    }
}

impl Nemesis for Kill {
    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            self.killed = self.whom.choose(arena).await?;
            let evidence = victims::kill(arena, &self.killed);
            let detail = format!("{:?}: {}", self.whom, victims::list(&self.killed));
            Ok(Struck { members: self.killed.clone(), evidence, detail })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async { victims::start(arena, &std::mem::take(&mut self.killed)) })
    }
}
