//! The commit path: group commit without a timer, and without a thread hand-over for a lone caller.
//!
//! Whoever appends while nobody leads becomes the leader: it takes all waiting requests, decides them one by one
//! against the log and what it has staged, writes the accepted ones with one write, syncs, and goes on with its answer.
//! What arrived meanwhile is the next group, and led by the appender, a thread that leads for as long as requests wait:
//! from one caller to the next the lead would wait for a thread to wake, between any two syncs. The lead is kept
//! through the sync on purpose: handed on before it, groups are small, and the threads spend their time waking each
//! other (`docs/design.md` has the figures).

mod appender;
mod sync;
mod ticket;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use self::appender::Inbox;
pub(crate) use self::sync::Syncer;
use self::ticket::{Call, PANICKED, Queue, Recipient, Reply, Request, Ticket};
use crate::condition::{self, AppendCondition, Conflict};
use crate::error::{AppendError, StorageError};
use crate::event::Event;
use crate::housekeeping::Work;
use crate::index::Location;
use crate::limits::{self, InvalidInput, MAX_BATCH_BYTES, MAX_BATCH_EVENTS};
use crate::log::{LogWriter, Reach};
use crate::processes::SharedLock;
use crate::read;
use crate::threads::{Condvar, Mutex};
use crate::view::View;

/// Decides and writes appends, and sees to their being durable.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    /// Signalled when nobody leads any more.
    unled: Condvar,
    /// Whoever appends holds it, among all processes, from catching up with the log until the written mark has moved.
    append: SharedLock,
    pub(crate) view: Arc<View>,
    pub(crate) syncer: Syncer,
    record_conditions: bool,
    pub(crate) work: Arc<Work>,
}

/// A request with the leader's decision, to be answered once `position` is settled.
struct Decided {
    reply: Reply,
    answer: Result<u64, AppendError>,
    /// The last event of an accepted batch, or the event that a refused one lost to; 0 if there is none.
    position: u64,
}

impl Committer {
    pub(crate) fn new(
        append: SharedLock,
        view: Arc<View>,
        syncer: Syncer,
        record_conditions: bool,
        work: Arc<Work>,
    ) -> Self {
        let (queue, unled) = (Mutex::default(), Condvar::new());
        Self { queue, unled, append, view, syncer, record_conditions, work }
    }

    /// Appends the events as one batch unless an event matches one of the conditions.
    pub(crate) fn append(
        self: &Arc<Self>,
        events: Vec<Event>,
        conditions: Vec<AppendCondition>,
    ) -> Result<u64, AppendError> {
        let ticket = Arc::new(Ticket::default());
        let request = self.check(events, conditions, Reply::to(Recipient::Ticket(Arc::clone(&ticket))))?;
        let leads = {
            let mut queue = self.queue.lock();
            if queue.closed {
                return Err(AppendError::Closed);
            }
            queue.push(request)
        };
        let mut call = if leads { Call::Lead } else { ticket.wait() };
        loop {
            match call {
                Call::Answer(answer) => return answer,
                Call::Lead => appender::answer(self.lead()),
            }
            call = ticket.wait();
        }
    }

    fn check(
        &self,
        events: Vec<Event>,
        conditions: Vec<AppendCondition>,
        reply: Reply,
    ) -> Result<Request, AppendError> {
        if events.is_empty() {
            return Err(InvalidInput::EmptyBatch.into());
        }
        limits::at_most("events of a batch", events.len(), MAX_BATCH_EVENTS)?;
        let encoded = condition::encode(&conditions)?;
        let bytes = events.iter().map(|event| event.encoded().len()).sum::<usize>() + encoded.len();
        limits::at_most("bytes of a batch", bytes, MAX_BATCH_BYTES)?;
        let guards = if self.record_conditions { encoded } else { Vec::new() };
        Ok(Request { events, conditions, guards, bytes, reply })
    }

    /// Decides, writes and settles the waiting requests, then hands the lead on. The answers are given after that, so
    /// that the next group need not wait for them.
    fn lead(self: &Arc<Self>) -> Vec<Decided> {
        let mut lead = Lead { committer: self, completed: false };
        let requests = self.queue.lock().take_group();
        let mut group = self.decide_and_write(requests);
        self.settle(&mut group);
        lead.completed = true;
        group
    }

    fn decide_and_write(&self, requests: Vec<Request>) -> Vec<Decided> {
        let mut waiting = requests.into_iter();
        let mut group = Vec::with_capacity(waiting.len());
        let written = self.as_appender(|writer| {
            let durable = self.view.marks.durable();
            for request in waiting.by_ref() {
                let answer = self.decide(writer, &request, &durable);
                let position = match &answer {
                    Ok(position) => *position,
                    Err(AppendError::Conflict(conflict)) => conflict.position,
                    Err(_) => 0,
                };
                let failed =
                    if let Err(AppendError::Storage(error)) = &answer { Some(error.clone()) } else { None };
                group.push(Decided { reply: request.reply, answer, position });
                failed.map_or(Ok(()), Err)?;
            }
            self.write(writer)
        });
        if let Err(error) = written {
            group.extend(waiting.map(|request| Decided { reply: request.reply, answer: Ok(0), position: 0 }));
            for decided in &mut group {
                decided.answer = Err(error.clone().into());
                decided.position = 0;
            }
        }
        group
    }

    /// Runs `work` as the one appender among all processes, at the end of the log. An error poisons the store.
    fn as_appender(
        &self,
        work: impl FnOnce(&mut LogWriter) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let marks = &self.view.marks;
        let intact = marks.check_intact().or_else(|error| match error {
            // What has failed before goes on failing.
            StorageError::Io { .. } => self.syncer.check().and(Err(error)),
            _ => Err(error),
        });
        let held = intact.and_then(|()| self.append.hold_in_turn(marks));
        let _held = held.inspect_err(|error| self.syncer.fail(error))?;
        self.syncer.check()?;
        let mut writer = self.view.writer.lock();
        let done = self.go_to_end(&mut writer).and_then(|()| work(&mut writer));
        done.inspect_err(|error| self.syncer.fail(error))
    }

    /// Reads what others wrote, and settles what an appender left that died while it made room.
    fn go_to_end(&self, writer: &mut LogWriter) -> Result<(), StorageError> {
        let marks = &self.view.marks;
        if self.view.catch_up(writer)? {
            self.work.seal();
        }
        if marks.is_rolling() {
            writer.remove_successors()?;
            writer.settle_empty()?;
            marks.set_rolling(false);
        }
        Ok(())
    }

    /// Checks one request's conditions and stages its events. What earlier requests staged counts (I4).
    fn decide(&self, writer: &mut LogWriter, request: &Request, durable: &Reach) -> Result<u64, AppendError> {
        if let Some(conflict) = self.conflict(&request.conditions)? {
            return Err(AppendError::Conflict(conflict));
        }
        let recorded_at = now().max(writer.recorded_at());
        let mut locations = Vec::with_capacity(request.events.len());
        if !writer.has_room(&request.events, &request.guards) {
            self.view.marks.set_rolling(true);
        }
        writer.stage_batch(&request.events, &request.guards, recorded_at, durable, |offset, length| {
            locations.push(Location::new(offset, length));
        })?;
        let mut index = self.view.index.write();
        for (event, location) in request.events.iter().zip(locations) {
            index.push(&event.view(), location);
        }
        if index.turn(|| writer.point().map(|point| point.encode())) {
            self.work.seal();
        }
        Ok(writer.next_position() - 1)
    }

    fn conflict(&self, conditions: &[AppendCondition]) -> Result<Option<Conflict>, StorageError> {
        let last = self.view.index.read().last_position();
        for (condition, AppendCondition { query, after }) in conditions.iter().enumerate() {
            if *after < last
                && let Some(position) = read::first_match(&self.view, query, *after + 1..=last)?
            {
                return Ok(Some(Conflict { position, condition }));
            }
        }
        Ok(None)
    }

    /// Writes what is staged and lets others know how far the log is written.
    fn write(&self, writer: &mut LogWriter) -> Result<(), StorageError> {
        let marks = &self.view.marks;
        writer.flush()?;
        marks.check_intact()?;
        if writer.reach() == marks.written() {
            return Ok(());
        }
        self.syncer.wrote(writer.reach());
        // The others have to know of it before it is acknowledged, or they would write over it.
        self.syncer.check()?;
        if marks.is_rolling() {
            marks.set_rolling(false);
            writer.trim();
        }
        if let Some(next) = writer.wants_next_segment()
            && marks.claim_preparation(next)
        {
            self.work.prepare(next);
        }
        self.work.wrote();
        Ok(())
    }

    /// Returns once what the answers of a group rest on is settled: the accepted batches, and the events that refused
    /// ones lost to, so that their callers' next reads see them.
    fn settle(&self, group: &mut [Decided]) {
        let last = group.iter().map(|decided| decided.position).max().unwrap_or_default();
        if let Err(error) = self.syncer.settle(last) {
            let visible = self.syncer.visible();
            for decided in group.iter_mut().filter(|decided| decided.position > visible) {
                decided.answer = Err(error.clone().into());
            }
        }
    }

    /// Covers the last batch with a seal, if it is this handle's and has none, so that damage to it cannot be taken for
    /// a torn tail. A log that somebody has removed needs none.
    pub(crate) fn seal(&self) -> Result<(), StorageError> {
        let marks = &self.view.marks;
        let is_ours = |writer: &LogWriter| {
            writer.is_unsealed() && writer.reach() == marks.written() && writer.has_name().unwrap_or(true)
        };
        marks.check_intact()?;
        self.syncer.check()?;
        if !is_ours(&self.view.writer.lock()) {
            return Ok(());
        }
        self.syncer.sync_now()?;
        self.as_appender(|writer| {
            let durable = marks.durable();
            if writer.reach() != durable {
                // Somebody has appended meanwhile, and will seal.
                return Ok(());
            }
            marks.set_rolling(true);
            writer.stage_seal(&durable)?;
            self.write(writer)
        })?;
        self.syncer.sync_now()
    }

    /// Looks at the log while nobody appends: whoever moved the written mark has by then cut the segments that had ended.
    pub(crate) fn while_nobody_appends<T>(
        &self,
        look: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let _held = self.append.hold_in_turn(&self.view.marks)?;
        look()
    }

    /// Refuses new requests and returns once those under way are decided.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        while queue.led {
            queue = self.unled.wait(queue);
        }
        let appender = std::mem::take(&mut queue.appender);
        drop(queue);
        appender.end();
    }
}

/// Hands the lead on when dropped: to the appender, if requests wait.
struct Lead<'a> {
    committer: &'a Arc<Committer>,
    /// False when a panic takes the leader away.
    completed: bool,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.committer.syncer.fail(&PANICKED);
        }
        let mut queue = self.committer.queue.lock();
        queue.hand_on(self.committer);
        if !queue.led {
            self.committer.unled.notify_all();
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
