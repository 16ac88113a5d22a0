//! `docker-compose.yml` for real: the system in containers, under the faults that an operator of
//! containers causes. Nothing that was acknowledged may be lost, and the gateway serves throughout.
//!
//! Needs a Docker engine and the image named by `KENGER_TEST_IMAGE`, which `cargo xtask test` builds.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it must be"
)]

mod compose;
mod ledger;
mod traffic;

use std::io::Write;

use compose::{MEMBERS, Project};
use ledger::Ledger;
use traffic::Traffic;

/// Names the image; set by `cargo xtask test`.
const IMAGE: &str = "KENGER_TEST_IMAGE";
/// Nodes that are registered between two faults.
const NODES_PER_ROUND: u16 = 20;

#[tokio::test]
async fn containers_that_stop_and_part_lose_nothing_and_the_gateway_serves_on() {
    let Ok(image) = std::env::var(IMAGE) else {
        skip(
            "docker: containers",
            "no image was built; `cargo xtask test` does where a Docker engine answers",
        );
        return;
    };
    let project = Project::up(&image);
    project.wait_until_all_is_well().await;
    let mut ledger = Ledger::new(&project);
    let traffic = Traffic::start(project.gateway_url());
    ledger.write(NODES_PER_ROUND, &MEMBERS).await;

    // A leader's container is stopped, and comes back.
    let leader = project.leader().await;
    project.compose(&["stop", &leader.service()]);
    ledger.write(NODES_PER_ROUND, &leader.others()).await;
    project.compose(&["start", &leader.service()]);
    project.wait_until_members_are_ready(&MEMBERS).await;
    ledger.check_on(&MEMBERS).await;

    // A leader is cut off from everybody, and comes back.
    let leader = project.leader().await;
    project.disconnect(leader);
    ledger.write(NODES_PER_ROUND, &leader.others()).await;
    project.connect(leader);
    project.wait_until_members_are_ready(&MEMBERS).await;
    ledger.check_on(&MEMBERS).await;

    // All members are restarted at once.
    project.compose(&["restart", "member-1", "member-2", "member-3"]);
    project.wait_until_members_are_ready(&MEMBERS).await;
    ledger.check_on(&MEMBERS).await;
    ledger.write(NODES_PER_ROUND, &MEMBERS).await;

    // Up to here the gateway must have served every request, by both versions.
    traffic.stop_and_check().await;

    // Everything is restarted, the gateway and the services too.
    project.compose(&["restart"]);
    project.wait_until_all_is_well().await;
    ledger.check_on(&MEMBERS).await;
    project.check_nobody_is_root();
}

/// Says that a test could not run, to whoever looks: in the output, and for the summary of the suite.
fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED: {name}: {reason}\n");
    eprint!("{line}");
    if let Ok(log) = std::env::var("KENGER_SKIP_LOG") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the skip log can be written");
    }
}
