//! What the gateway believes of what it is told, and what it does when nobody tells.

use kenger_gateway::Gateway;
use kenger_types::feed::{Change, NodeCause};
use kenger_types::{ClusterId, Revision};

use crate::support::registry::CLUSTER;
use crate::support::{Registry, Rig, Service, cache_file, eventually, get, node, run, settings};

#[test]
fn a_stream_that_ends_is_resumed_where_it_ended() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = Rig::start(vec![node(v1.address, 1)]).await;
        rig.registry.put(node(v2.address, 100));
        rig.caught_up().await;
        rig.registry.cut();
        rig.registry.put(node(v1.address, 0));
        rig.caught_up().await;
        eventually("the feed was asked for again", async || rig.registry.watches() >= 2).await;
        assert_eq!(rig.registry.last_event_ids()[..2], [None, Some("11".to_owned())]);
        assert_eq!(rig.metric("feed_snapshots_total", "").await, 1.0, "no second snapshot was needed");
        assert_eq!(rig.metric("feed_from_leader", "").await, 1.0);
        assert_eq!(rig.get("/").await.text(), "v2");
    });
}

#[test]
fn events_of_a_foreign_cluster_change_nothing() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig = Rig::start(vec![node(v1.address, 1)]).await;
        rig.registry.become_foreign();
        eventually("it was refused", async || rig.metric("feed_foreign_total", "").await > 0.0).await;
        assert_eq!(rig.get("/").await.text(), "v1");
        let config = rig.admin_json("/config").await;
        assert_eq!((config["stale"].as_bool(), config["connected"].as_bool()), (Some(true), Some(false)));
        assert!(config["last_error"].as_str().unwrap().contains("cluster"), "{config}");
        let v2 = Service::named("v2").await;
        rig.registry.become_own(vec![node(v2.address, 1)], Revision(20));
        eventually("its own cluster counts again", async || rig.get("/").await.text() == "v2").await;
    });
}

#[test]
fn garbage_and_torn_events_change_nothing() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig = Rig::start(vec![node(v1.address, 1)]).await;
        let texts = [
            "event: snapshot\nid: 50\ndata: {\"cluster_id\":\n\n",
            "event: snapshot\nid: 50\ndata: {}\n\n",
            "event: change\nid: 11\ndata: not json\n\n",
            "\0\0\0 nonsense \n\n\n",
            "event: unheard-of\nid: 99\ndata: {}\n\n",
        ];
        for text in texts {
            rig.registry.tell(text);
            assert_eq!(rig.get("/").await.text(), "v1");
        }
        // Torn in the middle of an event that would remove the node.
        let empty = rig.registry.snapshot_at(CLUSTER, Revision(60), Vec::new());
        rig.registry.tell(&empty[..empty.len() - 2]);
        rig.registry.cut();
        let v2 = Service::named("v2").await;
        rig.registry.put(node(v2.address, 10_000));
        rig.caught_up().await;
        assert_eq!(rig.admin_json("/nodes?ns=demo").await.as_array().unwrap().len(), 2);
    });
}

#[test]
fn a_change_that_does_not_fit_leads_to_a_snapshot() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig = Rig::start(vec![node(v1.address, 1)]).await;
        let mut stray = node(v1.address, 1);
        stray.ns = "nobody-told-of-it".parse().unwrap();
        let change = Change::NodePut { cause: NodeCause::Registered, node: stray };
        rig.registry.tell(Registry::change_at(Revision(12), vec![change]));
        eventually("it was refused", async || rig.metric("feed_refused_total", "").await == 1.0).await;
        eventually("a snapshot came", async || rig.metric("feed_snapshots_total", "").await == 2.0).await;
        assert_eq!(rig.get("/").await.text(), "v1");
    });
}

#[test]
fn the_leader_that_a_member_names_is_followed() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = Rig::start(vec![node(v1.address, 1)]).await;
        let leader = Registry::start(vec![node(v2.address, 1)]).await;
        leader.put(node(v2.address, 2));
        rig.registry.redirect_to(leader.address());
        eventually("the new leader is followed", async || rig.get("/").await.text() == "v2").await;
        let config = rig.admin_json("/config").await;
        assert_eq!(config["connected_to"], format!("http://{}", leader.address()));
        assert_eq!(config["from_leader"], true);
    });
}

#[test]
fn a_gateway_serves_while_the_registry_is_down() {
    run(async {
        let v1 = Service::named("v1").await;
        let Rig { registry, gateway, address, admin } = Rig::start(vec![node(v1.address, 1)]).await;
        drop(registry);
        eventually("the gateway has noticed", async || {
            get(admin, "/nodes").await.header("x-kenger-stale") == Some("true")
        })
        .await;
        assert_eq!(get(address, "/").await.text(), "v1");
        assert_eq!(get(admin, "/readyz").await.status, 200);
        gateway.shutdown().await;
    });
}

#[test]
fn a_cold_start_without_the_registry_serves_from_the_cache() {
    run(async {
        let (directory, path) = cache_file();
        let v1 = Service::named("v1").await;
        let registry = Registry::start(vec![node(v1.address, 1)]).await;
        let registry_address = registry.address();
        let mut settings = settings(registry_address);
        settings.cache_file = Some(path.to_str().unwrap().to_owned());

        let first = Gateway::start(settings.clone().load().unwrap()).await.unwrap();
        let admin = first.admin();
        eventually("it is ready", async || get(admin, "/readyz").await.status == 200).await;
        first.shutdown().await;
        drop(registry);

        let second = Gateway::start(settings.clone().load().unwrap()).await.unwrap();
        let (address, admin) = (second.listeners()[0], second.admin());
        assert_eq!(get(admin, "/readyz").await.status, 200);
        assert_eq!(get(address, "/").await.text(), "v1");
        let health = get(admin, "/health?ns=demo").await;
        assert_eq!(health.header("x-kenger-stale"), Some("true"));
        let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
        assert_eq!((health["stale"].as_bool(), health["total"].as_u64()), (Some(true), Some(1)));
        assert!(health["age_ms"].as_u64().is_some());
        let metrics = get(admin, "/metrics").await.text();
        assert!(
            metrics.contains("kenger_gateway_from_cache 1") && metrics.contains("kenger_gateway_stale 1")
        );

        // The registry comes back with something else, as the same cluster.
        let v2 = Service::named("v2").await;
        let registry = Registry::at(registry_address, vec![node(v2.address, 1)]).await;
        registry.put(node(v2.address, 2));
        eventually("the registry counts again", async || get(address, "/").await.text() == "v2").await;
        assert_eq!(registry.last_event_ids()[0], Some("10".to_owned()), "the cache's revision is resumed");
        second.shutdown().await;
        drop(directory);
    });
}

#[test]
fn a_damaged_cache_is_refused_and_replaced() {
    run(async {
        let (_directory, path) = cache_file();
        std::fs::write(&path, "kenger-gateway-cache 1 00000000\n{\"saved_at\":").unwrap();
        let v1 = Service::named("v1").await;
        let rig = Rig::with(vec![node(v1.address, 1)], |settings| {
            settings.cache_file = Some(path.to_str().unwrap().to_owned());
        })
        .await;
        assert_eq!(rig.get("/").await.text(), "v1");
        eventually("a whole cache is written", async || rig.metric("cache_writes_total", "").await >= 1.0)
            .await;
        assert!(std::fs::read_to_string(&path).unwrap().contains(&CLUSTER.to_string()));
    });
}

#[test]
fn a_cache_of_another_cluster_keeps_the_registry_out_until_it_is_removed() {
    run(async {
        let (_directory, path) = cache_file();
        let v1 = Service::named("v1").await;
        let registry = Registry::start(vec![node(v1.address, 1)]).await;
        let mut settings = settings(registry.address());
        settings.cache_file = Some(path.to_str().unwrap().to_owned());
        let first = Gateway::start(settings.clone().load().unwrap()).await.unwrap();
        let admin = first.admin();
        eventually("it is ready", async || get(admin, "/readyz").await.status == 200).await;
        first.shutdown().await;
        registry.become_foreign();
        let second = Gateway::start(settings.load().unwrap()).await.unwrap();
        let (address, admin) = (second.listeners()[0], second.admin());
        eventually("the foreign cluster was refused", async || {
            get(admin, "/metrics").await.text().contains("kenger_gateway_feed_foreign_total 1")
        })
        .await;
        assert_eq!(get(address, "/").await.text(), "v1");
        assert_ne!(ClusterId(99), CLUSTER);
        second.shutdown().await;
    });
}

#[test]
fn before_anything_is_known_the_gateway_is_not_ready_and_says_so() {
    run(async {
        let gateway = Gateway::start(settings(crate::support::dead_address()).load().unwrap()).await.unwrap();
        assert_eq!(get(gateway.admin(), "/readyz").await.status, 503);
        assert_eq!(get(gateway.admin(), "/healthz").await.status, 200);
        let answer = get(gateway.listeners()[0], "/").await;
        assert_eq!((answer.status, answer.error_code()), (503, Some("nothing_known_yet")));
        gateway.shutdown().await;
    });
}
