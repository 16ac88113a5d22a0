//! The nodes that take traffic, polled: for consumers that cannot follow the feed.

use std::time::Duration;

use kenger_types::api::path;
use kenger_types::{NamespaceName, Revision, SyncEnvelope};
use reqwest::StatusCode;
use reqwest::header::{HeaderValue, IF_NONE_MATCH};

use super::call::{Call, parse};
use super::{Client, Consistency};
use crate::Error;

/// What to ask `sync` for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncQuery {
    /// Of this namespace alone.
    pub ns: Option<NamespaceName>,
    /// Answer only when there is a higher revision than this, or when `wait` is over.
    pub since: Option<Revision>,
    /// How long the member may wait for one, at most
    /// [`SYNC_WAIT_MAX_MS`](kenger_types::limits::SYNC_WAIT_MAX_MS).
    pub wait: Option<Duration>,
    /// The ETag of the answer that the caller has already.
    pub if_none_match: Option<String>,
    /// How fresh the answer has to be.
    pub consistency: Consistency,
}

/// What `sync` answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncAnswer {
    /// The nodes that take traffic.
    Nodes {
        /// By namespace.
        nodes: SyncEnvelope,
        /// What to send as `if_none_match` next time.
        etag: Option<String>,
    },
    /// What the caller has is still right.
    NotModified,
}

impl Client {
    /// The online nodes of all namespaces or of one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sync(&self, query: &SyncQuery) -> Result<SyncAnswer, Error> {
        let mut call = Call::get(path::SYNC)
            .query("ns", query.ns.as_ref())
            .query("since", query.since)
            .query("wait", query.wait.map(|wait| format!("{}ms", wait.as_millis())))
            .consistency(query.consistency)
            .wait(query.wait.unwrap_or_default());
        if let Some(etag) = &query.if_none_match {
            let value = HeaderValue::from_str(etag)
                .map_err(|_| Error::Config(format!("{etag:?} is not an ETag of a sync answer")))?;
            call = call.header(IF_NONE_MATCH, value);
        }
        let (endpoint, raw) = self.send(&call).await?;
        if raw.status == StatusCode::NOT_MODIFIED {
            return Ok(SyncAnswer::NotModified);
        }
        Ok(SyncAnswer::Nodes { nodes: parse(&endpoint, &raw)?, etag: raw.etag() })
    }
}
