//! Verification: whether all that is stored is as it was written, and was rightly accepted.
//!
//! The log is read once, from end to end, and everything else is held against it: the index, term by term, and every
//! condition that an append was accepted under (I4). Nothing is changed or mended, no append waits, and what is in memory
//! does not grow with the log.

mod conditions;
mod explain;
mod findings;
mod frames;
mod parts;
mod recent;
mod scan;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::sync::Arc;

use uuid::Uuid;

use self::conditions::Conditions;
pub(crate) use self::findings::Findings;
use self::frames::Frames;
use self::parts::Parts;
use self::recent::Recent;
pub(crate) use self::scan::{LogScan, Met};
use crate::error::{ReadError, StorageError};
use crate::index::sealed::{self, Sealed};
use crate::indexing;
use crate::log::{Reach, Segment, StoreSeed, segment};
use crate::sealing;
use crate::storage::Storage;
use crate::store::Shared;
use crate::view::View;

pub use self::explain::Explanation;
pub(crate) use self::explain::explain;
pub use self::findings::{Finding, FindingKind, MAX_FINDINGS};

/// What a verification came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The last position that was to be verified.
    pub head: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Batches that validate.
    pub batches: u64,
    /// Events that validate.
    pub events: u64,
    /// Conditions that were asked again.
    pub conditions: u64,
    /// Index files that were compared with the log.
    pub index_files: u64,
    /// Bytes of log and index that were read.
    pub bytes: u64,
    /// What was found, in the order in which it was met; at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many findings there were.
    pub finding_count: u64,
}

/// A verification under way, up to the head at which it began: [`Verify::step`] does a piece of it.
#[derive(Debug)]
pub struct Verify {
    /// The open store, if it is one.
    store: Option<Arc<Shared>>,
    log: Log,
    head: u64,
    frames: Frames,
    scan: LogScan,
    /// A second pass over a part of the log, for conditions that nothing else answers for.
    again: Option<(LogScan, Recent)>,
    findings: Findings,
    is_over: bool,
    /// What ended it too early: there is no going on from the middle of a piece.
    failed: Option<StorageError>,
}

/// The log as it was when the verification began.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    storage: Arc<dyn Storage>,
    store: Uuid,
    segments: Vec<(u64, u64)>,
    until: Option<Reach>,
}

impl Log {
    pub(crate) fn find(
        storage: Arc<dyn Storage>,
        store: Uuid,
        until: Option<Reach>,
    ) -> Result<Self, StorageError> {
        let names = storage.list().map_err(StorageError::io("list", "the store directory"))?;
        let mut segments = Vec::new();
        let last = until.map_or(u64::MAX, |until| until.segment);
        for name in &names {
            let Some(first) = segment::first_position(name).filter(|first| *first <= last) else { continue };
            match storage.open(name).and_then(|file| file.len()) {
                // It is missed when its turn comes.
                Err(error) if error.kind() == ErrorKind::NotFound => segments.push((first, 0)),
                length => segments.push((first, length.map_err(StorageError::io("measure", name))?)),
            }
        }
        segments.sort_unstable();
        Ok(Self { storage, store, segments, until })
    }

    pub(crate) fn scan(&self, from: u64) -> LogScan {
        let Self { storage, store, segments, until } = self.clone();
        LogScan::new(storage, store, segments, until, from)
    }

    /// The bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, length)| length).sum()
    }

    fn firsts(&self) -> Vec<u64> {
        self.segments.iter().map(|(first, _)| *first).collect()
    }
}

impl Verify {
    pub(crate) fn of_store(store: Arc<Shared>) -> Result<Self, ReadError> {
        let inner = store.open()?;
        let view = &inner.view;
        let until = inner.reach()?;
        inner.index_up_to(until.position)?;
        // Only now: from here on no tail that holds events up to the head is divided.
        let (sealed, ends) = {
            let index = view.index.read();
            (index.sealed(), index.ends())
        };
        let log = Log::find(Arc::clone(&view.sealer.storage), view.sealer.store, Some(until))?;
        drop(inner);
        Ok(Self::new(Some(store), log, &sealed, ends)?)
    }

    /// Verifies a store that nobody has open, as it lies there, even if it is too damaged to be opened.
    pub fn of_storage(storage: Arc<dyn Storage>) -> Result<Self, ReadError> {
        let mut log = Log::find(storage, Uuid::nil(), None)?;
        for (first, _) in &log.segments {
            let name = segment::file_name(*first);
            let file = log.storage.open(&name).map_err(StorageError::io("open", &name))?;
            match Segment::new(*first, file).header() {
                Ok((header, _)) => {
                    log.store = header.store;
                    break;
                }
                Err(StorageError::Corrupt(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let sealed = sealing::load(&*log.storage, log.store, &[]);
        let ends = sealed.iter().map(|part| *part.positions().end()).collect();
        Ok(Self::new(None, log, &sealed, ends)?)
    }

    fn new(
        store: Option<Arc<Shared>>,
        log: Log,
        sealed: &[Arc<Sealed>],
        ends: Vec<u64>,
    ) -> Result<Self, StorageError> {
        let mut findings = Findings::default();
        look_at_unused(&log, sealed, &mut findings)?;
        let conditions = Conditions::new(Arc::clone(&log.storage), StoreSeed::new(log.store));
        let frames = Frames::new(Recent::new(1, ends), Parts::new(sealed, log.firsts()), conditions);
        let head = log.until.map_or(0, |until| until.position);
        let scan = log.scan(1);
        Ok(Self { store, log, head, frames, scan, again: None, findings, is_over: false, failed: None })
    }

    /// Does a piece of the work, usually a few milliseconds; `false` once there is nothing left to do. An error is not about
    /// what is stored but about reading it, and ends the verification.
    pub fn step(&mut self) -> Result<bool, ReadError> {
        let store = self.store.clone().map(|store| store.open()).transpose()?;
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        let advanced = self.advance(store.as_ref().map(|store| &*store.view));
        Ok(advanced.inspect_err(|error| self.failed = Some(error.clone()))?)
    }

    /// Bytes that are behind, and all there are.
    pub fn progress(&self) -> (u64, u64) {
        let (log, log_bytes) = self.scan.progress();
        let (index, index_bytes) = self.frames.parts.progress();
        (log + index, log_bytes + index_bytes)
    }

    /// What it has come to so far.
    pub fn result(mut self) -> Verification {
        let bytes = self.progress().0;
        Verification {
            head: self.head.max(self.scan.next_position() - 1),
            segments: self.scan.segments_begun() as u64,
            batches: self.frames.batches,
            events: self.frames.events,
            conditions: self.frames.conditions.count,
            index_files: self.frames.parts.len() as u64,
            bytes,
            finding_count: self.findings.count(),
            findings: self.findings.take(),
        }
    }

    fn advance(&mut self, view: Option<&View>) -> Result<bool, StorageError> {
        let Self { frames, scan, findings, .. } = self;
        if frames.parts.check_pages(findings) || frames.parts.count_postings(findings) {
            return Ok(true);
        }
        if self.again.is_some() {
            return self.read_again().map(|()| true);
        }
        let mut visit = |met: Met<'_>, segment: u64, findings: &mut Findings| match met {
            Met::Frame(frame) => frames.check(frame, segment, view, findings),
            Met::Gap(next) => {
                frames.turn(next, view, findings);
                Ok(())
            }
        };
        if !self.is_over {
            self.is_over = !scan.step(findings, &mut visit)?;
            if self.is_over {
                frames.turn(scan.next_position(), view, findings);
            }
        }
        let conditions = &frames.conditions;
        if let Some(wanted) = conditions.wanted().filter(|_| self.is_over || conditions.is_full()) {
            let from = frames.parts.segment_of(*wanted.start()).unwrap_or(1);
            self.again = Some((self.log.scan(from), Recent::new(from, Vec::new())));
            return Ok(true);
        }
        Ok(!self.is_over || frames.parts.is_counting())
    }

    /// Does a piece of the second pass. What is damaged has been reported by the first.
    fn read_again(&mut self) -> Result<(), StorageError> {
        let Some((scan, recent)) = &mut self.again else { return Ok(()) };
        let (conditions, found) = (&mut self.frames.conditions, &mut self.findings);
        let mut visit = |met: Met<'_>, _: u64, _: &mut Findings| {
            match met {
                Met::Frame(frame) => indexing::each_valid(frame, &mut |position, event, location| {
                    if recent.tail().last_position() + 1 != position {
                        conditions.check_waiting(recent, found);
                        recent.turn(position);
                    }
                    if recent.push(event, location) {
                        conditions.check_waiting(recent, found);
                        recent.turn(position + 1);
                        recent.trim(|_| true);
                    }
                }),
                Met::Gap(next) => {
                    conditions.check_waiting(recent, found);
                    recent.turn(next);
                }
            }
            Ok(())
        };
        let goes_on = scan.step(&mut Findings::default(), &mut visit)?;
        let is_wanted = conditions.wanted().is_some_and(|wanted| scan.next_position() <= *wanted.end());
        if !goes_on || !is_wanted {
            conditions.check_waiting(recent, found);
            conditions.release();
            self.again = None;
        }
        Ok(())
    }
}

/// Reports index files that cannot be used. One that goes at this moment is no longer needed.
fn look_at_unused(log: &Log, sealed: &[Arc<Sealed>], findings: &mut Findings) -> Result<(), StorageError> {
    let names = log.storage.list().map_err(StorageError::io("list", "the store directory"))?;
    for name in names.iter().filter(|name| sealed::file_positions(name).is_some()) {
        if sealed.iter().any(|part| part.name() == *name) {
            continue;
        }
        let mapped = match log.storage.open(name).and_then(|file| file.map()) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            mapped => mapped.map_err(StorageError::io("map", name))?,
        };
        if let Err(damaged) = Sealed::open(name, mapped, log.store) {
            findings.index(name, damaged.offset, None, damaged.what);
        }
    }
    Ok(())
}
