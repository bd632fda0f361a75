//! The thread that leads while requests wait, and appends whose callers do not wait: their answers go to an inbox.
//!
//! The thread is a caller like others: it waits on a ticket until it is called to lead, which happens when a group is
//! done and others wait, or when a request comes that nobody waits for. A lone caller never meets it.

use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::ticket::{Answer, Call, Recipient, Reply, Ticket};
use super::{Committer, Decided};
use crate::condition::AppendCondition;
use crate::error::{AppendError, StorageError};
use crate::event::Event;

/// Where the answers of submitted appends go. It is told of each request once.
pub trait Inbox: Debug + Send + Sync {
    /// Takes the answers of one group, as pairs of the request's number and what [`Store::append`] would have returned.
    ///
    /// It is called by whichever thread led the group, so it should be quick, and must not wait for the store. A panic
    /// in it is caught and changes nothing for anybody else.
    ///
    /// [`Store::append`]: crate::Store::append
    fn deliver(&self, answers: Vec<(u64, Result<u64, AppendError>)>);
}

/// Answers for one inbox.
type Delivery = (Arc<dyn Inbox>, Vec<(u64, Answer)>);

/// The thread that leads for others. It is started when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Appender {
    /// Where it waits to be called.
    pub(super) ticket: Arc<Ticket>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Queues an append and returns. What [`Committer::append`] would return is delivered to the inbox under `id`,
    /// unless this itself fails.
    pub(crate) fn submit(
        self: &Arc<Self>,
        events: Vec<Event>,
        conditions: Vec<AppendCondition>,
        inbox: &Arc<dyn Inbox>,
        id: u64,
    ) -> Result<(), AppendError> {
        let mut request = self.check(events, conditions, Reply::default())?;
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(AppendError::Closed);
        }
        queue.appender.start(self)?;
        // From here on the request is answered, whatever happens.
        request.reply = Reply::to(Recipient::Inbox(Arc::clone(inbox), id));
        if queue.push(request) {
            queue.hand_on(self);
        }
        Ok(())
    }
}

impl Appender {
    pub(super) fn start(&mut self, committer: &Arc<Committer>) -> Result<(), StorageError> {
        if self.thread.is_none() {
            let (committer, ticket) = (Arc::clone(committer), Arc::clone(&self.ticket));
            let thread = thread::Builder::new().name("counterpoint-append".to_owned());
            let spawned = thread.spawn(move || lead_when_called(&committer, &ticket));
            self.thread = Some(spawned.map_err(StorageError::io("start a thread for", "the store"))?);
        }
        Ok(())
    }

    /// Ends the thread, which has nothing left to lead. Returns once it has delivered its last answers.
    pub(super) fn end(self) {
        self.ticket.call(Call::Answer(Err(AppendError::Closed)));
        if let Some(thread) = self.thread {
            // A panic of the thread has been told to those whom it concerned.
            drop(thread.join());
        }
    }
}

fn lead_when_called(committer: &Arc<Committer>, ticket: &Ticket) {
    while let Call::Lead = ticket.wait() {
        // A leader that panics has poisoned the store and answered its group; the next group is to be answered too.
        drop(panic::catch_unwind(AssertUnwindSafe(|| answer(committer.lead()))));
    }
}

/// Gives a group its answers: a ticket at once, an inbox all that are next to each other in one delivery.
pub(super) fn answer(group: Vec<Decided>) {
    let mut batch: Option<Delivery> = None;
    for decided in group {
        match decided.reply.take() {
            Recipient::Nobody => {}
            Recipient::Ticket(ticket) => ticket.call(Call::Answer(decided.answer)),
            Recipient::Inbox(inbox, id) => match &mut batch {
                Some((same, answers)) if Arc::ptr_eq(same, &inbox) => answers.push((id, decided.answer)),
                _ => {
                    if let Some((other, answers)) = batch.replace((inbox, vec![(id, decided.answer)])) {
                        deliver(&other, answers);
                    }
                }
            },
        }
    }
    if let Some((inbox, answers)) = batch {
        deliver(&inbox, answers);
    }
}

/// Delivers so that a panic of the inbox is nobody else's.
pub(super) fn deliver(inbox: &Arc<dyn Inbox>, answers: Vec<(u64, Answer)>) {
    drop(panic::catch_unwind(AssertUnwindSafe(|| inbox.deliver(answers))));
}
