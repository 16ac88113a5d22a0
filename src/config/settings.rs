//! The settings of `kenger serve`, each declared once: its key, flag, environment variable, help
//! text and default.
//!
//! Nothing is parsed here. A value travels as the text that the operator wrote, together with
//! where it was written, to `validate`, so that all wrong values are reported at once and each
//! with its source.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde::Deserialize;
use toml::Spanned;

use super::file::{FileToken, MemberList, Scalar};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Flag,
    Environment,
    /// The file, and the line in it.
    File(String, usize),
    Default,
}

impl Source {
    /// The stronger wins.
    pub(super) fn strength(&self) -> u8 {
        match self {
            Source::Flag => 3,
            Source::Environment => 2,
            Source::File(..) => 1,
            Source::Default => 0,
        }
    }
}

/// One setting's value as it was written.
#[derive(Clone)]
pub(super) struct Setting {
    /// Its key in the file; flag and environment variable are spelt after it.
    pub(super) key: &'static str,
    pub(super) text: Option<String>,
    pub(super) source: Source,
}

impl Setting {
    fn from_matches(matches: &ArgMatches, key: &'static str) -> Self {
        let text = matches.get_one::<String>(key).cloned();
        let source = match matches.value_source(key) {
            Some(ValueSource::CommandLine) => Source::Flag,
            Some(ValueSource::EnvVariable) => Source::Environment,
            _ => Source::Default,
        };
        // `KENGER_X=${X:-}` in a compose file gives an empty variable: not set.
        let unset = source == Source::Environment && text.as_deref() == Some("");
        if unset { Self { key, text: None, source: Source::Default } } else { Self { key, text, source } }
    }

    /// Takes the file's value unless a flag or the environment gave one.
    fn or_file(&mut self, value: Option<Spanned<impl Into<String>>>, file: &str, contents: &str) {
        if self.source != Source::Default {
            return;
        }
        if let Some(value) = value {
            let line = contents.bytes().take(value.span().start).filter(|b| *b == b'\n').count() + 1;
            self.text = Some(value.into_inner().into());
            self.source = Source::File(file.to_owned(), line);
        }
    }

    /// `key = value (where from)`, without what is secret.
    pub(super) fn describe(&self) -> String {
        let value = match (&self.text, self.key) {
            (None, _) => return format!("{} is not set", self.key),
            (Some(_), "peer_secret") => "…",
            (Some(text), _) => text,
        };
        format!("{} = {value} ({})", self.key, self.origin())
    }

    /// Where the value comes from, for a message.
    pub(super) fn origin(&self) -> String {
        match &self.source {
            Source::Flag => format!("flag --{}", self.key.replace('_', "-")),
            Source::Environment => format!("environment variable KENGER_{}", self.key.to_uppercase()),
            Source::File(file, line) => format!("{file}, line {line}"),
            Source::Default => "default".to_owned(),
        }
    }
}

/// What a setting is in the file.
macro_rules! in_file {
    () => {
        Scalar
    };
    ($type:ty) => {
        $type
    };
}

macro_rules! settings {
    ($( $(#[$doc:meta])+ $key:ident $((in file: $type:ty))?: $env:literal, $value:literal, [$($extra:tt)+]; )+) => {
        /// The flags, for clap.
        #[derive(Args)]
        struct Flags {
            $( $(#[$doc])+
            #[arg(long, env = $env, value_name = $value, hide_env_values = true, $($extra)+)]
            $key: Option<String>, )+

            /// A token that allows everything; give it more than once for several. Other processes
            /// of the machine can see it: prefer the environment (KENGER_TOKEN for one,
            /// KENGER_TOKENS for several, separated by commas) or the file, where [[tokens]] have a
            /// name, a role (read, register or admin), namespaces, and can be given as SHA-256.
            /// Tokens of one source replace those of a weaker one.
            #[arg(long, value_name = "TOKEN", help_heading = "Access")]
            token: Vec<String>,

            /// A TOML file with any of these settings, spelt with underscores, and [[members]]
            /// (id, peer, api) and [[tokens]]. Flags and environment win over it
            #[arg(long, env = "KENGER_CONFIG", value_name = "FILE", help_heading = "Program")]
            config: Option<String>,

            /// Check the configuration, show each value with where it comes from, and end
            #[arg(long, help_heading = "Program")]
            check: bool,
        }

        /// The file. A key that is not listed here is refused.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct File {
            $( $key: Option<Spanned<in_file!($($type)?)>>, )+
            #[serde(default)]
            pub(super) tokens: Vec<FileToken>,
        }

        /// All settings with their sources.
        #[derive(Clone)]
        pub(super) struct Settings {
            $( pub(super) $key: Setting, )+
        }

        impl Settings {
            fn from_matches(matches: &ArgMatches) -> Self {
                Self { $( $key: Setting::from_matches(matches, stringify!($key)), )+ }
            }

            /// All of them, in the order in which they are declared.
            pub(super) fn all(&self) -> impl Iterator<Item = &Setting> {
                [$( &self.$key, )+].into_iter()
            }

            /// Fills in from the file what neither a flag nor the environment gave.
            pub(super) fn merge(&mut self, file: &mut File, name: &str, contents: &str) {
                $( self.$key.or_file(file.$key.take(), name, contents); )+
            }
        }
    };
}

settings! {
    /// This member's number, unique in the cluster, 1 or more. May be left out with a single member
    member_id: "KENGER_MEMBER_ID", "N", [help_heading = "Cluster"];
    /// All members, this one among them, the same list on each: 1, 3 or 5 of ID=PEER@API, separated
    /// by commas. PEER is host:port for the other members, API is host:port of the HTTP API as
    /// clients reach it. Left out: a cluster of this member alone
    members (in file: MemberList): "KENGER_MEMBERS", "LIST", [help_heading = "Cluster"];
    /// Where to listen for other members
    listen_peer: "KENGER_LISTEN_PEER", "HOST:PORT", [help_heading = "Cluster", default_value = "127.0.0.1:5001"];
    /// What the members prove to each other at each connection, 16 bytes or more, the same on each.
    /// Other processes of the machine can see a flag: prefer the environment or a file
    peer_secret: "KENGER_PEER_SECRET", "SECRET", [help_heading = "Cluster"];
    /// The same, read from a file; white space around it does not count
    peer_secret_file: "KENGER_PEER_SECRET_FILE", "FILE", [help_heading = "Cluster"];
    /// Where to serve the HTTP API
    listen_api: "KENGER_LISTEN_API", "HOST:PORT", [help_heading = "API", default_value = "127.0.0.1:5000"];
    /// Whether registering a node makes its namespace if there is none
    auto_create_namespace: "KENGER_AUTO_CREATE_NAMESPACE", "true|false", [help_heading = "API", default_value = "true"];
    /// Serve everybody who can reach the API, without tokens, and trust every peer: for trying out
    insecure_no_auth: "KENGER_INSECURE_NO_AUTH", "true|false",
        [help_heading = "Access", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false"];
    /// Serve /metrics without a token; otherwise it takes one that may read
    metrics_without_token: "KENGER_METRICS_WITHOUT_TOKEN", "true|false",
        [help_heading = "Access", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false"];
    /// Where everything durable lies: one directory for each member, on a local disk
    data_dir: "KENGER_DATA_DIR", "DIR", [help_heading = "Storage"];
    /// Which engine holds the log: sled or redb. A directory belongs to the engine that made it
    store: "KENGER_STORE", "ENGINE", [help_heading = "Storage", default_value = "sled"];
    /// Take a snapshot after this many log entries
    snapshot_after_entries: "KENGER_SNAPSHOT_AFTER_ENTRIES", "N", [help_heading = "Storage", default_value = "20000"];
    /// Entries to keep after a snapshot, for members that are a little behind
    snapshot_keep_entries: "KENGER_SNAPSHOT_KEEP_ENTRIES", "N", [help_heading = "Storage", default_value = "5000"];
    /// Revisions of the change feed to keep in memory, for subscribers that resume
    feed_ring: "KENGER_FEED_RING", "N", [help_heading = "Storage", default_value = "8192"];
    /// How often the leader tells the others that it is there
    heartbeat_interval: "KENGER_HEARTBEAT_INTERVAL", "TIME", [help_heading = "Timing", default_value = "100ms"];
    /// Shortest silence of the leader after which a member asks to lead; three heartbeats or more
    election_timeout_min: "KENGER_ELECTION_TIMEOUT_MIN", "TIME", [help_heading = "Timing", default_value = "500ms"];
    /// Longest such silence
    election_timeout_max: "KENGER_ELECTION_TIMEOUT_MAX", "TIME", [help_heading = "Timing", default_value = "1s"];
    /// Silence after which a node is offline, unless it asked for another time when it registered
    node_ttl: "KENGER_NODE_TTL", "TIME", [help_heading = "Timing", default_value = "30s"];
    /// Silence after which a node is deleted
    node_delete_after: "KENGER_NODE_DELETE_AFTER", "TIME", [help_heading = "Timing", default_value = "120s"];
    /// How often the leader looks for silent nodes
    lease_tick: "KENGER_LEASE_TICK", "TIME", [help_heading = "Timing", default_value = "500ms"];
    /// text for people or json for programs; on standard error
    log_format: "KENGER_LOG_FORMAT", "FORMAT", [help_heading = "Program", default_value = "text"];
    /// error, warn, info, debug or trace; or by part: info,kenger_cluster=debug
    log_level: "KENGER_LOG_LEVEL", "LEVEL", [help_heading = "Program", default_value = "info"];
}

/// What the command line and the environment say.
#[derive(Clone)]
pub struct ServeArgs {
    pub(super) settings: Settings,
    /// `--token`, else `KENGER_TOKEN` and `KENGER_TOKENS`, with where they come from.
    pub(super) tokens: Vec<(String, String)>,
    pub(super) config: Option<String>,
    pub(super) check: bool,
}

impl ServeArgs {
    /// Whether only to check.
    pub fn check_only(&self) -> bool {
        self.check
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = matches.get_many::<String>("token").into_iter().flatten();
        let mut tokens: Vec<_> = flags.map(|token| (token.clone(), "flag --token".to_owned())).collect();
        if tokens.is_empty() {
            tokens = tokens_of_environment();
        }
        Ok(Self {
            settings: Settings::from_matches(matches),
            tokens,
            config: matches.get_one::<String>("config").filter(|path| !path.is_empty()).cloned(),
            check: matches.get_flag("check"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args_for_update(command)
    }
}

fn tokens_of_environment() -> Vec<(String, String)> {
    let read = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let one = read("KENGER_TOKEN").into_iter().filter(|token| !token.is_empty());
    let several = read("KENGER_TOKENS").unwrap_or_default();
    let several = several.split(',').map(str::trim).filter(|token| !token.is_empty());
    one.map(|token| (token, "environment variable KENGER_TOKEN".to_owned()))
        .chain(several.map(|token| (token.to_owned(), "environment variable KENGER_TOKENS".to_owned())))
        .collect()
}
