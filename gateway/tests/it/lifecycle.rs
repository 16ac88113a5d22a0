//! Start and stop.

use std::time::Duration;

use http::Response;
use kenger_gateway::{Gateway, RunError};

use crate::support::service::full;
use crate::support::{Raw, Rig, Service, dead_address, eventually, get, node, run, settings};

#[test]
fn a_taken_port_is_a_clear_error_before_anything_starts() {
    run(async {
        let rig = Rig::start(Vec::new()).await;
        for (is_admin, taken) in [(false, rig.address), (true, rig.admin)] {
            let mut settings = settings(dead_address());
            if is_admin {
                settings.admin = Some(taken.to_string());
            } else {
                settings.listeners[0].address = taken.to_string();
            }
            let error = Gateway::start(settings.load().unwrap()).await.unwrap_err();
            assert!(matches!(&error, RunError::Bind { address, .. } if *address == taken), "{error}");
            assert!(error.to_string().contains(&taken.to_string()), "{error}");
        }
    });
}

#[test]
fn several_listeners_serve_their_own_namespaces() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig = Rig::with(vec![node(v1.address, 1)], |settings| {
            let mut other = settings.listeners[0].clone();
            other.namespace = "other".to_owned();
            settings.listeners.push(settings.listeners[0].clone());
            settings.listeners.push(other);
        })
        .await;
        let [first, second, other] = rig.gateway.listeners() else { panic!("three listeners") };
        assert_eq!(get(*first, "/").await.text(), "v1");
        assert_eq!(get(*second, "/").await.text(), "v1");
        assert_eq!(get(*other, "/").await.error_code(), Some("no_such_namespace"));
        assert_eq!(rig.metric("requests_total", &format!("listener=\"{second}\"")).await, 1.0);
    });
}

#[test]
fn connections_are_spread_over_all_workers() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig =
            Rig::with(vec![node(v1.address, 1)], |settings| settings.workers = Some("4".to_owned())).await;
        for _ in 0..60 {
            rig.get("/").await;
        }
        // Each worker has its own connection to the node.
        assert!((2..=4).contains(&v1.connections()), "{}", v1.connections());
    });
}

#[test]
fn a_stop_lets_requests_finish_and_takes_no_new_ones() {
    run(async {
        let slow = Service::answering(|request| async move {
            if request.uri().path() == "/slow" {
                tokio::time::sleep(Duration::from_millis(600)).await;
            }
            Response::new(full("done"))
        })
        .await;
        let Rig { registry: _registry, gateway, address, .. } = Rig::start(vec![node(slow.address, 1)]).await;
        let mut idle = Raw::connect(address).await;
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        idle.answer().await;
        let mut busy = Raw::connect(address).await;
        busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        eventually("the request is under way", async || slow.requests() == 2).await;
        let began = tokio::time::Instant::now();
        let stopping = tokio::spawn(gateway.shutdown());
        assert!(idle.is_closed().await);
        let answer = busy.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
        stopping.await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    });
}

#[test]
fn a_stop_cuts_what_does_not_finish_in_time() {
    run(async {
        let silent = Service::answering(|_| std::future::pending()).await;
        let rig = Rig::with(vec![node(silent.address, 1)], |settings| {
            settings.shutdown_grace = Some("300ms".to_owned());
        })
        .await;
        let mut busy = Raw::connect(rig.address).await;
        busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        eventually("the request is under way", async || silent.requests() == 1).await;
        let began = tokio::time::Instant::now();
        rig.gateway.shutdown().await;
        assert!((200..3_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        assert!(busy.is_closed().await);
    });
}

#[test]
fn run_ends_with_its_shutdown() {
    run(async {
        let config = settings(dead_address()).load().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(kenger_gateway::run(config, async {
            let _ = stopped.await;
        }));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!running.is_finished());
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    });
}
