//! The last known state on disk, so that a gateway that starts while the registry is down serves.
//!
//! A line that names the format and the checksum of the rest, then JSON. Written to a temporary file
//! first and renamed, so that there is always a whole one; one that is not whole, or of another
//! format, is refused.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kenger_types::Timestamp;
use kenger_types::feed::SnapshotEvent;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::FeedStatus;
use crate::clock::wall_clock_now;
use crate::routing::Router;

const FORMAT: &str = "kenger-gateway-cache 1";
/// Largest file that is read.
const BYTES_MAX: u64 = 512 << 20;
/// Shortest time from a change to its write, and from one write to the next.
const WRITE_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// A write that took long is followed by a pause this many times as long, so that writing never
/// takes more than a small part of the time.
const PAUSE_PER_WRITE_TIME: u32 = 20;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cached {
    /// By the wall clock of whoever wrote it; only shown.
    pub(crate) saved_at: Timestamp,
    pub(crate) snapshot: SnapshotEvent,
}

/// Why a cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is larger than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("it does not begin with `{FORMAT}`: it is of another format, or no cache")]
    Format,
    #[error("its checksum is wrong: it is damaged")]
    Checksum,
    #[error("it cannot be read: {0}")]
    Body(#[from] serde_json::Error),
}

/// Reads a cache; `None` if there is none.
pub(crate) fn load(path: &Path) -> Result<Option<Cached>, CacheError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(CacheError::TooLarge);
    }
    let end = memchr::memchr(b'\n', &bytes).ok_or(CacheError::Format)?;
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let checksum =
        std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(FORMAT)?.strip_prefix(' '));
    let checksum =
        u32::from_str_radix(checksum.ok_or(CacheError::Format)?, 16).map_err(|_| CacheError::Format)?;
    if crc32c::crc32c(body) != checksum {
        return Err(CacheError::Checksum);
    }
    Ok(Some(serde_json::from_slice(body)?))
}

/// Writes a cache in place of the one before.
pub(crate) fn store(path: &Path, cached: &Cached) -> Result<(), CacheError> {
    let body = serde_json::to_vec(cached)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    writeln!(file, "{FORMAT} {:08x}", crc32c::crc32c(&body))?;
    file.write_all(&body)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The rename itself must survive a power cut.
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// Writes the cache whenever the view has changed, with pauses. Never ends.
pub(crate) async fn keep(path: PathBuf, router: Arc<Router>, status: Arc<FeedStatus>) {
    let mut changes = router.view_changes();
    let mut pause = WRITE_INTERVAL_MIN;
    while changes.changed().await.is_ok() {
        tokio::time::sleep(pause).await;
        changes.mark_unchanged();
        let began = Instant::now();
        write(&path, &router, &status).await;
        pause = (began.elapsed() * PAUSE_PER_WRITE_TIME).max(WRITE_INTERVAL_MIN);
    }
}

/// Writes the cache now. A failure is told and counted; the gateway serves without a cache, too.
pub(crate) async fn write(path: &Path, router: &Arc<Router>, status: &FeedStatus) {
    let (target, router) = (path.to_owned(), Arc::clone(router));
    let stored = tokio::task::spawn_blocking(move || {
        let Some(copy) = router.copy() else { return Ok(()) };
        store(&target, &Cached { saved_at: wall_clock_now(), snapshot: copy.into_snapshot() })
    });
    match stored.await {
        Ok(Ok(())) => status.cache_writes.increment(),
        Ok(Err(error)) => {
            status.cache_write_errors.increment();
            tracing::warn!(file = %path.display(), %error, "the cache cannot be written");
        }
        Err(error) => tracing::error!(%error, "writing the cache has failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, snapshot};

    fn cached() -> Cached {
        let snapshot = snapshot(10, &["demo"], vec![node("demo", 1, 100)]);
        Cached { saved_at: Timestamp::from_unix_ms(1_234), snapshot }
    }

    #[test]
    fn what_is_stored_is_loaded_and_replaces_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        assert!(load(&path).unwrap().is_none());
        fs::write(&path, "something else").unwrap();
        store(&path, &cached()).unwrap();
        assert_eq!(load(&path).unwrap(), Some(cached()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_cache_with_any_damaged_or_missing_byte_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        store(&path, &cached()).unwrap();
        let whole = fs::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(load(&path).is_err(), "byte {index}");
            fs::write(&path, &whole[..index]).unwrap();
            assert!(load(&path).is_err(), "cut at {index}");
        }
    }
}
