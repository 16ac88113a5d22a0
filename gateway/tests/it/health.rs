//! Active health checks against real services.

use std::time::Duration;

use kenger_types::Node;

use crate::support::{Rig, Service, eventually, node, run};

async fn rig(nodes: Vec<Node>) -> Rig {
    Rig::with(nodes, |settings| {
        settings.health_checks = Some("on".to_owned());
        settings.health_interval = Some("60ms".to_owned());
        settings.health_timeout = Some("50ms".to_owned());
    })
    .await
}

async fn healthy(rig: &Rig) -> u64 {
    rig.admin_json("/health?ns=demo").await["healthy"].as_u64().unwrap()
}

#[test]
fn a_split_respects_health_and_health_recovers() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = rig(vec![node(v1.address, 90), node(v2.address, 10)]).await;
        v1.set_health_status(500);
        eventually("v1 is unhealthy", async || healthy(&rig).await == 1).await;
        let before = v1.requests();
        for _ in 0..30 {
            assert_eq!(rig.get("/").await.text(), "v2");
        }
        assert_eq!(v1.requests(), before);
        v1.set_health_status(200);
        eventually("v1 is healthy again", async || healthy(&rig).await == 2).await;
        eventually("v1 serves again", async || rig.get("/").await.text() == "v1").await;
    });
}

#[test]
fn if_all_nodes_are_unhealthy_they_are_tried_anyway() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig = rig(vec![node(v1.address, 1)]).await;
        v1.set_health_status(404);
        eventually("v1 is unhealthy", async || healthy(&rig).await == 0).await;
        assert_eq!(rig.get("/").await.text(), "v1");
        assert_eq!(rig.metric("panic_picks_total", "").await, 1.0);
        assert_eq!(rig.metric("panic", "demo").await, 1.0);
    });
}

#[test]
fn a_node_that_does_not_answer_is_unhealthy() {
    run(async {
        let (v1, silent) = (
            Service::named("v1").await,
            Service::raw(|stream| async move {
                let _kept_open = stream;
                std::future::pending::<()>().await;
            })
            .await,
        );
        let rig = rig(vec![node(v1.address, 1), node(silent.address, 100)]).await;
        eventually("the silent node is unhealthy", async || healthy(&rig).await == 1).await;
        for _ in 0..10 {
            assert_eq!(rig.get("/").await.text(), "v1");
        }
    });
}

#[test]
fn a_removed_node_is_not_checked_any_more() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = rig(vec![node(v1.address, 1), node(v2.address, 1)]).await;
        eventually("both are checked", async || v1.checks() > 1 && v2.checks() > 1).await;
        rig.registry.delete(&node(v2.address, 1));
        rig.caught_up().await;
        // One that was under way may still arrive.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let (checked, others) = (v2.checks(), v1.checks());
        eventually("the other one is checked on", async || v1.checks() > others + 5).await;
        assert_eq!(v2.checks(), checked);
    });
}

#[test]
fn the_nodes_own_path_counts_before_the_namespaces() {
    run(async {
        let v1 = Service::answering(|request| async move {
            let mut response = http::Response::new(crate::support::service::full(""));
            if request.uri().path() != "/own" {
                *response.status_mut() = http::StatusCode::NOT_FOUND;
            }
            response
        })
        .await;
        v1.set_health_status(500);
        let mut own = node(v1.address, 1);
        own.health_path = Some("/own".parse().unwrap());
        let rig = rig(vec![own]).await;
        eventually("its own path was asked", async || v1.requests() > 3).await;
        assert_eq!((v1.checks(), healthy(&rig).await), (0, 1));
        let health = rig.admin_json("/health?ns=demo").await;
        assert_eq!(health["nodes"][0]["health_path"], "/own");
    });
}

#[test]
fn checks_keep_to_their_interval() {
    run(async {
        let v1 = Service::named("v1").await;
        let _rig = rig(vec![node(v1.address, 1)]).await;
        eventually("it is checked", async || v1.checks() > 0).await;
        let before = v1.checks();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let checks = v1.checks() - before;
        assert!((5..=25).contains(&checks), "{checks} checks in 20 intervals");
    });
}
