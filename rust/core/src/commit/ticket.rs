//! Requests that wait to be decided, and where their answers go: a ticket on which a caller waits, or an inbox.

use std::mem;
use std::sync::Arc;

use super::Committer;
use super::appender::{self, Appender, Inbox};
use crate::condition::AppendCondition;
use crate::error::{AppendError, StorageError};
use crate::event::Event;
use crate::threads::{Condvar, Mutex};

/// A group stops growing past this many bytes of events, so that nobody waits for a very long write.
const MAX_GROUP_BYTES: usize = 8 << 20;

/// The cause that is given when the leader panicked.
pub(super) const PANICKED: &str = "the commit path panicked";

/// What became of one append.
pub(super) type Answer = Result<u64, AppendError>;

/// Requests in the order in which they will be decided.
#[derive(Debug, Default)]
pub(super) struct Queue {
    requests: Vec<Request>,
    /// The bytes of all of them.
    bytes: usize,
    /// Leads when a group is done and requests wait.
    pub(super) appender: Appender,
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
    Answer(Answer),
}

/// Where a caller waits for its turn to lead or for its answer.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    call: Mutex<Option<Call>>,
    called: Condvar,
}

/// The leader's end of a request: whoever made it is answered exactly once, even if the leader panics.
#[derive(Debug, Default)]
pub(super) struct Reply(Recipient);

#[derive(Debug, Default)]
pub(super) enum Recipient {
    /// Nobody waits, or nobody any more.
    #[default]
    Nobody,
    Ticket(Arc<Ticket>),
    /// With the number by which the inbox knows the request.
    Inbox(Arc<dyn Inbox>, u64),
}

impl Queue {
    /// Adds a request. `true` if nobody led: then somebody has to be called, with [`Queue::hand_on`], or lead.
    pub(super) fn push(&mut self, request: Request) -> bool {
        self.bytes += request.bytes;
        self.requests.push(request);
        !mem::replace(&mut self.led, true)
    }

    /// Takes the requests of the next group, at least one if there is one.
    pub(super) fn take_group(&mut self) -> Vec<Request> {
        if self.bytes <= MAX_GROUP_BYTES {
            // The usual case takes no time, however many there are: others wait for the queue, some of them with the
            // interpreter in their hands.
            self.bytes = 0;
            return mem::take(&mut self.requests);
        }
        let mut bytes = 0;
        let fitting = self.requests.iter().take_while(|request| {
            let fits = bytes == 0 || bytes + request.bytes <= MAX_GROUP_BYTES;
            bytes += if fits { request.bytes } else { 0 };
            fits
        });
        let count = fitting.count();
        self.bytes -= bytes;
        self.requests.drain(..count).collect()
    }

    /// Has the waiting requests led, by the appender; nobody leads if there are none. Should there be no thread to be
    /// had, the first caller who waits for an answer leads.
    pub(super) fn hand_on(&mut self, committer: &Arc<Committer>) {
        let mut waiting = self.requests.iter().map(|request| &request.reply.0);
        if waiting.len() == 0 {
            self.led = false;
        } else if self.appender.start(committer).is_ok() {
            self.appender.ticket.call(Call::Lead);
        } else if let Some(caller) = waiting.find_map(Recipient::ticket) {
            caller.call(Call::Lead);
        }
    }
}

impl Recipient {
    fn ticket(&self) -> Option<&Ticket> {
        if let Self::Ticket(ticket) = self { Some(ticket) } else { None }
    }
}

impl Ticket {
    pub(super) fn wait(&self) -> Call {
        let mut call = self.call.lock();
        loop {
            match call.take() {
                Some(call) => return call,
                None => call = self.called.wait(call),
            }
        }
    }

    pub(super) fn call(&self, call: Call) {
        *self.call.lock() = Some(call);
        self.called.notify_one();
    }
}

impl Reply {
    pub(super) fn to(recipient: Recipient) -> Self {
        Self(recipient)
    }

    /// Whom to answer, who is then not answered by dropping this.
    pub(super) fn take(mut self) -> Recipient {
        mem::take(&mut self.0)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let panicked = || Err(StorageError::Poisoned { cause: PANICKED.to_owned() }.into());
        match mem::take(&mut self.0) {
            Recipient::Nobody => {}
            Recipient::Ticket(ticket) => ticket.call(Call::Answer(panicked())),
            Recipient::Inbox(inbox, id) => appender::deliver(&inbox, vec![(id, panicked())]),
        }
    }
}
