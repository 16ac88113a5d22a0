//! Who this member is: `identity.json` in its data directory.
//!
//! The file is made once, with the directory, and changed once, when the member learns its cluster.
//! It is what keeps a directory that was emptied, copied or mixed up from passing for the one that
//! voted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use kenger_types::{ClusterId, Incarnation, MemberId};
use serde::{Deserialize, Serialize};

use crate::config::{MemberConfig, StoreKind};
use crate::env::{Disk, Env, Workers};
use crate::error::StartError;
use crate::storage::{files, manifest};
use crate::transport::PeerIdentity;

const IDENTITY_FILE: &str = "identity.json";
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    member_id: MemberId,
    incarnation: Incarnation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster_id: Option<ClusterId>,
    engine: String,
}

/// Who this member is. The cluster is the only part that is learned later.
#[derive(Debug)]
pub(crate) struct LocalIdentity {
    disk: Arc<dyn Disk>,
    workers: Workers,
    directory: PathBuf,
    member: MemberId,
    incarnation: Incarnation,
    /// What the file holds; locked while it is written.
    stored: Mutex<Stored>,
    cluster: ArcSwapOption<ClusterId>,
}

impl LocalIdentity {
    /// Reads the identity file, or makes one in a directory that has none yet.
    ///
    /// # Errors
    /// The file is damaged or belongs to another member or engine, or a store lies there without it.
    pub(crate) fn open(config: &MemberConfig, env: &Env) -> Result<Self, StartError> {
        let directory = config.data_dir.as_path();
        let storage = env.storage();
        let stored = match read(&*storage.disk, directory)? {
            Some(stored) => check(stored, config)?,
            None => make(config, env)?,
        };
        Ok(Self {
            disk: Arc::clone(&storage.disk),
            workers: storage.workers,
            directory: directory.to_owned(),
            member: stored.member_id,
            incarnation: stored.incarnation,
            cluster: ArcSwapOption::from_pointee(stored.cluster_id),
            stored: Mutex::new(stored),
        })
    }

    /// As it is told to other members.
    pub(crate) fn peer_identity(&self) -> PeerIdentity {
        PeerIdentity { cluster: self.cluster(), member: self.member, incarnation: self.incarnation }
    }

    /// This member's id.
    pub(crate) const fn member(&self) -> MemberId {
        self.member
    }

    /// This member's data directory.
    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The cluster, once it is known.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.load().as_deref().copied()
    }

    /// Belongs to `cluster` from now on; durable when it returns.
    ///
    /// # Errors
    /// The member belongs to another cluster, or the file could not be written.
    pub(crate) async fn adopt(self: &Arc<Self>, cluster: ClusterId) -> Result<(), StartError> {
        let identity = Arc::clone(self);
        let adopted = self.workers.run(move || identity.adopt_and_wait(cluster)).await;
        adopted.map_err(|error| StartError::Identity(error.to_string()))?
    }

    fn adopt_and_wait(&self, cluster: ClusterId) -> Result<(), StartError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        match stored.cluster_id {
            Some(known) if known == cluster => return Ok(()),
            Some(known) => {
                return Err(StartError::Identity(format!(
                    "member {} belongs to cluster {known} and cannot join cluster {cluster}",
                    self.member
                )));
            }
            None => {}
        }
        let next = Stored { cluster_id: Some(cluster), ..stored.clone() };
        write(&*self.disk, &self.directory, &next)?;
        *stored = next;
        self.cluster.store(Some(cluster.into()));
        Ok(())
    }
}

fn make(config: &MemberConfig, env: &Env) -> Result<Stored, StartError> {
    let directory = config.data_dir.as_path();
    let disk = &*env.storage().disk;
    if manifest::is_present(disk, directory) {
        let reason = format!(
            "there is a store but no {IDENTITY_FILE}: nobody can tell whose it is. Put the file back, or give this \
             member an empty directory and a new member id"
        );
        return Err(refused(directory, reason));
    }
    files::create_directory(disk, directory)
        .map_err(|error| refused(directory, format!("{error}; check that it can be written to")))?;
    let stored = Stored {
        format: FORMAT,
        member_id: config.id,
        incarnation: Incarnation(env.random_u128()),
        cluster_id: None,
        engine: engine_name(config.store).to_owned(),
    };
    write(disk, directory, &stored)?;
    Ok(stored)
}

fn check(stored: Stored, config: &MemberConfig) -> Result<Stored, StartError> {
    let refuse = |reason: String| Err(refused(&config.data_dir, reason));
    if stored.format != FORMAT {
        let found = stored.format;
        return refuse(format!("{IDENTITY_FILE} is of format {found}, this release reads {FORMAT}"));
    }
    if stored.member_id != config.id {
        let (found, wanted) = (stored.member_id, config.id);
        return refuse(format!(
            "it is member {found}'s, not member {wanted}'s; each member has its own directory"
        ));
    }
    let wanted = engine_name(config.store);
    if stored.engine != wanted {
        let made = &stored.engine;
        return refuse(format!("it was made by the engine {made}, not {wanted}; start with --store {made}"));
    }
    Ok(stored)
}

fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<Stored>, StartError> {
    let bytes = match disk.read(&directory.join(IDENTITY_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(directory, format!("{IDENTITY_FILE} cannot be read: {error}"))),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let reason = format!(
            "{IDENTITY_FILE} is damaged or not one of ours ({error}). Put back a copy of it; without one, this member \
             must start with an empty directory and a new member id"
        );
        refused(directory, reason)
    })
}

fn write(disk: &dyn Disk, directory: &Path, stored: &Stored) -> Result<(), StartError> {
    serde_json::to_vec_pretty(stored)
        .map_err(io::Error::from)
        .and_then(|bytes| files::replace_file(disk, directory, IDENTITY_FILE, &bytes))
        .map_err(|error| refused(directory, format!("{IDENTITY_FILE} could not be written: {error}")))
}

const fn engine_name(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Sled => "sled",
        StoreKind::Redb => "redb",
    }
}

fn refused(directory: &Path, reason: String) -> StartError {
    StartError::DataDir { path: directory.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use kenger_types::{ClusterId, MemberId};

    use super::{IDENTITY_FILE, LocalIdentity};
    use crate::config::{Compaction, LeaseTimes, MemberConfig, StaticMember, StoreKind, Timing};
    use crate::env::Env;

    fn config(directory: &tempfile::TempDir) -> MemberConfig {
        let id = MemberId(1);
        MemberConfig {
            id,
            members: vec![StaticMember { id, peer: "192.0.2.1:5001".into(), api: "192.0.2.1:5000".into() }],
            data_dir: directory.path().join("data"),
            store: StoreKind::Redb,
            peer_secret: b"secret".to_vec(),
            timing: Timing::default(),
            compaction: Compaction::default(),
            lease: LeaseTimes::default(),
            feed_ring_revisions: 16,
        }
    }

    #[test]
    fn the_identity_stays_over_restarts_and_learns_its_cluster_once() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&directory);
        let first = LocalIdentity::open(&config, &Env::system()).unwrap();
        assert_eq!(first.cluster(), None);
        first.adopt_and_wait(ClusterId(7)).unwrap();
        first.adopt_and_wait(ClusterId(7)).unwrap();
        assert!(first.adopt_and_wait(ClusterId(8)).is_err());
        let second = LocalIdentity::open(&config, &Env::system()).unwrap();
        assert_eq!(second.peer_identity(), first.peer_identity());
        assert_eq!(second.cluster(), Some(ClusterId(7)));
    }

    #[test]
    fn an_emptied_directory_gets_another_incarnation() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&directory);
        let first = LocalIdentity::open(&config, &Env::system()).unwrap().incarnation();
        fs::remove_dir_all(&config.data_dir).unwrap();
        let second = LocalIdentity::open(&config, &Env::system()).unwrap().incarnation();
        assert_ne!(first, second);
    }

    #[test]
    fn half_a_file_or_a_foreign_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&directory);
        LocalIdentity::open(&config, &Env::system()).unwrap();
        let path = config.data_dir.join(IDENTITY_FILE);
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let error = LocalIdentity::open(&config, &Env::system()).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{length} bytes: {error}");
        }
        fs::write(&path, &whole).unwrap();
        let other = MemberConfig { id: MemberId(2), ..config.clone() };
        let error = LocalIdentity::open(&other, &Env::system()).unwrap_err().to_string();
        assert!(error.contains("member 1's, not member 2's"), "{error}");
        let other = MemberConfig { store: StoreKind::Sled, ..config };
        let error = LocalIdentity::open(&other, &Env::system()).unwrap_err().to_string();
        assert!(error.contains("redb"), "{error}");
    }
}
