//! How the parts of a member are put together.

use std::collections::BTreeSet;
use std::sync::Arc;

use kenger_state::State;
use kenger_types::MemberId;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::bootstrap::Bootstrap;
use crate::config::MemberConfig;
use crate::env::{Env, Listener};
use crate::error::StartError;
use crate::failure::Failure;
use crate::feed::Hub;
use crate::identity::LocalIdentity;
use crate::leadership::{Contact, LeadershipChanges, Observer};
use crate::lease::{Book, Keeper};
use crate::lease_link::LeaseLink;
use crate::proposer::{Proposer, ProposerParts};
use crate::publisher::Publisher;
use crate::raft::machine::{Machine, MachineStats, StateHandle};
use crate::raft::network::Network;
use crate::raft::types::{Metrics, TypeConfig};
use crate::raft::{Raft, seeded};
use crate::reader::{Reader, ReaderParts};
use crate::service::{Parts, PeerService};
use crate::status::Reporter;
use crate::storage::{self, LogStore, Opened, Snapshots, StoreOptions};
use crate::transport::{Peers, ProbeMember, Server};
use crate::{compaction, raft};

/// How many members a cluster may be started with: one, for trying things out, or enough to lose one
/// or two.
const CLUSTER_SIZES: [usize; 3] = [1, 3, 5];

pub(super) async fn start(
    config: MemberConfig,
    env: Env,
    listener: Box<dyn Listener>,
) -> Result<Inner, StartError> {
    let members = member_list(&config)?;
    check_secret(&config)?;
    let raft_config = raft::config::config(&config.timing, &config.compaction)?;
    let book = Arc::new(Book::new(env.clone(), config.lease, Arc::new(State::default())));
    let hub = Arc::new(Hub::new(Arc::new(State::default()), config.feed_ring_revisions, env.workers()));
    let publisher = Publisher { book: Arc::clone(&book), hub: Arc::clone(&hub) };
    let Durable { identity, opened, machine } = open(config.clone(), env.clone(), publisher).await?;
    let Opened { log_store, snapshots, stats: storage_stats, failure: store_failure, closer } = opened;
    let (state, machine_stats) = (machine.state(), machine.stats());

    let stop = CancellationToken::new();
    let peers = Peers::new(env.clone(), &config.peer_secret, Arc::clone(&identity), stop.clone());
    let network = Network::new(env.clone(), peers.clone());
    let raft = start_raft(&env, config.id, raft_config, network, log_store, machine).await?;
    check_own_incarnation(&raft, &identity)?;

    let contact = Arc::new(Contact::default());
    let observer = Observer::new(config.id, env.clone(), config.timing, &raft, Arc::clone(&contact));
    let changes = Arc::new(LeadershipChanges::new(observer.leadership()));
    let base = Base {
        config,
        env,
        members,
        identity,
        raft,
        observer,
        changes,
        peers,
        stopping: stop.child_token(),
        stop,
    };
    let roles = base.roles(book, state.clone());
    let failure = Arc::new(Failure::none());
    let service = base.service(&roles, contact, snapshots, &failure);
    base.spawn_tasks(service, listener, Arc::clone(&machine_stats));
    base.spawn_watchmen(store_failure, &failure);
    let Roles { proposer, reader, keeper, reporter } = roles;
    let Base { config, env, identity, raft, observer, changes, peers, stopping, stop, .. } = base;
    Ok(Inner {
        config,
        env,
        identity,
        raft,
        state,
        hub,
        observer,
        changes,
        proposer,
        reader,
        keeper,
        reporter,
        peers,
        machine_stats,
        storage_stats,
        closer,
        failure,
        stopping,
        stop,
        stopped: OnceCell::new(),
    })
}

async fn start_raft(
    env: &Env,
    id: MemberId,
    config: Arc<openraft::Config>,
    network: Network,
    log_store: LogStore,
    machine: Machine,
) -> Result<Raft, StartError> {
    let starting = seeded(env.random_u64(), async {
        let raft = Raft::build(id.0, config, network, log_store, machine).await?;
        raft.run();
        // Answered by Raft's own task: its metrics are told from here on.
        raft.is_initialized().await?;
        Ok::<Raft, Fatal<TypeConfig>>(raft)
    });
    starting.await.map_err(|error| StartError::Raft(error.to_string()))
}

/// What everything else of a member is built on.
struct Base {
    config: MemberConfig,
    env: Env,
    members: Vec<ProbeMember>,
    identity: Arc<LocalIdentity>,
    raft: Raft,
    observer: Observer,
    changes: Arc<LeadershipChanges>,
    peers: Peers,
    stopping: CancellationToken,
    stop: CancellationToken,
}

/// What a member does for those who ask it.
struct Roles {
    proposer: Arc<Proposer>,
    reader: Arc<Reader>,
    keeper: Arc<Keeper>,
    reporter: Arc<Reporter>,
}

impl Base {
    fn roles(&self, book: Arc<Book>, state: StateHandle) -> Roles {
        let proposer = self.proposer();
        let reader = self.reader();
        let keeper = self.keeper(book, &proposer);
        Roles { proposer, reader, keeper, reporter: self.reporter(state) }
    }

    fn proposer(&self) -> Arc<Proposer> {
        Arc::new(Proposer::new(ProposerParts {
            env: self.env.clone(),
            timing: self.config.timing,
            raft: self.raft.clone(),
            observer: self.observer.clone(),
            peers: self.peers.clone(),
            changes: self.changes.subscribe(),
            stopping: self.stopping.clone(),
        }))
    }

    fn reader(&self) -> Arc<Reader> {
        Arc::new(Reader::start(ReaderParts {
            env: self.env.clone(),
            timing: self.config.timing,
            raft: self.raft.clone(),
            observer: self.observer.clone(),
            peers: self.peers.clone(),
            changes: self.changes.subscribe(),
            stopping: self.stopping.clone(),
        }))
    }

    fn keeper(&self, book: Arc<Book>, proposer: &Arc<Proposer>) -> Arc<Keeper> {
        let link = LeaseLink {
            env: self.env.clone(),
            timing: self.config.timing,
            observer: self.observer.clone(),
            changes: Arc::clone(&self.changes),
            proposer: Arc::clone(proposer),
            peers: self.peers.clone(),
        };
        Arc::new(Keeper::start(book, Arc::new(link)))
    }

    fn reporter(&self, state: StateHandle) -> Arc<Reporter> {
        Arc::new(Reporter {
            env: self.env.clone(),
            identity: Arc::clone(&self.identity),
            observer: self.observer.clone(),
            state,
            peers: self.peers.clone(),
            data_dir: self.config.data_dir.clone(),
            started: self.env.now(),
            members: self.members.clone(),
        })
    }

    /// What answers the other members.
    fn service(
        &self,
        roles: &Roles,
        contact: Arc<Contact>,
        snapshots: Snapshots,
        failure: &Arc<Failure>,
    ) -> PeerService {
        PeerService(Arc::new(Parts {
            env: self.env.clone(),
            identity: Arc::clone(&self.identity),
            members: self.members.clone(),
            raft: self.raft.clone(),
            contact,
            proposer: Arc::clone(&roles.proposer),
            reader: Arc::clone(&roles.reader),
            keeper: Arc::clone(&roles.keeper),
            snapshots,
            reporter: Arc::clone(&roles.reporter),
            failure: Arc::clone(failure),
            stopping: self.stopping.clone(),
        }))
    }

    fn bootstrap(&self) -> Bootstrap {
        Bootstrap {
            env: self.env.clone(),
            identity: Arc::clone(&self.identity),
            members: self.members.clone(),
            raft: self.raft.clone(),
            peers: self.peers.clone(),
            stop: self.stop.clone(),
        }
    }

    /// Everything that goes on in the background until the member stops.
    fn spawn_tasks(&self, service: PeerService, listener: Box<dyn Listener>, machine: Arc<MachineStats>) {
        let server =
            Server::new(self.env.clone(), &self.config.peer_secret, Arc::new(service), self.stop.clone());
        tokio::spawn(server.run(listener));
        tokio::spawn(self.observer.clone().recover(self.stop.clone()));
        tokio::spawn(self.observer.clone().watch(Arc::clone(&self.changes), self.stop.clone()));
        let compaction = self.config.compaction;
        tokio::spawn(compaction::run(
            self.env.clone(),
            compaction,
            self.raft.clone(),
            machine,
            self.stop.clone(),
        ));
    }

    /// What ends the member when it cannot go on, or cannot begin.
    fn spawn_watchmen(&self, store: storage::Failure, failure: &Arc<Failure>) {
        let (raft, stop) = (self.raft.clone(), self.stop.clone());
        tokio::spawn(watch_for_failure(raft, store, Arc::clone(failure), stop));
        tokio::spawn(self.bootstrap().report_to(Arc::clone(failure)));
    }
}

fn check_secret(config: &MemberConfig) -> Result<(), StartError> {
    if config.peer_secret.is_empty() {
        let why = "the peer secret is empty; give all members the same random one";
        return Err(StartError::Identity(why.into()));
    }
    Ok(())
}

/// The static list by id, if it makes sense.
fn member_list(config: &MemberConfig) -> Result<Vec<ProbeMember>, StartError> {
    let refuse = |reason: String| Err(StartError::Identity(format!("the member list: {reason}")));
    let mut members: Vec<_> = config
        .members
        .iter()
        .map(|member| ProbeMember { id: member.id, peer: member.peer.clone(), api: member.api.clone() })
        .collect();
    members.sort();
    let distinct: BTreeSet<_> = members.iter().map(|member| member.id).collect();
    let places: BTreeSet<_> = members.iter().map(|member| &member.peer).collect();
    if !CLUSTER_SIZES.contains(&members.len()) {
        return refuse(format!("a cluster is started with 1, 3 or 5 members, not with {}", members.len()));
    }
    if distinct.len() != members.len() || distinct.first().is_none_or(|id| id.0 == 0) {
        return refuse("each member has an id of its own, 1 or more".to_owned());
    }
    if places.len() != members.len() {
        return refuse("each member has a peer address of its own".to_owned());
    }
    if !distinct.contains(&config.id) {
        return refuse(format!("member {} is not in it", config.id));
    }
    Ok(members)
}

/// What was read from the data directory.
struct Durable {
    identity: Arc<LocalIdentity>,
    opened: Opened,
    machine: Machine,
}

/// Reads the data directory, on a thread that may wait for the disk.
async fn open(config: MemberConfig, env: Env, publisher: Publisher) -> Result<Durable, StartError> {
    let workers = env.workers();
    let read = move || {
        let identity = Arc::new(LocalIdentity::open(&config, &env)?);
        let options = StoreOptions { data_dir: config.data_dir, kind: config.store };
        let opened = storage::open(&options, env.storage())?;
        let machine = Machine::new(opened.snapshots.clone(), Arc::clone(&opened.stats), Arc::new(publisher))?;
        Ok(Durable { identity, opened, machine })
    };
    workers.run(read).await.map_err(|error| StartError::Store(error.to_string()))?
}

/// The log lies beside the identity file; if the cluster knows this member by another one, one of the
/// two was swapped.
fn check_own_incarnation(raft: &Raft, identity: &LocalIdentity) -> Result<(), StartError> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let known =
        metrics.membership_config.membership().get_node(&identity.member().0).map(|node| node.incarnation);
    match known {
        Some(known) if known != identity.incarnation() => Err(StartError::Identity(format!(
            "the log in the data directory is not of this identity file (its incarnation is {known}, the file's {}); \
             put the right file back",
            identity.incarnation()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Reports when the store or Raft has failed.
async fn watch_for_failure(
    raft: Raft,
    store: storage::Failure,
    failure: Arc<Failure>,
    stop: CancellationToken,
) {
    let raft_failed = why_raft_ended(raft.metrics());
    tokio::select! {
        // A member that is told to stop has not failed, whatever ends first.
        biased;
        () = stop.cancelled() => {}
        reason = store.wait() => failure.report(&format!("store: {reason}")),
        reason = raft_failed => if let Some(reason) = reason { failure.report(&reason) },
    }
}

/// Waits until Raft has ended, and answers why; `None` if it was told to.
async fn why_raft_ended(mut metrics: WatchReceiverOf<TypeConfig, Metrics>) -> Option<String> {
    loop {
        let state = metrics.borrow_and_update().running_state.clone();
        match state {
            Ok(()) => {}
            // Told to: no failure.
            Err(Fatal::Stopped) => return None,
            Err(fatal) => return Some(format!("Raft: {fatal}")),
        }
        if metrics.changed().await.is_err() {
            // Whoever tells is gone and has not said why.
            return Some("Raft: its task has panicked".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    //! Why Raft has ended.

    use openraft::async_runtime::watch::WatchSender;
    use openraft::type_config::TypeConfigExt;

    use super::*;

    #[tokio::test]
    async fn a_raft_that_ends_without_a_word_has_failed_and_one_that_was_told_to_has_not() {
        let (sender, receiver) = TypeConfig::watch_channel(Metrics::new_initial(1));
        drop(sender);
        let why = why_raft_ended(receiver).await;
        assert!(why.is_some_and(|why| why.contains("panicked")));

        let (sender, receiver) = TypeConfig::watch_channel(Metrics::new_initial(1));
        sender.send_if_modified(|metrics| {
            metrics.running_state = Err(Fatal::Stopped);
            true
        });
        drop(sender);
        assert_eq!(why_raft_ended(receiver).await, None);
    }
}
