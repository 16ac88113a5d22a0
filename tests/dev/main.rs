//! `kenger dev` as a new user meets it: real processes, real ports, real signals.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it must be"
)]

mod client;
mod lua;
mod system;

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use client::{Traffic, online_nodes, ports_of_nodes, register_silent_node, wait_until_ready};
use nix::sys::signal::Signal;
use system::{System, free_base, is_listened_on, is_running, wait_until};

// As a script sees them, see `kenger::exit`.
const EXIT_USAGE: i32 = 64;
const EXIT_UNAVAILABLE: i32 = 69;
const EXIT_SOFTWARE: i32 = 70;
const EXIT_IO: i32 = 74;

#[tokio::test]
async fn a_system_serves_both_versions_by_weight_and_ctrl_c_leaves_nothing() {
    let mut system = System::start(&[]);
    let answers = client::ask(&system.gateway_url(), 400).await;
    assert_eq!(answers.values().sum::<u32>(), 400, "{answers:?}");
    // 90 to 10: 360 and 40 are expected; outside of this range is less likely than one in a million.
    assert!((330..=385).contains(&answers["v1"]), "{answers:?}");
    assert!((15..=70).contains(&answers["v2"]), "{answers:?}");

    let (pids, directory) = (system.pids(), system.directory());
    assert_eq!(pids.len(), 6);
    assert_eq!(system.stop(), Some(0));
    assert!(pids.iter().all(|&pid| !is_running(pid)), "{pids:?}");
    assert!(system.ports().into_iter().all(|port| !is_listened_on(port)));
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[tokio::test]
async fn a_killed_leader_costs_no_request_and_no_node_and_comes_back_by_the_printed_command() {
    let mut system = System::start(&[]);
    let traffic = Traffic::start(system.gateway_url());
    let (leader, pid) = system.leader();
    traffic.wait_for(50).await;
    system::kill(pid, Signal::SIGKILL);

    system.wait_for_stderr(&format!("{leader} was ended by signal 9"));
    let others = system.members_but(&leader);
    let before = traffic.count();
    wait_until_ready(&others).await;
    // While nobody answers from the killed member, the rest is all there, and stays.
    assert_eq!(online_nodes(&others[0]).await, 2);
    traffic.wait_for(before + 100).await;
    assert_eq!(online_nodes(&others[1]).await, 2);

    let mut again =
        Command::new("sh").args(["-c", &format!("exec {}", system.command_of(&leader))]).spawn().unwrap();
    let restarted = system.api_of(&leader);
    wait_until_ready(std::slice::from_ref(&restarted)).await;
    assert_eq!(online_nodes(&restarted).await, 2);
    let answers = traffic.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["v1", "v2"], "{answers:?}");

    // What was started in another terminal belongs there: it runs on, and keeps its data.
    let directory = system.directory();
    assert_eq!(system.stop(), Some(0));
    assert!(is_running(again.id()) && directory.exists());
    system.wait_for_stderr("is left in place");
    system::kill(again.id(), Signal::SIGTERM);
    assert!(again.wait().unwrap().success());
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_killed_dev_takes_every_part_with_it() {
    let mut system = System::start(&[]);
    let (pids, directory) = (system.pids(), system.directory());
    assert!(pids.len() == 6 && pids.iter().all(|&pid| is_running(pid)));
    system::kill(system.pid(), Signal::SIGKILL);
    assert_eq!(system.wait(), None, "ended by a signal");
    wait_until("every part is gone", || pids.iter().all(|&pid| !is_running(pid)));
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_kept_directory_is_gone_on_with() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let arguments = ["--data-dir", directory.to_str().unwrap()];
    let mut system = System::start(&arguments);
    register_silent_node(&system.api_of("member 1"), "kept", 9_000).await;
    assert_eq!(system.stop(), Some(0));
    assert!(directory.exists());

    let mut again = System::start_at(system.base(), &arguments);
    for member in ["member 1", "member 2", "member 3"] {
        assert_eq!(ports_of_nodes(&again.api_of(member), "kept").await, [9_000], "{member}");
    }
    assert_eq!(client::ask(&again.gateway_url(), 100).await.values().sum::<u32>(), 100);
    assert_eq!(again.stop(), Some(0));

    // The members have stored their addresses: other ports would be another cluster.
    let (code, text) = System::refused(system.base() + 7, &arguments);
    assert_eq!(code, Some(EXIT_IO), "{text}");
    assert!(text.contains(&format!("--port-base {}", system.base())), "{text}");
}

#[test]
fn a_taken_port_is_named_before_anything_starts() {
    let base = free_base();
    let holder = TcpListener::bind(("127.0.0.1", base + 101)).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let (code, text) = System::refused(base, &["--data-dir", directory.to_str().unwrap()]);
    assert_eq!(code, Some(EXIT_UNAVAILABLE), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{} (for member 2's peers)", base + 101)), "{text}");
    assert!(text.contains("--port-base"), "{text}");
    assert!(!directory.exists());
    drop(holder);
}

#[test]
fn a_part_that_does_not_start_is_told_with_the_end_of_its_log() {
    let base = free_base();
    let parent = tempfile::tempdir().unwrap();
    // The member's directory cannot be made where a file lies.
    std::fs::write(parent.path().join("member-2"), "in the way").unwrap();
    let (code, text) = System::refused(base, &["--data-dir", parent.path().to_str().unwrap()]);
    assert_eq!(code, Some(EXIT_SOFTWARE), "{text}");
    assert!(text.contains("member 2 ended while everything was being started"), "{text}");
    assert!(text.contains("member-2.log") && text.lines().count() > 4, "{text}");
    wait_until("nobody listens", || [0, 100, 200].iter().all(|offset| !is_listened_on(base + offset)));
}

#[test]
fn a_port_base_without_room_for_all_ports_is_a_usage_error() {
    let (code, text) = System::refused(60_000, &[]);
    assert_eq!(code, Some(EXIT_USAGE), "{text}");
    assert!(text.contains("--port-base"), "{text}");
}

/// The longest that anything here is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
