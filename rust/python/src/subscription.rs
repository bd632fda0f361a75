//! Subscriptions, without the waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use counterpoint::ReadError;
use pyo3::prelude::*;

use crate::feed::{Feed, Source};
use crate::handle::Handle;
use crate::values::SequencedEvent;

/// The engine's half of a subscription: never waits. It keeps its store open.
///
/// position is the last position looked at: the caller waits for the head to move past it.
#[pyclass(frozen, module = "counterpoint._engine")]
pub struct Subscription {
    feed: Feed<Live>,
    position: Arc<AtomicU64>,
}

/// A subscription of the core that tells how far it has looked when it has nothing to give.
struct Live {
    subscription: counterpoint::Subscription,
    position: Arc<AtomicU64>,
}

impl Subscription {
    pub fn new(handle: Arc<Handle>, subscription: counterpoint::Subscription) -> Self {
        let position = Arc::new(AtomicU64::new(subscription.position()));
        let live = Live { subscription, position: Arc::clone(&position) };
        Self { feed: Feed::new(handle, live), position }
    }
}

#[pymethods]
impl Subscription {
    /// Every matching event up to here was given out, and none past it.
    #[getter]
    fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Return the next matching event, None if there is none yet.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<SequencedEvent>> {
        let event = self.feed.next(py)?;
        if let Some(event) = &event {
            // Threads that share the subscription may get here in any order.
            self.position.fetch_max(event.position, Ordering::AcqRel);
        }
        Ok(event.map(SequencedEvent::from))
    }
}

impl Source for Live {
    fn next_chunk(&mut self) -> Result<Vec<counterpoint::SequencedEvent>, ReadError> {
        let chunk = self.subscription.poll()?;
        if chunk.is_empty() {
            // Only now: before, events up to the core's position are still to be given out.
            self.position.fetch_max(self.subscription.position(), Ordering::AcqRel);
        }
        Ok(chunk)
    }
}
