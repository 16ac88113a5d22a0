//! The settings as they are written: texts from flags, environment and file, in this order of
//! precedence. Nothing is judged here, so that one place does it, with one kind of message.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::Config;
use super::validate::{ConfigError, validate};

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Settings of `kenger gateway`. A flag counts before the environment, and that before the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayArgs {
    /// TOML file with these settings, named as the flags are, with _ for -
    #[arg(long, value_name = "FILE", env = "KENGER_GATEWAY_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Registry member, http://HOST:PORT; repeat it or separate several by commas [default: http://127.0.0.1:5000]
    #[arg(long, value_name = "URL", env = "KENGER_GATEWAY_REGISTRY", value_delimiter = ',')]
    #[serde(deserialize_with = "texts")]
    pub registry: Vec<String>,

    /// Token for the registry (role read is enough)
    #[arg(long, value_name = "TOKEN", env = "KENGER_GATEWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// Address and namespace, HOST:PORT=NAMESPACE; repeat it or separate several by commas
    #[arg(long, value_name = "LISTENER", env = "KENGER_GATEWAY_LISTEN", value_delimiter = ',')]
    #[serde(skip)]
    pub listen: Vec<String>,

    /// The same in the file: `[[listeners]]` with `address` and `namespace`.
    #[arg(skip)]
    pub listeners: Vec<RawListener>,

    /// Address of the admin API [default: 127.0.0.1:8081]
    #[arg(long, value_name = "HOST:PORT", env = "KENGER_GATEWAY_ADMIN")]
    pub admin: Option<String>,

    /// File for the last known state, or `off` [default: kenger-gateway.cache]
    #[arg(long, value_name = "FILE", env = "KENGER_GATEWAY_CACHE_FILE")]
    pub cache_file: Option<String>,

    /// Threads that serve requests [default: one for each core]
    #[arg(long, value_name = "N", env = "KENGER_GATEWAY_WORKERS")]
    #[serde(deserialize_with = "text")]
    pub workers: Option<String>,

    /// Active health checks: on or off [default: on]
    #[arg(long, value_name = "on|off", env = "KENGER_GATEWAY_HEALTH_CHECKS")]
    #[serde(deserialize_with = "text")]
    pub health_checks: Option<String>,

    /// Time from one health check of a node to the next [default: 5s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_HEALTH_INTERVAL")]
    pub health_interval: Option<String>,

    /// How long a health check may take [default: 2s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_HEALTH_TIMEOUT")]
    pub health_timeout: Option<String>,

    /// Status that a healthy node answers [default: 200]
    #[arg(long, value_name = "STATUS", env = "KENGER_GATEWAY_HEALTH_EXPECTED_STATUS")]
    #[serde(deserialize_with = "text")]
    pub health_expected_status: Option<String>,

    /// Good checks in a row that make a node healthy [default: 1]
    #[arg(long, value_name = "N", env = "KENGER_GATEWAY_HEALTH_RISE")]
    #[serde(deserialize_with = "text")]
    pub health_rise: Option<String>,

    /// Bad checks in a row that make a node unhealthy [default: 1]
    #[arg(long, value_name = "N", env = "KENGER_GATEWAY_HEALTH_FALL")]
    #[serde(deserialize_with = "text")]
    pub health_fall: Option<String>,

    /// How long a connection to a node may take to be made [default: 10s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_CONNECT_TIMEOUT")]
    pub connect_timeout: Option<String>,

    /// How long an exchange with a node may stand still [default: 60s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_RESPONSE_TIMEOUT")]
    pub response_timeout: Option<String>,

    /// How long the head of a request may take; also how long an idle client is kept [default: 75s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_CLIENT_HEADER_TIMEOUT")]
    pub client_header_timeout: Option<String>,

    /// How long a client may take nothing of what is sent to it [default: 60s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_CLIENT_IO_TIMEOUT")]
    pub client_io_timeout: Option<String>,

    /// How long nothing may move in a WebSocket or another tunnel [default: 1h]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_TUNNEL_IDLE_TIMEOUT")]
    pub tunnel_idle_timeout: Option<String>,

    /// Idle connections that one worker keeps to one node [default: 64]
    #[arg(long, value_name = "N", env = "KENGER_GATEWAY_POOL_IDLE_PER_NODE")]
    #[serde(deserialize_with = "text")]
    pub pool_idle_per_node: Option<String>,

    /// How long an idle connection to a node is kept [default: 60s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_POOL_IDLE_TIMEOUT")]
    pub pool_idle_timeout: Option<String>,

    /// Largest head of a request or a response, in bytes [default: 65536]
    #[arg(long, value_name = "BYTES", env = "KENGER_GATEWAY_HEADER_BYTES_MAX")]
    #[serde(deserialize_with = "text")]
    pub header_bytes_max: Option<String>,

    /// Most connections of clients [default: 100000]
    #[arg(long, value_name = "N", env = "KENGER_GATEWAY_CONNECTIONS_MAX")]
    #[serde(deserialize_with = "text")]
    pub connections_max: Option<String>,

    /// Most nodes that one request is tried on [default: 3]
    #[arg(long, value_name = "N", env = "KENGER_GATEWAY_ATTEMPTS_MAX")]
    #[serde(deserialize_with = "text")]
    pub attempts_max: Option<String>,

    /// X-Forwarded-* of clients: append to X-Forwarded-For, keep all, or replace all [default: append]
    #[arg(long, value_name = "append|keep|replace", env = "KENGER_GATEWAY_FORWARDED")]
    pub forwarded: Option<String>,

    /// How long what is in flight may take to finish when the gateway stops [default: 30s]
    #[arg(long, value_name = "TIME", env = "KENGER_GATEWAY_SHUTDOWN_GRACE")]
    pub shutdown_grace: Option<String>,
}

/// A listener in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawListener {
    /// `HOST:PORT`.
    pub address: String,
    /// The namespace whose nodes serve.
    pub namespace: String,
}

impl GatewayArgs {
    /// The valid configuration of these settings, completed by the file that they name.
    ///
    /// # Errors
    /// The file cannot be read, or a field is wrong; each one is named.
    pub fn load(self) -> Result<Config, ConfigError> {
        let settings = match &self.config {
            None => self,
            Some(path) => {
                let file = read(path)?;
                self.or(file)
            }
        };
        validate(&settings)
    }

    /// These settings, and those of `file` where these say nothing.
    fn or(self, file: Self) -> Self {
        macro_rules! first {
            ($($field:ident),*) => {
                Self {
                    config: self.config,
                    registry: if self.registry.is_empty() { file.registry } else { self.registry },
                    listeners: if self.listen.is_empty() { file.listeners } else { Vec::new() },
                    listen: self.listen,
                    $($field: self.$field.or(file.$field)),*
                }
            };
        }
        first!(
            token,
            admin,
            cache_file,
            workers,
            health_checks,
            health_interval,
            health_timeout,
            health_expected_status,
            health_rise,
            health_fall,
            connect_timeout,
            response_timeout,
            client_header_timeout,
            client_io_timeout,
            tunnel_idle_timeout,
            pool_idle_per_node,
            pool_idle_timeout,
            header_bytes_max,
            connections_max,
            attempts_max,
            forwarded,
            shutdown_grace
        )
    }
}

fn read(path: &Path) -> Result<GatewayArgs, ConfigError> {
    let wrong = |why: String| ConfigError::one("config", format!("{}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(format!("{size} bytes are more than the {FILE_BYTES_MAX} that are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// One word or several.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

/// A text, a number or a truth value, as a text.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Text(String),
        Number(i64),
        Truth(bool),
    }
    Ok(Some(match Scalar::deserialize(from)? {
        Scalar::Text(text) => text,
        Scalar::Number(number) => number.to_string(),
        Scalar::Truth(truth) => (if truth { "on" } else { "off" }).to_owned(),
    }))
}
