//! Request bodies: read within bounds, parsed once, and if they are wrong, wrong with a name.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kenger_types::ErrorCode;
use kenger_types::limits::BODY_MAX_BYTES;
use serde::de::DeserializeOwned;

use super::Api;
use super::error::Failure;

/// A body that has not arrived within this time is given up.
const BODY_READ_MAX: Duration = Duration::from_secs(10);

/// A JSON object as the body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _api: &Api) -> Result<Self, Failure> {
        check_content_type(request.headers())?;
        let bytes = read(request.into_body()).await?;
        parse(&bytes).map(Self)
    }
}

/// A missing content type passes: what is not JSON is found out anyway.
fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::UnsupportedMediaType,
        format!(
            "the body is JSON; send `Content-Type: application/json`, not {value:?} \
             (curl: -H 'Content-Type: application/json')"
        ),
    ))
}

async fn read(body: Body) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > BODY_MAX_BYTES as u64 {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(BODY_READ_MAX, Limited::new(body, BODY_MAX_BYTES).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(e)) => Err(Failure::invalid("", format!("the body did not arrive whole: {e}")).closing()),
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_READ_MAX.as_secs());
            Err(Failure::invalid("", message).closing())
        }
    }
}

fn too_large() -> Failure {
    Failure::new(ErrorCode::PayloadTooLarge, format!("a body has at most {BODY_MAX_BYTES} bytes")).closing()
}

/// Parses a JSON object. Parsed again, slower, if something is wrong, to say where.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Failure::invalid("", format!("the body is not UTF-8 from byte {} on", e.valid_up_to()))
    })?;
    // Structures may be written as arrays too, as far as serde_json is concerned.
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {}
        Some(_) => return Err(Failure::invalid("", "the body is not a JSON object")),
        None => return Err(Failure::invalid("", "the body is empty; send a JSON object")),
    }
    serde_json::from_str(text).map_err(|e| explain::<T>(text, &e))
}

fn explain<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Failure {
    let mut json = serde_json::Deserializer::from_str(text);
    let Err(with_path) = serde_path_to_error::deserialize::<_, T>(&mut json) else {
        // Right so far; what follows is not.
        return Failure::invalid("", error);
    };
    let message = with_path.inner().to_string();
    if !with_path.inner().is_data() {
        return Failure::invalid("", format!("the body is not JSON: {message}"));
    }
    let path = with_path.path().to_string();
    Failure::invalid(field(&path, &message), message)
}

/// The path of a wrong value is its field. A field that is missing, unknown or there twice is not in
/// the path, but serde names it.
fn field(path: &str, message: &str) -> String {
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    let path = path.trim_end_matches(['.', '?']);
    match named {
        None => path.to_owned(),
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        Some(name) => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use axum::response::IntoResponse;
    use futures_util::{StreamExt, stream};
    use tokio::time::Instant;

    use kenger_types::api::{HeartbeatBatch, NodeRegister, NodeWeight};

    fn wrong<T: DeserializeOwned>(body: impl AsRef<[u8]>) -> (String, String) {
        let Err(failure) = parse::<T>(body.as_ref()) else { panic!("{:?} was taken", body.as_ref()) };
        assert_eq!(failure.code(), ErrorCode::InvalidArgument);
        let error = failure.error();
        (error.field.clone().unwrap(), error.message.clone())
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        for (body, field) in [
            (r#"{"ns":"a/b","host":"h","port":1}"#, "ns"),
            (r#"{"ns":"","host":"h","port":1}"#, "ns"),
            (r#"{"ns":5,"host":"h","port":1}"#, "ns"),
            (r#"{"ns":"a","host":"h h","port":1}"#, "host"),
            (r#"{"ns":"a","host":"h\u0000","port":1}"#, "host"),
            (r#"{"ns":"a","host":"h","port":0}"#, "port"),
            (r#"{"ns":"a","host":"h","port":70000}"#, "port"),
            (r#"{"ns":"a","host":"h","port":"80"}"#, "port"),
            (r#"{"ns":"a","host":"h","port":1.5}"#, "port"),
            (r#"{"ns":"a","host":"h","port":null}"#, "port"),
            (r#"{"ns":"a","host":"h","port":1,"weight":-1}"#, "weight"),
            (r#"{"ns":"a","host":"h","port":1,"weight":1e9}"#, "weight"),
            (r#"{"ns":"a","host":"h","port":1,"weight":1000000000}"#, "weight"),
            (r#"{"ns":"a","host":"h","port":1,"health_path":"status"}"#, "health_path"),
            (r#"{"ns":"a","host":"h","port":1,"metadata":[]}"#, "metadata"),
            (r#"{"ns":"a","host":"h","port":1,"metadata":{"k":5}}"#, "metadata.k"),
            (r#"{"ns":"a","host":"h","port":1,"ttl_seconds":0}"#, "ttl_seconds"),
            (r#"{"ns":"a","host":"h","port":1,"wieght":10}"#, "wieght"),
            (r#"{"ns":"a","host":"h","port":1,"port":2}"#, "port"),
            (r#"{"ns":"a","namespace":"b","host":"h","port":1}"#, "ns"),
            (r#"{"ns":"a","host":"h"}"#, "port"),
            (r#"{}"#, "ns"),
        ] {
            let (named, message) = wrong::<NodeRegister>(body);
            assert_eq!(named, field, "{body}: {message}");
            assert!(message.starts_with(field), "{body}: {message}");
        }
        assert_eq!(wrong::<NodeWeight>(r#"{"ns":"a","host":"h","port":1}"#).0, "weight");
        let (field, _) =
            wrong::<HeartbeatBatch>(r#"{"nodes":[{"ns":"a","host":"h","port":1},{"ns":"a","host":"h"}]}"#);
        assert_eq!(field, "nodes[1].port");
    }

    #[test]
    fn what_is_no_json_object_is_refused_with_the_place() {
        for (body, says) in [
            (&b""[..], "empty"),
            (b"  \n", "empty"),
            (b"[]", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b"\"x\"", "not a JSON object"),
            (br#"["a","h",1]"#, "not a JSON object"),
            (b"ns=a&host=h", "not a JSON object"),
            (br#"{"ns":"a","#, "line 1 column"),
            (b"{\n\"ns\": a}", "line 2 column"),
            (br#"{"ns":"a","host":"h","port":1}{}"#, "trailing characters"),
            (br#"{"ns":"a","host":"h","port":1,}"#, "not JSON"),
            (b"{\"ns\":\"a\x01\"}", "not JSON"),
            (b"{\"ns\":\"\xff\"}", "not UTF-8 from byte 7"),
        ] {
            let (_, message) = wrong::<NodeRegister>(body);
            assert!(message.contains(says), "{:?}: {message}", String::from_utf8_lossy(body));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up_and_its_connection_closed() {
        let begin = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let started = Instant::now();
        let failure = read(Body::from_stream(begin.chain(stream::pending()))).await.unwrap_err();
        assert_eq!(started.elapsed(), BODY_READ_MAX);
        assert_eq!(failure.code(), ErrorCode::InvalidArgument);
        assert!(failure.error().message.contains("within 10 s"), "{}", failure.error().message);
        assert_eq!(failure.into_response().headers()["connection"], "close");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let body = format!(r#"{{"metadata":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        wrong::<NodeRegister>(&body);
    }

    #[test]
    fn content_types_other_than_json_are_refused_and_a_missing_one_is_not() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            check_content_type(&headers)
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["application/x-www-form-urlencoded", "text/plain", "", "json", "application/jsonx"] {
            assert_eq!(check(bad).unwrap_err().code(), ErrorCode::UnsupportedMediaType, "{bad}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_ok());
    }
}
