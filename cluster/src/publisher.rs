//! Who hears of what was applied: first the leases, then the feed.

use std::sync::Arc;

use kenger_state::{Applied, State};

use crate::feed::Hub;
use crate::lease::Book;
use crate::storage::ApplySink;

/// Told from within `apply`, in order, before anybody is answered.
pub(crate) struct Publisher {
    pub(crate) book: Arc<Book>,
    pub(crate) hub: Arc<Hub>,
}

impl ApplySink for Publisher {
    fn applied(&self, state: &Arc<State>, applied: &mut Applied) {
        self.book.observe(state, &applied.leases);
        self.hub.publish(state, applied.revision, std::mem::take(&mut applied.changes));
    }

    fn replaced(&self, state: &Arc<State>) {
        self.book.replaced(state);
        self.hub.replace(state);
    }
}
