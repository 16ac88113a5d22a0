//! Time, as this program measures it and waits for it.

use std::time::{Duration, Instant};

/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "this program measures real processes, in real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime whose thread this could block")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until something is so.
///
/// # Errors
/// It is not so within `limit`.
pub(super) fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = now() + limit;
    while !is_so() {
        if now() >= deadline {
            return Err(format!("not within {} s: {what}", limit.as_secs()));
        }
        pause(LOOK_EVERY);
    }
    Ok(())
}
