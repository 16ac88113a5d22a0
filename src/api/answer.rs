//! Successful answers: the envelope, and bodies that are too long to be made at once.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::Response;
use futures_util::stream;
use kenger_types::Revision;
use kenger_types::api::{Envelope, header};
use serde::Serialize;

/// A long body is made in chunks of about this size: a hundred thousand nodes hold up neither the
/// memory nor the requests that share the thread.
const CHUNK_BYTES: usize = 64 << 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REVISION: HeaderName = HeaderName::from_static(header::REVISION);
const LEADER_LAG_MS: HeaderName = HeaderName::from_static(header::LEADER_LAG_MS);

/// `{"code": 0, "message": "ok", "data": …}`
pub(super) fn ok<T: Serialize>(data: T) -> Response {
    let mut body = Vec::with_capacity(256);
    write_json(&Envelope::ok(data), &mut body);
    json(Body::from(body))
}

/// The same, with the revision that it was made from.
pub(super) fn ok_at<T: Serialize>(revision: Revision, data: T) -> Response {
    with_revision(ok(data), revision)
}

/// A JSON body.
pub(super) fn json(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Says from which revision the answer was made.
pub(super) fn with_revision(mut response: Response, revision: Revision) -> Response {
    response.headers_mut().insert(REVISION, HeaderValue::from(revision.0));
    response
}

/// Says how long ago the member last heard from a leader; nothing if it never did.
pub(super) fn with_lag(mut response: Response, lag: Duration) -> Response {
    if lag != Duration::MAX
        && let Ok(ms) = u64::try_from(lag.as_millis())
    {
        response.headers_mut().insert(LEADER_LAG_MS, HeaderValue::from(ms));
    }
    response
}

/// Appends `value` as JSON.
#[expect(
    clippy::expect_used,
    reason = "a Vec takes everything, and no type of the contract has a map with keys other than strings"
)]
pub(super) fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("JSON of a wire type");
}

/// Writes `pieces` one after the other into chunks, each when it is asked for.
pub(super) fn chunks<P>(
    pieces: impl IntoIterator<Item = P>,
    mut write: impl FnMut(P, &mut Vec<u8>),
) -> impl Iterator<Item = Bytes> {
    let mut pieces = pieces.into_iter();
    std::iter::from_fn(move || {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK_BYTES
            && let Some(piece) = pieces.next()
        {
            write(piece, &mut chunk);
        }
        (!chunk.is_empty()).then(|| Bytes::from(chunk))
    })
}

/// A body of these chunks: of known length if there is only one.
pub(super) fn body(mut chunks: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    let first = chunks.next().unwrap_or_default();
    match chunks.next() {
        None => Body::from(first),
        Some(second) => {
            let all = [first, second].into_iter().chain(chunks);
            Body::from_stream(stream::iter(all.map(Ok::<_, Infallible>)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::HttpBody;
    use http_body_util::BodyExt;

    fn numbers(n: u32) -> impl Iterator<Item = Bytes> {
        chunks(0..n, |i, out| out.extend_from_slice(format!("{i:09}\n").as_bytes()))
    }

    #[test]
    fn chunks_are_bounded_and_lose_nothing() {
        let chunks: Vec<Bytes> = numbers(20_000).collect();
        assert_eq!(chunks.len(), 4);
        assert!(chunks.iter().all(|chunk| chunk.len() < CHUNK_BYTES + 10));
        let expected: String = (0..20_000).map(|i| format!("{i:09}\n")).collect();
        assert_eq!(chunks.concat(), expected.as_bytes());
    }

    #[tokio::test]
    async fn a_short_body_has_a_length_and_a_long_one_is_streamed() {
        assert_eq!(body(numbers(0)).size_hint().exact(), Some(0));
        assert_eq!(body(numbers(10)).size_hint().exact(), Some(100));
        let long = body(numbers(20_000));
        assert_eq!(long.size_hint().exact(), None);
        assert_eq!(long.collect().await.unwrap().to_bytes().len(), 200_000);
    }
}
