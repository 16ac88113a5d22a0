//! Who may do what. The table here is written apart from the one in the program.

use kenger::token::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Options, Server, answer, one, token};

const READ: u8 = 1;
const REGISTER: u8 = 2;
const ADMIN: u8 = 3;

const NEEDED: [(&str, &str, u8); 14] = [
    ("GET", "/api/upstream/namespace/list", READ),
    ("POST", "/api/upstream/namespace/add", ADMIN),
    ("POST", "/api/upstream/namespace/update", ADMIN),
    ("POST", "/api/upstream/namespace/delete", ADMIN),
    ("GET", "/api/upstream/node/list", READ),
    ("POST", "/api/upstream/node/register", REGISTER),
    ("POST", "/api/upstream/node/deregister", REGISTER),
    ("POST", "/api/upstream/node/weight", ADMIN),
    ("POST", "/api/upstream/node/update", ADMIN),
    ("POST", "/api/upstream/node/delete", ADMIN),
    ("POST", "/api/upstream/heartbeat", REGISTER),
    ("GET", "/api/upstream/sync", READ),
    ("GET", "/api/cluster/status", READ),
    ("GET", "/metrics", READ),
];

fn options() -> Options {
    let tokens = vec![
        token("reader", Role::Read, &[]),
        token("service", Role::Register, &[]),
        token("admin-token", Role::Admin, &[]),
        token("shop-service", Role::Register, &["shop"]),
        token("shop-admin", Role::Admin, &["shop"]),
    ];
    Options { tokens, ..Options::default() }
}

async fn ask(server: &Server, method: &str, path: &str, token: Option<&str>) -> Answer {
    let mut request = server.bare(method.parse().unwrap(), path);
    if method == "POST" {
        request = request.json(&json!({}));
    }
    if let Some(token) = token {
        request = request.header("x-api-token", token);
    }
    answer(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_path_asks_for_its_role() {
    let server = one(options()).await;
    for (method, path, needed) in NEEDED {
        let none = ask(&server, method, path, None).await;
        assert_eq!((none.status, none.error()), (401, "unauthenticated"), "{path}");
        assert!(none.header("www-authenticate").unwrap().starts_with("Bearer"), "{path}");
        let wrong = ask(&server, method, path, Some("guess")).await;
        assert_eq!((wrong.status, wrong.error()), (401, "unauthenticated"), "{path}");
        for (token, role) in [("reader", READ), ("service", REGISTER), ("admin-token", ADMIN)] {
            let asked = ask(&server, method, path, Some(token)).await;
            if role < needed {
                assert_eq!((asked.status, asked.error()), (403, "permission_denied"), "{path} as {token}");
                let name = ["", "read", "register", "admin"][usize::from(needed)];
                assert!(
                    asked.json["message"].as_str().unwrap().contains(&format!("role {name}")),
                    "{}",
                    asked.text
                );
            } else {
                // The empty body is wrong for some, but that is found out after the token.
                assert!([200, 400].contains(&asked.status), "{path} as {token}: {}", asked.text);
            }
        }
    }
    let watch = ask(&server, "GET", "/api/upstream/watch", None).await;
    assert_eq!(watch.status, 401);
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(ask(&server, "GET", probe, None).await.status, 200, "{probe}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_namespace_sees_and_touches_no_other() {
    let server = one(options()).await;
    for ns in ["shop", "bank"] {
        server.post("/api/upstream/node/register", json!({"ns": ns, "host": "h", "port": 1})).await.data();
    }
    let nodes = server.get("/api/upstream/node/list").await;
    let id_in = |ns: &str| {
        let nodes = nodes.data().as_array().unwrap();
        nodes.iter().find(|node| node["ns"] == ns).unwrap()["id"].clone()
    };
    let namespaces = server.get("/api/upstream/namespace/list").await;
    let bank_id =
        namespaces.data().as_array().unwrap().iter().find(|ns| ns["name"] == "bank").unwrap()["id"].clone();
    let post = async |token: &str, path: &str, body: serde_json::Value| {
        answer(server.bare(Method::POST, path).bearer_auth(token).json(&body)).await
    };
    for (token, path, body) in [
        ("shop-service", "/api/upstream/node/register", json!({"ns": "bank", "host": "h", "port": 2})),
        ("shop-service", "/api/upstream/node/deregister", json!({"ns": "bank", "host": "h", "port": 1})),
        ("shop-service", "/api/upstream/heartbeat", json!({"ns": "bank", "host": "h", "port": 1})),
        (
            "shop-service",
            "/api/upstream/heartbeat",
            json!({"nodes": [
            {"ns": "shop", "host": "h", "port": 1}, {"ns": "bank", "host": "h", "port": 1}]}),
        ),
        (
            "shop-admin",
            "/api/upstream/node/weight",
            json!({"ns": "bank", "host": "h", "port": 1, "weight": 0}),
        ),
        ("shop-admin", "/api/upstream/node/update", json!({"id": id_in("bank"), "weight": 0})),
        ("shop-admin", "/api/upstream/node/delete", json!({"id": id_in("bank")})),
        ("shop-admin", "/api/upstream/namespace/add", json!({"name": "other"})),
        ("shop-admin", "/api/upstream/namespace/update", json!({"name": "shop", "new_name": "other"})),
        ("shop-admin", "/api/upstream/namespace/update", json!({"id": bank_id, "description": "x"})),
        ("shop-admin", "/api/upstream/namespace/delete", json!({"name": "bank"})),
    ] {
        let refused = post(token, path, body.clone()).await;
        assert_eq!((refused.status, refused.error()), (403, "permission_denied"), "{path} {body}");
    }
    for (token, path, body) in [
        ("shop-service", "/api/upstream/heartbeat", json!({"ns": "shop", "host": "h", "port": 1})),
        ("shop-admin", "/api/upstream/node/update", json!({"id": id_in("shop"), "weight": 3})),
        ("shop-admin", "/api/upstream/namespace/update", json!({"name": "shop", "description": "x"})),
    ] {
        assert_eq!(post(token, path, body.clone()).await.status, 200, "{path} {body}");
    }
    for (path, shown) in [("/api/upstream/node/list", "ns"), ("/api/upstream/namespace/list", "name")] {
        let listed = ask(&server, "GET", path, Some("shop-service")).await;
        let listed = listed.data().as_array().unwrap();
        assert_eq!((listed.len(), &listed[0][shown]), (1, &json!("shop")), "{path}");
    }
    let synced = ask(&server, "GET", "/api/upstream/sync", Some("shop-service")).await;
    assert_eq!(synced.data().as_object().unwrap().keys().collect::<Vec<_>>(), ["shop"]);
    for path in
        ["/api/upstream/sync?ns=shop,bank", "/api/upstream/node/list?ns=bank", "/api/upstream/watch?ns=bank"]
    {
        assert_eq!(ask(&server, "GET", path, Some("shop-service")).await.status, 403, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_where_it_was_asked_for() {
    let server = one(Options { metrics_without_token: true, ..options() }).await;
    assert_eq!(ask(&server, "GET", "/metrics", None).await.status, 200);
    assert_eq!(ask(&server, "GET", "/api/upstream/sync", None).await.status, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_everything_is_open() {
    let server = one(Options { tokens: Vec::new(), ..Options::default() }).await;
    let body = json!({"ns": "shop", "host": "h", "port": 1});
    let registered = answer(server.bare(Method::POST, "/api/upstream/node/register").json(&body)).await;
    assert_eq!(registered.status, 200);
    server.stop().await;
}
