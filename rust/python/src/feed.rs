//! Hands out events one by one, fetching them from the engine in chunks.

use std::sync::{Arc, Mutex};
use std::vec;

use counterpoint::{ReadError, SequencedEvent};
use pyo3::prelude::*;

use crate::UNPOISONED;
use crate::errors;
use crate::handle::Handle;

/// Where a feed has its events from.
pub trait Source: Send {
    /// The next events in order; empty if there are none now.
    fn next_chunk(&mut self) -> Result<Vec<SequencedEvent>, ReadError>;

    /// Whether it is certain that there will be no more events.
    fn is_over(&self) -> bool {
        false
    }
}

/// Events one by one, for any number of threads; each event goes to one of them.
///
/// There are two locks, so that no thread waits for the interpreter while it holds what another one wants that has
/// the interpreter: `ready` is never held across anything that blocks, `supply` is only waited for detached.
pub struct Feed<S> {
    handle: Arc<Handle>,
    ready: Mutex<Ready>,
    supply: Mutex<Supply<S>>,
}

#[derive(Default)]
struct Ready {
    events: vec::IntoIter<SequencedEvent>,
    /// These are the last: the end costs no look at the supply.
    over: bool,
}

struct Supply<S> {
    source: S,
    /// A source that failed may have skipped events, so it is not asked again.
    failure: Option<ReadError>,
}

impl<S: Source> Feed<S> {
    pub fn new(handle: Arc<Handle>, source: S) -> Self {
        let supply = Supply { source, failure: None };
        Self { handle, ready: Mutex::default(), supply: Mutex::new(supply) }
    }

    /// The next event; `None` if there is none now.
    pub fn next(&self, py: Python<'_>) -> PyResult<Option<SequencedEvent>> {
        loop {
            {
                let mut ready = self.ready.lock().expect(UNPOISONED);
                let event = ready.events.next();
                // An iterator that is at its end stays there; one that is not ends with its store.
                if event.is_none() && ready.over {
                    return Ok(None);
                }
                self.handle.check_open()?;
                if event.is_some() {
                    return Ok(event);
                }
            }
            if !py.detach(|| self.refill()).map_err(errors::read)? {
                return Ok(None);
            }
            // For loops in native code, such as that of `list`, which let no signal through.
            py.check_signals()?;
        }
    }

    /// Fetches a chunk if none is ready; `false` if there are no events now.
    fn refill(&self) -> Result<bool, ReadError> {
        let mut supply = self.supply.lock().expect(UNPOISONED);
        // Somebody else may have fetched one while this thread waited.
        if self.ready.lock().expect(UNPOISONED).events.len() > 0 {
            return Ok(true);
        }
        if let Some(failure) = &supply.failure {
            return Err(failure.clone());
        }
        let chunk = supply.source.next_chunk().inspect_err(|error| supply.failure = Some(error.clone()))?;
        let refilled = !chunk.is_empty();
        *self.ready.lock().expect(UNPOISONED) =
            Ready { events: chunk.into_iter(), over: supply.source.is_over() };
        Ok(refilled)
    }
}
