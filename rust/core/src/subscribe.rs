//! Subscriptions: catch up, then live; same order, no gap, no event twice.

use std::sync::Arc;

use crate::error::ReadError;
use crate::event::SequencedEvent;
use crate::query::Query;
use crate::read::{Chunks, Read, ReadOptions};
use crate::store::Shared;

/// A place in the log and a query: gives the matching events after that place, now or later. It never waits: when it
/// has nothing to give, the caller waits for the head to move past [`Subscription::position`].
#[derive(Debug)]
pub struct Subscription {
    store: Arc<Shared>,
    query: Query,
    /// The head that the current pass ends at: once it is over, everything up to here has been given.
    position: u64,
    pass: Option<Chunks>,
}

impl Subscription {
    pub(crate) fn new(store: Arc<Shared>, query: Query, after: u64) -> Result<Self, ReadError> {
        store.open()?;
        Ok(Self { store, query, position: after, pass: None })
    }

    /// Everything up to here has been looked at once [`Subscription::poll`] gives nothing.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next events, at once; empty if there is nothing new.
    pub fn poll(&mut self) -> Result<Vec<SequencedEvent>, ReadError> {
        loop {
            if let Some(pass) = &mut self.pass {
                let chunk = pass.next_chunk()?;
                if !chunk.is_empty() {
                    return Ok(chunk);
                }
                self.pass = None;
            }
            let options = ReadOptions { after: self.position, ..ReadOptions::default() };
            let read = Read::new(Arc::clone(&self.store), self.query.clone(), options)?;
            if read.head() <= self.position {
                return Ok(Vec::new());
            }
            self.position = read.head();
            self.pass = Some(read.chunks());
        }
    }
}
