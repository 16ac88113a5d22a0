//! Waiting for something to become so, within a bound.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until `look` says that it is so.
///
/// # Panics
/// It is not so within `limit`.
pub async fn eventually(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> bool) {
    eventually_some(what, limit, async || look().await.then_some(())).await;
}

/// Waits until `look` finds something.
///
/// # Panics
/// It finds nothing within `limit`.
pub async fn eventually_some<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// The same for whom it is no failure: what `look` finds, `None` if that is nothing within `limit`. A look that is
/// under way then is given up.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(limit, looking).await.ok()
}
