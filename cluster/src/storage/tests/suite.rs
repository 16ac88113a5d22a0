//! openraft's own suite for stores.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::super::{LogStore, StoreCloser};
use super::fixtures::{Engine, machine, temp_dir};
use crate::config::StoreKind;
use crate::raft::machine::Machine;
use crate::raft::types::{MemberNode, TypeConfig};

/// The suite makes memberships of its own.
impl Default for MemberNode {
    fn default() -> Self {
        Self { peer: String::new(), api: String::new(), incarnation: kenger_types::Incarnation(0) }
    }
}

struct Builder(fn() -> Engine);

/// Keeps the directory for as long as the test of one store runs.
struct Guard {
    _closer: StoreCloser,
    _directory: TempDir,
}

impl StoreBuilder<TypeConfig, LogStore, Machine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, Machine), StorageError<TypeConfig>> {
        let directory = temp_dir();
        let opened = (self.0)().open(directory.path()).unwrap();
        let machine = machine(&opened);
        Ok((Guard { _closer: opened.closer, _directory: directory }, opened.log_store, machine))
    }
}

async fn run(engine: fn() -> Engine) {
    Suite::test_all(Builder(engine)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_passes_openraft_s_suite() {
    run(|| Engine::Disk(StoreKind::Sled)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_passes_openraft_s_suite() {
    run(|| Engine::Disk(StoreKind::Redb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_engine_passes_openraft_s_suite() {
    run(Engine::memory).await;
}
