//! Requests that two programs may read differently: refused, or forwarded in one reading only.

use crate::support::{Raw, Rig, Service, eventually, node, run};

/// Sends bytes; the statuses of all answers, whether the connection was closed after them, and the
/// heads that the node got.
async fn probe(bytes: &[u8]) -> (Vec<u16>, bool, Vec<Vec<String>>) {
    let service = Service::named("ok").await;
    let rig = Rig::start(vec![node(service.address, 1)]).await;
    let mut client = Raw::connect(rig.address).await;
    client.send(bytes).await;
    let mut statuses = Vec::new();
    let closed = loop {
        match tokio::time::timeout(std::time::Duration::from_millis(400), client.try_answer()).await {
            Err(_) => break false,
            Ok(None) => break true,
            Ok(Some(answer)) => statuses.push(answer.status),
        }
    };
    let heads = service.seen.heads.lock().unwrap().clone();
    (statuses, closed, heads)
}

async fn assert_refused(name: &str, status: u16, bytes: &[u8]) {
    let (statuses, closed, heads) = probe(bytes).await;
    assert_eq!(statuses, [status], "{name}");
    assert!(closed, "{name}: the rest of the connection must not be read");
    assert_eq!(heads, Vec::<Vec<String>>::new(), "{name}: nothing may be forwarded");
}

#[test]
fn ambiguous_requests_are_answered_400_and_not_forwarded() {
    run(async {
        let probes: &[(&str, &[u8])] = &[
            ("length and coding", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX"),
            ("coding and length", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX"),
            ("unknown coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
            ("chunked is not last", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
            ("two codings", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("signed length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
            ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
            ("the same length twice", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
            ("a list of lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"),
            ("space before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello"),
            ("folded line", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
            ("coding in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("no host", b"GET / HTTP/1.1\r\n\r\n"),
            ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            ("empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
            ("host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
            ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
            ("hop-by-hop length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: content-length\r\n\r\nhello"),
            ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ];
        for (name, bytes) in probes {
            assert_refused(name, 400, bytes).await;
        }
        let gzip = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        assert_refused("gzip", 501, gzip).await;
        assert_refused("TRACE", 405, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    });
}

#[test]
fn an_ambiguous_request_is_refused_behind_others_on_its_connection() {
    run(async {
        let mut bytes = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        bytes.extend(
            b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\n\r\n\r\nContent-Length: 99\r\n\r\n",
        );
        bytes.extend(b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n13\r\nContent-Length: 7\r\n\r\n0\r\n\r\n");
        bytes.extend(b"POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX");
        let (statuses, closed, heads) = probe(&bytes).await;
        assert_eq!((statuses, closed), (vec![200, 200, 200, 400], true));
        let targets: Vec<_> = heads.iter().map(|head| head[0].clone()).collect();
        assert_eq!(targets, ["GET /1", "POST /2", "POST /3"]);
    });
}

#[test]
fn what_follows_a_refused_upgrade_is_a_request_of_its_own() {
    run(async {
        let (statuses, _, heads) = probe(
            b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
        )
        .await;
        assert_eq!(statuses, [200, 200]);
        let hosts: Vec<_> =
            heads.iter().map(|head| (head[0].as_str(), head.contains(&"host: b".to_owned()))).collect();
        assert_eq!(hosts, [("GET /1", false), ("GET /2", true)]);
        assert!(
            heads[1].iter().any(|line| line == "x-real-ip: 127.0.0.1"),
            "it went through the gateway's rules"
        );
    });
}

#[test]
fn lines_that_end_with_a_bare_line_feed_are_forwarded_in_one_reading() {
    run(async {
        let (statuses, _, heads) = probe(b"GET /x HTTP/1.1\nHost: a\n\n").await;
        assert_eq!((statuses, heads[0][0].as_str()), (vec![200], "GET /x"));
        let malformed =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=\n\r\nok\r\n0\r\n\r\n";
        let (statuses, closed, _) = probe(malformed).await;
        assert!(closed && statuses.iter().all(|status| *status == 400), "{statuses:?}");
    });
}

#[test]
fn a_url_as_target_replaces_the_host() {
    run(async {
        let (statuses, _, heads) = probe(b"GET http://b.example/p?q HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((statuses, heads[0][0].as_str()), (vec![200], "GET /p?q"));
        assert!(
            heads[0].contains(&"host: b.example".to_owned()) && !heads[0].contains(&"host: a".to_owned())
        );
    });
}

#[test]
fn a_response_with_two_lengths_is_not_passed_on() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nok")
                .await;
            let _ = stream.read(&mut buffer).await;
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let answer = rig.get("/").await;
        assert_eq!((answer.status, answer.error_code()), (502, Some("bad_response")));
        eventually("it is counted", async || rig.metric("errors_total", "bad_response").await == 1.0).await;
    });
}
