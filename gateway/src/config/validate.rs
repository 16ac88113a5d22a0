//! From settings as texts to a configuration that can be used. Every field that is wrong is named,
//! not the first one alone.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kenger_sdk::Endpoint;

use super::settings::GatewayArgs;
use super::{
    ClientConfig, Config, ForwardedTrust, HealthConfig, ListenerConfig, ProxyConfig, RegistryConfig,
    UpstreamConfig,
};
use crate::proxy::ATTEMPTS_MAX;

const REGISTRY_DEFAULT: &str = "http://127.0.0.1:5000";
const ADMIN_DEFAULT: &str = "127.0.0.1:8081";
const CACHE_FILE_DEFAULT: &str = "kenger-gateway.cache";
/// The word that turns something off.
const OFF: &str = "off";
/// The longest time that any setting may name.
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The shortest: anything less is a slip of the pen.
const TIME_MIN: Duration = Duration::from_millis(1);
const WORKERS_MAX: u64 = 1_024;
const LISTENERS_MAX: usize = kenger_types::limits::FILTER_MAX_NAMESPACES;

/// A field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// As it is named in the file, and as a flag with `-` for `_`.
    pub field: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// All fields that are wrong. Its text has a line for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub fields: Vec<FieldError>,
}

impl ConfigError {
    pub(super) fn one(field: &'static str, message: String) -> Self {
        Self { fields: vec![FieldError { field, message }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.fields.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", error.field, error.message)?;
        }
        Ok(())
    }
}

/// Gathers what is wrong; a wrong field gets its default, which nobody will see.
#[derive(Default)]
struct Checker {
    errors: Vec<FieldError>,
}

/// Checks everything.
pub(super) fn validate(settings: &GatewayArgs) -> Result<Config, ConfigError> {
    let mut check = Checker::default();
    let workers = check.number("workers", &settings.workers, default_workers(), 1, WORKERS_MAX);
    let config = Config {
        registry: check.registry(settings),
        listeners: check.listeners(settings),
        admin: check.address("admin", settings.admin.as_deref().unwrap_or(ADMIN_DEFAULT)),
        cache_file: check.cache_file(settings),
        health: check.health(settings),
        proxy: ProxyConfig {
            client: check.client(settings, workers),
            upstream: check.upstream(settings),
            shutdown_grace: check.time("shutdown_grace", &settings.shutdown_grace, Duration::from_secs(30)),
        },
        workers: to_usize(workers),
    };
    if check.errors.is_empty() { Ok(config) } else { Err(ConfigError { fields: check.errors }) }
}

fn default_workers() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// For numbers that were checked to be small.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Checker {
    fn wrong(&mut self, field: &'static str, message: impl fmt::Display) {
        self.errors.push(FieldError { field, message: message.to_string() });
    }

    fn registry(&mut self, settings: &GatewayArgs) -> RegistryConfig {
        let mut endpoints = settings.registry.clone();
        if endpoints.is_empty() {
            endpoints.push(REGISTRY_DEFAULT.to_owned());
        }
        for endpoint in &endpoints {
            if let Err(error) = endpoint.trim().parse::<Endpoint>() {
                self.wrong("registry", error);
            }
        }
        let token = settings.token.clone().filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.wrong("token", "a token is printable ASCII without spaces");
        }
        RegistryConfig { endpoints, token }
    }

    fn listeners(&mut self, settings: &GatewayArgs) -> Vec<ListenerConfig> {
        let mut raw = Vec::new();
        for text in &settings.listen {
            match text.rsplit_once('=') {
                Some((address, namespace)) => raw.push(("listen", address, namespace)),
                None => self.wrong(
                    "listen",
                    format!("{text:?} is not HOST:PORT=NAMESPACE, such as 127.0.0.1:18080=demo"),
                ),
            }
        }
        raw.extend(
            settings.listeners.iter().map(|raw| ("listeners", raw.address.as_str(), raw.namespace.as_str())),
        );
        if settings.listen.is_empty() && raw.is_empty() {
            self.wrong(
                "listen",
                "there is none: name at least one HOST:PORT=NAMESPACE, such as 127.0.0.1:18080=demo",
            );
        }
        if raw.len() > LISTENERS_MAX {
            self.wrong("listen", format!("{} are more than the {LISTENERS_MAX} that are allowed", raw.len()));
        }
        let mut taken = HashSet::new();
        let mut listeners = Vec::new();
        for (field, address, namespace) in raw {
            let address = self.address(field, address);
            if address.port() != 0 && !taken.insert(address) {
                self.wrong(field, format!("{address} is named twice"));
            }
            match namespace.trim().parse() {
                Ok(namespace) => listeners.push(ListenerConfig { address, namespace }),
                Err(error) => self.wrong(field, format!("the namespace {namespace:?}: {error}")),
            }
        }
        listeners
    }

    fn cache_file(&mut self, settings: &GatewayArgs) -> Option<PathBuf> {
        match settings.cache_file.as_deref() {
            Some(OFF) => None,
            Some("") => {
                self.wrong("cache_file", "an empty path; to have no cache say `off`");
                None
            }
            path => Some(PathBuf::from(path.unwrap_or(CACHE_FILE_DEFAULT))),
        }
    }

    fn health(&mut self, settings: &GatewayArgs) -> HealthConfig {
        let health = HealthConfig {
            is_on: self.truth("health_checks", &settings.health_checks, true),
            interval: self.time("health_interval", &settings.health_interval, Duration::from_secs(5)),
            timeout: self.time("health_timeout", &settings.health_timeout, Duration::from_secs(2)),
            expected_status: self.small(
                "health_expected_status",
                &settings.health_expected_status,
                200,
                200,
                599,
            ),
            rise: u32::from(self.small("health_rise", &settings.health_rise, 1, 1, 100)),
            fall: u32::from(self.small("health_fall", &settings.health_fall, 1, 1, 100)),
        };
        if health.timeout > health.interval {
            self.wrong(
                "health_timeout",
                "a check may not take longer than the time from one to the next (health_interval)",
            );
        }
        health
    }

    fn client(&mut self, settings: &GatewayArgs, workers: u64) -> ClientConfig {
        let connections = self.number("connections_max", &settings.connections_max, 100_000, 1, 10_000_000);
        ClientConfig {
            header_timeout: self.time(
                "client_header_timeout",
                &settings.client_header_timeout,
                Duration::from_secs(75),
            ),
            io_timeout: self.time("client_io_timeout", &settings.client_io_timeout, Duration::from_secs(60)),
            tunnel_idle_timeout: self.time(
                "tunnel_idle_timeout",
                &settings.tunnel_idle_timeout,
                Duration::from_secs(3_600),
            ),
            header_bytes_max: self.header_bytes_max(settings),
            connections_per_worker_max: to_usize(connections.div_ceil(workers)),
            forwarded: self.forwarded(settings),
        }
    }

    fn upstream(&mut self, settings: &GatewayArgs) -> UpstreamConfig {
        UpstreamConfig {
            connect_timeout: self.time("connect_timeout", &settings.connect_timeout, Duration::from_secs(10)),
            response_timeout: self.time(
                "response_timeout",
                &settings.response_timeout,
                Duration::from_secs(60),
            ),
            idle_per_node_max: usize::from(self.small(
                "pool_idle_per_node",
                &settings.pool_idle_per_node,
                64,
                0,
                10_000,
            )),
            idle_timeout: self.time(
                "pool_idle_timeout",
                &settings.pool_idle_timeout,
                Duration::from_secs(60),
            ),
            header_bytes_max: to_usize(
                number(settings.header_bytes_max.as_deref()).unwrap_or(HEADER_BYTES_DEFAULT),
            ),
            attempts_max: to_usize(self.number(
                "attempts_max",
                &settings.attempts_max,
                3,
                1,
                ATTEMPTS_MAX as u64,
            )),
        }
    }

    fn header_bytes_max(&mut self, settings: &GatewayArgs) -> usize {
        let bytes = self.number(
            "header_bytes_max",
            &settings.header_bytes_max,
            HEADER_BYTES_DEFAULT,
            8 << 10,
            1 << 20,
        );
        to_usize(bytes)
    }

    fn forwarded(&mut self, settings: &GatewayArgs) -> ForwardedTrust {
        match settings.forwarded.as_deref() {
            None | Some("append") => ForwardedTrust::Append,
            Some("keep") => ForwardedTrust::Keep,
            Some("replace") => ForwardedTrust::Replace,
            Some(other) => {
                self.wrong("forwarded", format!("{other:?} is none of append, keep, replace"));
                ForwardedTrust::Append
            }
        }
    }

    fn address(&mut self, field: &'static str, text: &str) -> SocketAddr {
        text.trim().parse().unwrap_or_else(|_| {
            self.wrong(
                field,
                format!("{text:?} is not an IP address with a port, such as 127.0.0.1:18080 or [::]:80"),
            );
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn time(&mut self, field: &'static str, text: &Option<String>, default: Duration) -> Duration {
        let Some(text) = text else { return default };
        match humantime::parse_duration(text.trim()) {
            Ok(time) if (TIME_MIN..=TIME_MAX).contains(&time) => time,
            _ => {
                self.wrong(
                    field,
                    format!("{text:?} is not a time from 1ms to 24h, such as 500ms, 5s or 1m30s"),
                );
                default
            }
        }
    }

    fn number(
        &mut self,
        field: &'static str,
        text: &Option<String>,
        default: u64,
        min: u64,
        max: u64,
    ) -> u64 {
        let Some(text) = text else { return default };
        match number(Some(text)) {
            Some(number) if (min..=max).contains(&number) => number,
            _ => {
                self.wrong(field, format!("{text:?} is not a whole number from {min} to {max}"));
                default
            }
        }
    }

    fn small(&mut self, field: &'static str, text: &Option<String>, default: u16, min: u16, max: u16) -> u16 {
        let number = self.number(field, text, default.into(), min.into(), max.into());
        u16::try_from(number).unwrap_or(default)
    }

    fn truth(&mut self, field: &'static str, text: &Option<String>, default: bool) -> bool {
        match text.as_deref() {
            None => default,
            Some("on" | "true") => true,
            Some(OFF | "false") => false,
            Some(other) => {
                self.wrong(field, format!("{other:?} is neither on nor off"));
                default
            }
        }
    }
}

const HEADER_BYTES_DEFAULT: u64 = 64 << 10;

fn number(text: Option<&str>) -> Option<u64> {
    text?.trim().parse().ok()
}
