//! Configuration of `kenger serve`: flags, environment and a TOML file, in that order of precedence.
//!
//! Raw text with its source (`settings`, `file`) → merged here → checked as a whole (`validate`) →
//! [`Config`]. A wrong value ends the program with [`crate::exit::USAGE`] before a port is bound,
//! and all that is wrong is said at once.

mod address;
mod file;
mod settings;
mod tokens;
mod validate;

use std::fmt;
use std::fs;

use kenger_cluster::MemberConfig;

use crate::api::ApiConfig;
use file::FileToken;
use settings::File;
pub use settings::ServeArgs;

/// Largest configuration file, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// A configuration that has been checked as a whole.
#[derive(Debug)]
pub struct Config {
    /// How the member takes part in the cluster.
    pub member: MemberConfig,
    /// `host:port` to listen on for other members.
    pub listen_peer: String,
    /// `host:port` to serve the HTTP API on.
    pub listen_api: String,
    /// What the API needs to know.
    pub api: ApiConfig,
    /// How to log.
    pub log: LogConfig,
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// For people or for programs.
    pub format: LogFormat,
    /// What is logged, as `tracing-subscriber` spells it.
    pub filter: String,
}

/// The same, for roles that have their other settings elsewhere.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// text for people or json for programs; on standard error
    #[arg(long, env = "KENGER_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: String,
    /// error, warn, info, debug or trace; or by part: info,kenger_gateway=debug
    #[arg(long, env = "KENGER_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

impl LogArgs {
    /// Checks both.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn load(&self) -> Result<LogConfig, ConfigErrors> {
        let format = validate::LOG_FORMATS.iter().find(|(name, _)| *name == self.log_format);
        let filter = validate::log_filter(&self.log_level);
        match (format, filter) {
            (Some((_, format)), Ok(filter)) => Ok(LogConfig { format: *format, filter }),
            (format, filter) => {
                let format = format
                    .is_none()
                    .then(|| format!("log_format: {:?} is not one of text, json", self.log_format));
                let filter = filter.err().map(|e| format!("log_level: {e}"));
                Err(ConfigErrors(format.into_iter().chain(filter).collect()))
            }
        }
    }
}

/// Which form log lines have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything that is wrong with a configuration. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    fn one(problem: String) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is wrong:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The tokens of the strongest source that gives any.
enum GivenTokens {
    /// Plain tokens, each with where it was given.
    Plain(Vec<(String, String)>),
    /// `[[tokens]]` of this file.
    Tables(Vec<FileToken>, String),
}

/// Every setting with its value and where that comes from; no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary(Vec<String>);

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Config {
    /// Reads the file, if one is named, merges it with flags and environment, and checks it all.
    ///
    /// # Errors
    /// Everything that is wrong, by name and source.
    pub fn load(args: ServeArgs) -> Result<(Self, Summary), ConfigErrors> {
        let ServeArgs { mut settings, tokens, config, check: _ } = args;
        let mut given = GivenTokens::Plain(tokens);
        if let Some(path) = config {
            let contents =
                read(&path).map_err(|problem| ConfigErrors::one(format!("config: {path}: {problem}")))?;
            let mut file: File = toml::from_str(&contents)
                .map_err(|e| ConfigErrors::one(format!("config: {path}: {}", indent(&e))))?;
            settings.merge(&mut file, &path, &contents);
            if matches!(&given, GivenTokens::Plain(tokens) if tokens.is_empty()) {
                given = GivenTokens::Tables(file.tokens, path);
            }
        }
        let mut summary: Vec<String> = settings.all().map(settings::Setting::describe).collect();
        let config = validate::validate(&settings, given).map_err(ConfigErrors)?;
        let tokens =
            config.api.tokens.iter().map(|token| format!("token {:?}: role {}", token.name, token.role));
        summary.extend(tokens);
        Ok((config, Summary(summary)))
    }
}

fn read(path: &str) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > FILE_MAX_BYTES {
        return Err(format!("has {length} bytes, more than {FILE_MAX_BYTES}"));
    }
    fs::read_to_string(path).map_err(|e| e.to_string())
}

/// The parser's message has several lines: where, a picture, what.
fn indent(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};

    #[test]
    fn members_that_trust_everybody_need_no_secret_and_agree_without_one() {
        let secret = |more: &[&str]| {
            let flags = ["serve", "--data-dir", "d", "--insecure-no-auth"].iter().chain(more);
            let matches = ServeArgs::augment_args(Command::new("serve")).get_matches_from(flags);
            Config::load(ServeArgs::from_arg_matches(&matches).unwrap()).unwrap().0.member.peer_secret
        };
        // A member refuses to start with an empty one.
        assert!(!secret(&[]).is_empty());
        assert_ne!(secret(&[]), secret(&[]), "a member alone has nobody to prove anything to");
        let of = |id| secret(&["--members", "1=a:1@a:2,2=b:1@b:2,3=c:1@c:2", "--member-id", id]);
        assert!(!of("1").is_empty() && of("1") == of("2"));
    }

    #[test]
    fn a_configuration_prints_no_secret() {
        let flags =
            ["serve", "--data-dir", "d", "--token", "geheim-token", "--peer-secret", "geheim-peer-secret"];
        let matches = ServeArgs::augment_args(Command::new("serve")).get_matches_from(flags);
        let (config, summary) = Config::load(ServeArgs::from_arg_matches(&matches).unwrap()).unwrap();
        assert_eq!(config.member.peer_secret, b"geheim-peer-secret");
        let printed = format!("{config:?} {summary}");
        assert!(printed.contains("data_dir") && printed.contains("token-1"), "{printed}");
        let bytes = format!("{:?}", b"geheim");
        assert!(
            !printed.contains("geheim") && !printed.contains(bytes.trim_matches(['[', ']'])),
            "{printed}"
        );
    }
}
