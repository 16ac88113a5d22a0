//! Bad input: refused with 400 and the field's name, never with 500, and never taken.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Options, SOON, Server, answer, one};

const REGISTER: &str = "/api/upstream/node/register";

async fn raw(server: &Server, path: &str, body: impl Into<reqwest::Body>) -> crate::support::Answer {
    answer(server.request(Method::POST, path).header("content-type", "application/json").body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_refused_by_the_name_of_its_field_and_changes_nothing() {
    let server = one(Options::default()).await;
    let good = json!({"ns": "a", "host": "h", "port": 1});
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let cases = [
        ("ns", json!("a/b")),
        ("ns", json!("")),
        ("ns", json!("a b")),
        ("ns", json!("ä")),
        ("ns", json!("a\u{0}")),
        ("ns", json!("x".repeat(65))),
        ("ns", json!(7)),
        ("ns", json!(null)),
        ("ns", json!(["a"])),
        ("host", json!("h\r\nX: y")),
        ("host", json!("http://h")),
        ("host", json!("1.2.3.4.5")),
        ("host", json!("x".repeat(129))),
        ("port", json!(0)),
        ("port", json!(70_000)),
        ("port", json!(-1)),
        ("port", json!("80")),
        ("port", json!(80.5)),
        ("port", json!(null)),
        ("weight", json!(-1)),
        ("weight", json!(1e9)),
        ("weight", json!(10_001)),
        ("weight", json!("10")),
        ("health_path", json!("status")),
        ("health_path", json!("/a b")),
        ("health_path", json!("/\r\nHost: x")),
        ("health_path", json!(format!("/{}", "x".repeat(128)))),
        ("metadata", json!({"k": "v".repeat(513)})),
        ("metadata", json!({"": "v"})),
        ("metadata", json!({"k": "\u{7}"})),
        ("metadata", json!((0..33).map(|i| (i.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>())),
        ("metadata.k", json!(null)),
        ("ttl_seconds", json!(0)),
        ("ttl_seconds", json!(86_401)),
        ("if_revision", json!(-1)),
        ("wieght", json!(10)),
    ];
    for (field, value) in cases {
        let body = match field {
            "metadata.k" => with("metadata", json!({"k": value})),
            key => with(key, value),
        };
        let refused = server.post(REGISTER, body.clone()).await;
        assert_eq!(refused.field(), field, "{body}: {}", refused.text);
    }
    for missing in ["ns", "host", "port"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(server.post(REGISTER, body).await.field(), missing);
    }
    assert_eq!(server.get("/api/upstream/namespace/list").await.data(), &json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_path_names_the_field_that_is_wrong() {
    let server = one(Options::default()).await;
    for (path, body, field) in [
        ("/api/upstream/namespace/add", json!({}), "name"),
        ("/api/upstream/namespace/add", json!({"name": "a", "description": "x".repeat(256)}), "description"),
        ("/api/upstream/namespace/update", json!({"new_name": "a"}), "name"),
        ("/api/upstream/namespace/update", json!({"id": 1, "name": "a"}), "id"),
        ("/api/upstream/namespace/update", json!({"id": 1, "new_name": "a/b"}), "new_name"),
        ("/api/upstream/namespace/delete", json!({"id": "1"}), "id"),
        ("/api/upstream/node/deregister", json!({"ns": "a", "host": "h"}), "port"),
        ("/api/upstream/node/weight", json!({"ns": "a", "host": "h", "port": 1}), "weight"),
        ("/api/upstream/node/update", json!({"weight": 1}), "id"),
        ("/api/upstream/node/delete", json!({"id": -1}), "id"),
        ("/api/upstream/heartbeat", json!({"ns": "a", "host": "h"}), "port"),
        ("/api/upstream/heartbeat", json!({"nodes": [{"ns": "a", "host": "h", "port": 0}]}), "nodes[0].port"),
    ] {
        let refused = server.post(path, body.clone()).await;
        assert_eq!(refused.field(), field, "{path} {body}: {}", refused.text);
    }
    for (path, field) in [
        ("/api/upstream/namespace/list?ns=a", "ns"),
        ("/api/upstream/node/list?statsu=online", "statsu"),
        ("/api/upstream/node/list?status=up", "status"),
        ("/api/upstream/node/list?ns=a%2Fb", "ns"),
        ("/api/upstream/node/list?ns=", "ns"),
        ("/api/upstream/node/list?consistency=strong", "consistency"),
        ("/api/upstream/sync?wait=5s", "since"),
        ("/api/upstream/sync?since=1&wait=5", "wait"),
        ("/api/upstream/sync?since=1&wait=1h", "wait"),
        ("/api/upstream/sync?since=x", "since"),
        ("/api/upstream/sync?ns=a&ns=b", "ns"),
        ("/api/upstream/watch?from=follower", "from"),
        ("/api/upstream/watch?from=leader&consistency=stale", "consistency"),
        ("/api/upstream/watch?since=1&last_event_id=1", "since"),
        ("/api/upstream/watch?since=-1", "since"),
        ("/api/cluster/status?verbose=1", "verbose"),
    ] {
        let refused = server.get(path).await;
        assert_eq!(refused.field(), field, "{path}: {}", refused.text);
    }
    let cursor = server.request(Method::GET, "/api/upstream/watch").header("last-event-id", "abc");
    assert_eq!(answer(cursor).await.field(), "Last-Event-ID");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_json_object_is_refused() {
    let server = one(Options::default()).await;
    for (body, says) in [
        (&b""[..], "empty"),
        (b"{", "line 1 column"),
        (b"{\"ns\":\"a\",\"host\":\"h\",\"port\":1", "line 1 column"),
        (b"{'ns':'a'}", "not JSON"),
        (b"[1,2]", "not a JSON object"),
        (b"[\"a\",\"h\",1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{\"ns\":\"a\",\"host\":\"h\",\"port\":1}x", "trailing"),
        (b"{\"ns\":\"\xc3\x28\"}", "not UTF-8"),
        (b"{\"ns\":\"a\x0bb\"}", "not JSON"),
        (b"{\"ns\":\"a\",\"ns\":\"b\",\"host\":\"h\",\"port\":1}", "duplicate field"),
        (
            b"{\"ns\":\"a\",\"host\":\"h\",\"port\":1,\"metadata\":{\"k\":\"1\",\"k\":\"2\"}}",
            "the key \"k\" twice",
        ),
    ] {
        let refused = raw(&server, REGISTER, body).await;
        refused.field();
        assert!(refused.json["message"].as_str().unwrap().contains(says), "{body:?}: {}", refused.text);
    }
    let nested = format!("{{\"metadata\":{}1{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    assert_eq!(raw(&server, REGISTER, nested).await.status, 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_more_than_a_mebibyte_is_refused_whether_it_says_so_or_not() {
    let server = one(Options::default()).await;
    let huge = format!("{{\"ns\":\"{}\"}}", "a".repeat(2 << 20));
    // Announced: refused before it is read, so that a client need not see the answer of a broken pipe.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {REGISTER} HTTP/1.1\r\nHost: x\r\nX-API-Token: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        crate::support::ADMIN,
        huge.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    assert!(text.contains("\"error\":\"payload_too_large\""), "{text}");
    // Not announced: read up to the bound.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {REGISTER} HTTP/1.1\r\nHost: x\r\nX-API-Token: {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        crate::support::ADMIN,
        (1 << 20) + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; (1 << 20) + 1]).await.unwrap();
    let mut begin = [0; 13];
    tokio::time::timeout(SOON, stream.read_exact(&mut begin)).await.unwrap().unwrap();
    assert_eq!(&begin, b"HTTP/1.1 413 ");
    // The largest that is allowed is read.
    let allowed = format!("{{\"ns\":\"a\",\"host\":\"h\",\"port\":1}}{}", " ".repeat((1 << 20) - 30));
    assert_eq!(allowed.len(), 1 << 20);
    assert_eq!(raw(&server, REGISTER, allowed).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_methods_and_content_types_are_answered_in_the_envelope() {
    let server = one(Options::default()).await;
    let unknown = server.get("/api/upstream/nope").await;
    assert_eq!((unknown.status, unknown.error()), (404, "path_not_found"));
    let method = server.get(REGISTER).await;
    assert_eq!((method.status, method.error()), (405, "method_not_allowed"));
    assert_eq!(method.header("allow"), Some("POST"));
    let method = server.post("/api/upstream/sync", json!({})).await;
    assert_eq!((method.status, method.header("allow")), (405, Some("GET,HEAD")));
    let form = answer(
        server
            .request(Method::POST, REGISTER)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("ns=a&host=h&port=1"),
    )
    .await;
    assert_eq!((form.status, form.error()), (415, "unsupported_media_type"));
    assert!(form.json["message"].as_str().unwrap().contains("application/json"), "{}", form.text);
    let untyped =
        answer(server.request(Method::POST, REGISTER).body(r#"{"ns":"a","host":"h","port":1}"#)).await;
    assert_eq!(untyped.status, 200, "{}", untyped.text);
    server.stop().await;
}

/// Sends raw bytes; what comes back until the member closes.
async fn talk(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_its_host_is_refused_and_its_connection_closed() {
    let server = one(Options::default()).await;
    for path in ["/healthz", "/api/upstream/node/list", "/no/such/path"] {
        for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a b\r\n"] {
            let answer = talk(&server, &format!("GET {path} HTTP/1.1\r\n{hosts}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path} {hosts:?}: {answer}");
            assert!(
                answer.contains("\"error\":\"invalid_argument\"") && answer.contains("\"field\":\"Host\"")
            );
        }
    }
    let old = talk(&server, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_answered_and_cut_off() {
    let server = one(Options::default()).await;
    let long = "x".repeat(70 << 10);
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(101)), "431"),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "414"),
    ] {
        let answer = talk(&server, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
    server.stop().await;
}
