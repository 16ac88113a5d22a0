//! Checks all settings as a whole, and says all that is wrong at once.

use std::cmp::Ordering;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use kenger_cluster::config::{Compaction, LeaseTimes, StaticMember, StoreKind, Timing};
use kenger_cluster::{Env, MemberConfig};
use kenger_types::MemberId;

use super::settings::{Setting, Settings};
use super::{Config, GivenTokens, LogConfig, LogFormat, address, tokens};
use crate::api::ApiConfig;

/// What members prove to each other that were told to trust everybody: known to everybody, and not
/// empty, which a member takes for a secret that was forgotten.
const INSECURE_PEER_SECRET: &[u8] = b"told to trust every peer";
/// Shortest secret of the members, in bytes.
const PEER_SECRET_MIN_BYTES: usize = 16;
/// Longest secret of the members, in bytes.
const PEER_SECRET_MAX_BYTES: usize = 4_096;
/// A follower asks to lead after this many heartbeats of the leader at least did not come.
const HEARTBEATS_PER_ELECTION_TIMEOUT: u32 = 3;

const HEARTBEAT_MIN: Duration = Duration::from_millis(10);
const ELECTION_TIMEOUT_MAX: Duration = Duration::from_secs(60);
const NODE_TIME_MIN: Duration = Duration::from_millis(100);
const NODE_TIME_MAX: Duration = Duration::from_secs(7 * 86_400);
const LEASE_TICK_MIN: Duration = Duration::from_millis(10);
const SNAPSHOT_ENTRIES_MAX: u64 = 100_000_000;
const FEED_RING_MAX: u64 = 1_000_000;

/// What is wrong so far.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    /// The setting's value; `None` if it is wrong or not given.
    fn value<T>(&mut self, setting: &Setting, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(setting.text.as_deref()?).map_err(|e| self.of(setting, &e)).ok()
    }

    fn of(&mut self, setting: &Setting, what: &str) {
        self.0.push(format!("{}: {what} ({})", setting.key, setting.origin()));
    }

    fn duration(&mut self, setting: &Setting, min: Duration, max: Duration) -> Option<Duration> {
        self.value(setting, |text| {
            let range = || {
                format!(
                    "{text:?} is not a time from {} to {}, like 500ms, 30s or 2m",
                    humantime::format_duration(min),
                    humantime::format_duration(max)
                )
            };
            humantime::parse_duration(text).ok().filter(|time| (min..=max).contains(time)).ok_or_else(range)
        })
    }

    fn number(&mut self, setting: &Setting, min: u64, max: u64) -> Option<u64> {
        self.value(setting, |text| {
            let range = || format!("{text:?} is not a whole number from {min} to {max}");
            text.parse().ok().filter(|n| (min..=max).contains(n)).ok_or_else(range)
        })
    }

    fn switch(&mut self, setting: &Setting) -> Option<bool> {
        self.value(setting, |text| text.parse().map_err(|_| format!("{text:?} is neither true nor false")))
    }

    fn choice<T: Copy>(&mut self, setting: &Setting, choices: &[(&str, T)]) -> Option<T> {
        self.value(setting, |text| {
            let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
            found.ok_or_else(|| format!("{text:?} is not one of {}", names()))
        })
    }
}

/// The configuration, or all that is wrong with it.
pub(super) fn validate(settings: &Settings, given: GivenTokens) -> Result<Config, Vec<String>> {
    let mut problems = Problems::default();
    let listen_api = problems.value(&settings.listen_api, address::listen);
    let listen_peer = problems.value(&settings.listen_peer, address::listen);
    let members = members(settings, &mut problems);
    let data_dir = data_dir(settings, &mut problems);
    let store = problems.choice(&settings.store, &[("sled", StoreKind::Sled), ("redb", StoreKind::Redb)]);
    let timing = timing(settings, &mut problems);
    let lease = lease(settings, &mut problems);
    let compaction = compaction(settings, &mut problems);
    let feed_ring = problems.number(&settings.feed_ring, 1, FEED_RING_MAX);
    let insecure = problems.switch(&settings.insecure_no_auth);
    let alone = members.as_ref().is_none_or(|(_, members)| members.len() == 1);
    let peer_secret = peer_secret(settings, alone, insecure, &mut problems);
    let api = api(settings, given, insecure, &mut problems);
    let log = log(settings, &mut problems);

    if let (Some(peer), Some(api)) = (&listen_peer, &listen_api)
        && peer == api
        && !peer.ends_with(":0")
    {
        problems.of(&settings.listen_peer, &format!("{peer} is listen_api too"));
    }
    let config = (|| {
        let (id, members) = members?;
        Some(Config {
            member: MemberConfig {
                id,
                members,
                data_dir: data_dir?,
                store: store?,
                peer_secret: peer_secret?,
                timing: timing?,
                compaction: compaction?,
                lease: lease?,
                feed_ring_revisions: usize::try_from(feed_ring?).ok()?,
            },
            listen_peer: listen_peer?,
            listen_api: listen_api?,
            api: api?,
            log: log?,
        })
    })();
    // A part can only be missing with a problem that says why.
    config.filter(|_| problems.0.is_empty()).ok_or(problems.0)
}

/// The list, with this member in it.
fn members(settings: &Settings, problems: &mut Problems) -> Option<(MemberId, Vec<StaticMember>)> {
    let id = problems.value(&settings.member_id, address::member_id);
    if settings.members.text.is_none() {
        return member_alone(settings, id, problems);
    }
    let members = problems.value(&settings.members, address::members)?;
    match id {
        None if settings.member_id.text.is_some() => None,
        None => match members.as_slice() {
            [only] => Some((only.id, members)),
            _ => {
                problems.of(&settings.member_id, "say which one of `members` this is");
                None
            }
        },
        Some(id) if members.iter().any(|member| member.id == id) => Some((id, members)),
        Some(id) => {
            let ids = members.iter().map(|member| member.id.to_string()).collect::<Vec<_>>().join(", ");
            problems.of(&settings.member_id, &format!("{id} is none of `members`, which has {ids}"));
            None
        }
    }
}

/// A cluster of one member, reached where it listens.
fn member_alone(
    settings: &Settings,
    id: Option<MemberId>,
    problems: &mut Problems,
) -> Option<(MemberId, Vec<StaticMember>)> {
    let id = if settings.member_id.text.is_some() { id? } else { MemberId(1) };
    let [peer, api] = [&settings.listen_peer, &settings.listen_api].map(|setting| {
        let text = setting.text.as_deref()?;
        if address::is_wildcard(text) {
            problems.of(
                &settings.members,
                &format!("needed when {} is {text}: where can others reach it?", setting.key),
            );
            return None;
        }
        Some(text.to_owned())
    });
    Some((id, vec![StaticMember { id, peer: peer?, api: api? }]))
}

fn data_dir(settings: &Settings, problems: &mut Problems) -> Option<PathBuf> {
    match settings.data_dir.text.as_deref() {
        Some(text) if !text.is_empty() => Some(PathBuf::from(text)),
        Some(_) => {
            problems.of(&settings.data_dir, "must not be empty");
            None
        }
        None => {
            let how = "say where everything durable is to lie: --data-dir DIR, KENGER_DATA_DIR or data_dir in the file";
            problems.0.push(format!("data_dir: {how}"));
            None
        }
    }
}

fn timing(settings: &Settings, problems: &mut Problems) -> Option<Timing> {
    let heartbeat = problems.duration(&settings.heartbeat_interval, HEARTBEAT_MIN, ELECTION_TIMEOUT_MAX);
    let min = problems.duration(&settings.election_timeout_min, HEARTBEAT_MIN, ELECTION_TIMEOUT_MAX);
    let max = problems.duration(&settings.election_timeout_max, HEARTBEAT_MIN, ELECTION_TIMEOUT_MAX);
    let (heartbeat, min, max) = (heartbeat?, min?, max?);
    if heartbeat * HEARTBEATS_PER_ELECTION_TIMEOUT > min {
        let what =
            format!("is {min:?}, less than {HEARTBEATS_PER_ELECTION_TIMEOUT} heartbeats of {heartbeat:?}");
        problems.of(&settings.election_timeout_min, &what);
    }
    if min >= max {
        let what = format!("is {max:?}, not longer than election_timeout_min, {min:?}");
        problems.of(&settings.election_timeout_max, &what);
    }
    Some(Timing {
        heartbeat_interval: heartbeat,
        election_timeout_min: min,
        election_timeout_max: max,
        ..Timing::default()
    })
}

fn lease(settings: &Settings, problems: &mut Problems) -> Option<LeaseTimes> {
    let ttl = problems.duration(&settings.node_ttl, NODE_TIME_MIN, NODE_TIME_MAX);
    let delete_after = problems.duration(&settings.node_delete_after, NODE_TIME_MIN, NODE_TIME_MAX);
    let tick = problems.duration(&settings.lease_tick, LEASE_TICK_MIN, NODE_TIME_MAX);
    let (ttl, delete_after, tick) = (ttl?, delete_after?, tick?);
    if delete_after <= ttl {
        problems.of(
            &settings.node_delete_after,
            &format!("is {delete_after:?}, not longer than node_ttl, {ttl:?}"),
        );
    }
    if tick >= ttl {
        problems.of(&settings.lease_tick, &format!("is {tick:?}, not shorter than node_ttl, {ttl:?}"));
    }
    Some(LeaseTimes { ttl, delete_after, tick })
}

fn compaction(settings: &Settings, problems: &mut Problems) -> Option<Compaction> {
    let after = problems.number(&settings.snapshot_after_entries, 1, SNAPSHOT_ENTRIES_MAX);
    let keep = problems.number(&settings.snapshot_keep_entries, 0, SNAPSHOT_ENTRIES_MAX);
    Some(Compaction { snapshot_after_entries: after?, keep_entries: keep?, ..Compaction::default() })
}

/// What the members prove to each other. A member that has no others gets a random one, so that
/// nobody can pass for a peer.
fn peer_secret(
    settings: &Settings,
    alone: bool,
    insecure: Option<bool>,
    problems: &mut Problems,
) -> Option<Vec<u8>> {
    let [mut secret, mut file] = [&settings.peer_secret, &settings.peer_secret_file]
        .map(|setting| setting.text.as_ref().map(|text| (text, setting.source.strength())));
    if let (Some((_, of_secret)), Some((_, of_file))) = (secret, file) {
        match of_secret.cmp(&of_file) {
            Ordering::Greater => file = None,
            Ordering::Less => secret = None,
            Ordering::Equal => {
                problems.of(&settings.peer_secret_file, "give peer_secret or peer_secret_file, not both");
                return None;
            }
        }
    }
    let (setting, secret) = match (secret.map(|(text, _)| text), file.map(|(text, _)| text)) {
        (Some(secret), _) => (&settings.peer_secret, secret.clone()),
        (None, Some(path)) => match fs::read_to_string(path) {
            Ok(contents) => (&settings.peer_secret_file, contents.trim().to_owned()),
            Err(e) => {
                problems.of(&settings.peer_secret_file, &format!("{path}: {e}"));
                return None;
            }
        },
        (None, None) if insecure? && !alone => return Some(INSECURE_PEER_SECRET.to_vec()),
        (None, None) if alone => {
            let env = Env::system();
            return Some(
                [env.random_u128(), env.random_u128()].iter().flat_map(|n| n.to_be_bytes()).collect(),
            );
        }
        (None, None) => {
            let how = "give all members the same one (peer_secret, KENGER_PEER_SECRET or --peer-secret-file); \
                       only --insecure-no-auth goes without";
            problems.0.push(format!("peer_secret: {how}"));
            return None;
        }
    };
    if !(PEER_SECRET_MIN_BYTES..=PEER_SECRET_MAX_BYTES).contains(&secret.len()) {
        let what =
            format!("has {PEER_SECRET_MIN_BYTES} to {PEER_SECRET_MAX_BYTES} bytes, not {}", secret.len());
        problems.of(setting, &what);
        return None;
    }
    Some(secret.into_bytes())
}

fn api(
    settings: &Settings,
    given: GivenTokens,
    insecure: Option<bool>,
    problems: &mut Problems,
) -> Option<ApiConfig> {
    let before = problems.0.len();
    let tokens = tokens::tokens(given, &mut problems.0);
    let tokens_are_right = problems.0.len() == before;
    match insecure {
        Some(false) if tokens.is_empty() && tokens_are_right => {
            let how = "give at least one (--token, KENGER_TOKEN or [[tokens]]); only --insecure-no-auth goes without";
            problems.0.push(format!("token: {how}"));
        }
        Some(true) if !tokens.is_empty() => {
            problems.of(
                &settings.insecure_no_auth,
                "tokens are given too, and would not be asked for: take one away",
            );
        }
        _ => {}
    }
    let auto_create_namespace = problems.switch(&settings.auto_create_namespace);
    let metrics_without_token = problems.switch(&settings.metrics_without_token);
    Some(ApiConfig {
        tokens,
        auto_create_namespace: auto_create_namespace?,
        metrics_without_token: metrics_without_token?,
    })
}

fn log(settings: &Settings, problems: &mut Problems) -> Option<LogConfig> {
    let format = problems.choice(&settings.log_format, &LOG_FORMATS);
    let filter = problems.value(&settings.log_level, log_filter);
    Some(LogConfig { format: format?, filter: filter? })
}

/// Names of the forms that log lines can have.
pub(super) const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// The filter's own parser takes a misspelt level for the name of a module, so levels are checked
/// here.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in text.split(',').map(str::trim) {
        let (target, level) = directive.split_once('=').unwrap_or(("kenger", directive));
        let target_is_module = target
            .split("::")
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        if !LEVELS.contains(&level) || !target_is_module {
            return Err(format!("{directive:?} is neither one of {} nor MODULE=LEVEL", LEVELS.join(", ")));
        }
    }
    Ok(text.to_owned())
}
