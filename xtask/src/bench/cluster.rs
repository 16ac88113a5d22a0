//! What a replicated store is to the measurements, whoever made it.

use std::time::Duration;

use super::clock::wait_until;
use super::http::Server;

/// How long a question may take that is asked again and again.
pub(super) const POLL_LIMIT: Duration = Duration::from_secs(2);
/// How long one write may take before it is asked for anew: far more than it takes while somebody leads,
/// and less than etcd holds a request that it got while nobody did.
pub(super) const WRITE_LIMIT: Duration = Duration::from_millis(250);

/// Three members, known by their places.
pub(super) trait Cluster {
    /// Where each member's API is.
    fn servers(&self) -> Vec<Server>;

    /// The place of the member that leads, if one does.
    fn leader(&self) -> Option<usize>;

    /// Whether the member has a leader and has caught up.
    fn is_ready(&self, place: usize) -> bool;

    /// One write, which is another one for each number; whether it was acknowledged.
    fn write(server: &Server, n: u64) -> bool;

    /// SIGKILL.
    fn kill(&mut self, place: usize);

    /// Starts a member again, with its data.
    ///
    /// # Errors
    /// The process cannot be started.
    fn restart(&mut self, place: usize) -> Result<(), String>;

    /// Waits until the member is ready.
    ///
    /// # Errors
    /// It is not in time.
    fn wait_ready(&self, place: usize, limit: Duration) -> Result<(), String> {
        wait_until(&format!("member {} is ready", place + 1), limit, || self.is_ready(place))
    }
}
