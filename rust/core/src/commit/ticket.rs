//! Requests that wait to be decided, and the tickets on which their callers wait.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::condition::AppendCondition;
use crate::error::{AppendError, StorageError};
use crate::event::Event;

/// A group stops growing past this many bytes of events, so that nobody waits for a very long write.
const MAX_GROUP_BYTES: usize = 8 << 20;

/// The cause that is given when the leader panicked.
pub(super) const PANICKED: &str = "the commit path panicked";

/// Requests in the order in which they will be decided.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) requests: VecDeque<Request>,
    /// Whether somebody leads, or has been called to.
    pub(super) led: bool,
    pub(super) closed: bool,
}

/// One append.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) events: Vec<Event>,
    pub(super) conditions: Vec<AppendCondition>,
    /// The conditions as the log keeps them.
    pub(super) guards: Vec<u8>,
    /// The bytes of the batch.
    pub(super) bytes: usize,
    pub(super) reply: Reply,
}

/// What a waiting caller is woken for.
#[derive(Debug)]
pub(super) enum Call {
    Lead,
    Answer(Result<u64, AppendError>),
}

/// Where a caller waits for its turn to lead or for its answer.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    call: Mutex<Option<Call>>,
    called: Condvar,
}

/// The leader's end of a ticket. A caller is answered even if the leader panics.
#[derive(Debug)]
pub(super) struct Reply(Option<Arc<Ticket>>);

impl Queue {
    /// Takes the requests of the next group, at least one if there is one.
    pub(super) fn take_group(&mut self) -> Vec<Request> {
        let mut bytes = 0;
        let fitting = self.requests.iter().take_while(|request| {
            let fits = bytes == 0 || bytes + request.bytes <= MAX_GROUP_BYTES;
            bytes += request.bytes;
            fits
        });
        let count = fitting.count();
        self.requests.drain(..count).collect()
    }

    /// Calls the first waiting request to lead; nobody leads if there is none.
    pub(super) fn hand_on(&mut self) {
        match self.requests.front() {
            Some(next) => next.reply.call(Call::Lead),
            None => self.led = false,
        }
    }
}

impl Ticket {
    pub(super) fn wait(&self) -> Call {
        let mut call = self.call.lock();
        loop {
            match call.take() {
                Some(call) => return call,
                None => self.called.wait(&mut call),
            }
        }
    }
}

impl Reply {
    pub(super) fn to(ticket: &Arc<Ticket>) -> Self {
        Self(Some(Arc::clone(ticket)))
    }

    pub(super) fn answer(mut self, answer: Result<u64, AppendError>) {
        self.call(Call::Answer(answer));
        self.0 = None;
    }

    fn call(&self, call: Call) {
        if let Some(ticket) = &self.0 {
            *ticket.call.lock() = Some(call);
            ticket.called.notify_one();
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let cause = PANICKED.to_owned();
        self.call(Call::Answer(Err(StorageError::Poisoned { cause }.into())));
    }
}
