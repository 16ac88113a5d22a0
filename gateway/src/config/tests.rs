//! Flags, file and defaults, and what is refused.

use std::time::Duration;

use clap::Parser;

use super::{Config, ConfigError, ForwardedTrust, GatewayArgs};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: GatewayArgs,
}

fn loaded(flags: &[&str]) -> Result<Config, ConfigError> {
    let command = ["gateway"].iter().chain(flags).copied();
    Command::try_parse_from(command).unwrap().args.load()
}

fn from_file(text: &str, flags: &[&str]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    let mut all = vec!["--config", path.to_str().unwrap()];
    all.extend(flags);
    loaded(&all)
}

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:18080=demo"];

#[test]
fn defaults_are_those_of_the_original_system() {
    let config = loaded(&LISTEN).unwrap();
    assert_eq!(config.registry.endpoints, ["http://127.0.0.1:5000"]);
    assert_eq!(config.admin, "127.0.0.1:8081".parse().unwrap());
    let health = &config.health;
    assert!(health.is_on);
    assert_eq!((health.interval, health.timeout), (Duration::from_secs(5), Duration::from_secs(2)));
    assert_eq!((health.expected_status, health.rise, health.fall), (200, 1, 1));
    let upstream = &config.proxy.upstream;
    assert_eq!(
        (upstream.connect_timeout, upstream.response_timeout),
        (Duration::from_secs(10), Duration::from_secs(60))
    );
    assert_eq!(config.proxy.client.forwarded, ForwardedTrust::Append);
}

#[test]
fn each_wrong_field_is_named() {
    let error = loaded(&[
        "--registry",
        "ftp://x",
        "--admin",
        "here",
        "--health-interval",
        "5",
        "--workers",
        "0",
        "--attempts-max",
        "x",
        "--forwarded",
        "maybe",
        "--listen",
        "127.0.0.1:1=a/b",
        "--listen",
        "nonsense",
    ])
    .unwrap_err();
    let fields: Vec<_> = error.fields.iter().map(|error| error.field).collect();
    for field in ["registry", "admin", "health_interval", "workers", "attempts_max", "forwarded"] {
        assert!(fields.contains(&field), "{field} is missing in {fields:?}");
    }
    assert_eq!(fields.iter().filter(|field| **field == "listen").count(), 2);
    assert_eq!(error.to_string().lines().count(), fields.len());
}

#[test]
fn a_gateway_needs_a_listener_and_each_address_once() {
    assert_eq!(loaded(&[]).unwrap_err().fields[0].field, "listen");
    let twice = loaded(&[LISTEN[0], LISTEN[1], "--listen", "127.0.0.1:18080=other"]).unwrap_err();
    assert!(twice.to_string().contains("named twice"), "{twice}");
    assert!(loaded(&["--listen", "127.0.0.1:0=a", "--listen", "127.0.0.1:0=b"]).is_ok());
}

#[test]
fn flags_count_before_the_file() {
    let text = "registry = [\"http://127.0.0.1:1\"]\nworkers = 2\nhealth_checks = false\nhealth_interval = \"7s\"\n\
                [[listeners]]\naddress = \"127.0.0.1:7\"\nnamespace = \"filed\"\n";
    let filed = from_file(text, &[]).unwrap();
    assert_eq!((filed.workers, filed.health.is_on, filed.health.interval.as_secs()), (2, false, 7));
    assert_eq!(filed.listeners[0].namespace.as_str(), "filed");
    let flagged =
        from_file(text, &["--workers", "3", LISTEN[0], LISTEN[1], "--health-checks", "on"]).unwrap();
    assert_eq!((flagged.workers, flagged.health.is_on, flagged.health.interval.as_secs()), (3, true, 7));
    assert_eq!(flagged.listeners.len(), 1);
    assert_eq!(flagged.listeners[0].namespace.as_str(), "demo");
    assert_eq!(flagged.registry.endpoints, ["http://127.0.0.1:1"]);
}

#[test]
fn a_field_that_does_not_exist_is_an_error() {
    let error = from_file("wokers = 2\n", &LISTEN).unwrap_err().to_string();
    assert!(error.contains("wokers"), "{error}");
    assert!(from_file("[[listeners]]\naddress = \"127.0.0.1:7\"\n", &[]).is_err());
    assert!(loaded(&["--config", "/nonexistent/gateway.toml", LISTEN[0], LISTEN[1]]).is_err());
}

#[test]
fn the_token_is_not_shown() {
    let config = loaded(&[LISTEN[0], LISTEN[1], "--token", "hidden-token"]).unwrap();
    assert!(!format!("{config:?}").contains("hidden-token"));
}
