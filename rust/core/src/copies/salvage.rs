//! Salvage: what can be had of a damaged store, written to a new directory. The old one stays as it is.
//!
//! The batches of the prefix are appended again, with their positions, times and conditions, to a log of a new store: bytes
//! that are copied would keep the damage that no event is lost with.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::survey::{Inspect, Inspection};
use super::target::{Check, Target};
use crate::cursors::{self, CURSORS_FILE};
use crate::error::{CopyError, StorageError};
use crate::event::Event;
use crate::log::frame::{Frame, Kind};
use crate::log::segment::SegmentHeader;
use crate::log::{FIRST_SEGMENT_BYTES, LogWriter, Reach, SegmentMaker, Segments};
use crate::storage::Storage;
use crate::store::Options;
use crate::verify::Verification;

/// So much is staged before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// What a salvage came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// What the damaged store holds. Its head is that of the new one.
    pub inspection: Inspection,
    /// Cursors that had come further than the new store does, and stand at its head now.
    pub cursors_set_back: Vec<String>,
    /// The verification of the new store.
    pub verification: Verification,
}

/// A salvage under way: [`Salvage::step`] does a piece of it.
#[derive(Debug)]
pub struct Salvage {
    inspect: Option<Inspect>,
    inspection: Inspection,
    cursors_set_back: Vec<String>,
    /// Gone once it is finished.
    target: Option<Target>,
    log: NewLog,
    check: Option<Check>,
    has_failed: bool,
}

impl Salvage {
    /// Begins to write what can be had of a store, which has not been looked at yet, to the directory `new`.
    pub fn begin(inspect: Inspect, new: &Path) -> Result<Self, CopyError> {
        let about = |source| CopyError::Path { path: new.to_owned(), source };
        if inspect.holds(new).map_err(about)? {
            return Err(CopyError::Inside { path: new.to_owned() });
        }
        Self::new(inspect, Target::at(new)?)
    }

    /// The same in any storages.
    pub fn of_storage(storage: Arc<dyn Storage>, new: Arc<dyn Storage>) -> Result<Self, CopyError> {
        Self::new(Inspect::of_storage(storage)?, Target::begin(new)?)
    }

    fn new(inspect: Inspect, target: Target) -> Result<Self, CopyError> {
        let log = NewLog::begin(&target.storage)?;
        Ok(Self {
            inspect: Some(inspect),
            inspection: Inspection::default(),
            cursors_set_back: Vec::new(),
            target: Some(target),
            log,
            check: None,
            has_failed: false,
        })
    }

    /// Does a piece of the work; what it came to, once all is done and durable.
    pub fn step(&mut self) -> Result<Option<Salvaged>, CopyError> {
        if std::mem::replace(&mut self.has_failed, true) {
            return Err(CopyError::BrokenOff);
        }
        let come_to = self.advance()?;
        self.has_failed = false;
        Ok(come_to)
    }

    /// Bytes of the damaged log that are behind, and all there are.
    pub fn progress(&self) -> Option<(u64, u64)> {
        self.inspect.as_ref().map(Inspect::progress)
    }

    fn advance(&mut self) -> Result<Option<Salvaged>, CopyError> {
        let log = &mut self.log;
        if let Some(inspect) = &mut self.inspect {
            if inspect.step_with(&mut |frame| log.add(frame))? {
                return Ok(None);
            }
            self.end_log()?;
        }
        let verification = match &mut self.check {
            Some(check) => check.step()?,
            None => return Err(CopyError::BrokenOff),
        };
        let Some(verification) = verification else { return Ok(None) };
        self.check = None;
        self.target.take().ok_or(CopyError::BrokenOff)?.finish()?;
        let inspection = std::mem::take(&mut self.inspection);
        let cursors_set_back = std::mem::take(&mut self.cursors_set_back);
        Ok(Some(Salvaged { inspection, cursors_set_back, verification }))
    }

    /// Ends the new log, and adds what belongs to it.
    fn end_log(&mut self) -> Result<(), CopyError> {
        let Some((inspect, target)) = self.inspect.take().zip(self.target.as_ref()) else {
            return Err(CopyError::BrokenOff);
        };
        let (head, mut cursors) = (inspect.head(), inspect.cursors());
        let end = self.log.end()?;
        target.write_marks(self.log.store, end)?;
        for (name, position) in cursors.iter_mut().filter(|(_, position)| **position > head) {
            // What is appended from here on would be passed over.
            *position = head;
            self.cursors_set_back.push(name.clone());
        }
        if !cursors.is_empty() {
            target.write(CURSORS_FILE, &cursors::encode(&cursors))?;
        }
        self.check = Some(Check::begin(target, head)?);
        self.inspection = inspect.result();
        Ok(())
    }
}

/// The log that is written.
#[derive(Debug)]
struct NewLog {
    store: Uuid,
    maker: SegmentMaker,
    segments: Arc<Segments>,
    writer: LogWriter,
    /// Where it begins: all that is known to be durable until it ends.
    begin: Reach,
    staged: usize,
}

impl NewLog {
    fn begin(storage: &Arc<dyn Storage>) -> Result<Self, StorageError> {
        let maker = || SegmentMaker::new(Arc::clone(storage));
        let store = Uuid::new_v4();
        let header = SegmentHeader { store, first_position: 1, capacity: FIRST_SEGMENT_BYTES, previous: 0 };
        let (segment, end) = maker().create(header, header.capacity)?;
        let segments = Arc::new(Segments::new(Arc::clone(storage)));
        segments.push(Arc::clone(&segment));
        let most = Options::default().segment_bytes;
        let writer = LogWriter::resume(maker(), Arc::clone(&segments), most, segment, end);
        Ok(Self { store, maker: maker(), segments, begin: writer.reach(), writer, staged: 0 })
    }

    /// Appends the batch of a frame.
    fn add(&mut self, frame: &Frame<'_>) -> Result<(), StorageError> {
        if frame.header.kind != Kind::Batch || frame.event_count == 0 {
            return Ok(());
        }
        if let Some(next) = self.writer.wants_next_segment()
            && !self.maker.is_ready()?
        {
            self.maker.prepare(next.capacity)?;
        }
        let events: Vec<Event> =
            frame.records().flatten().filter_map(|record| Event::decode(record.event)).collect();
        let (guards, at) = (frame.encoded_guards(), frame.header.recorded_at);
        self.writer.stage_batch(&events, guards, at, &self.begin, |_, _| {})?;
        self.staged += frame.length;
        if self.staged >= WRITE_BYTES {
            self.staged = 0;
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Makes all of it durable and says so; where it ends.
    fn end(&mut self) -> Result<Reach, StorageError> {
        self.write()?;
        if self.writer.is_unsealed() {
            let durable = self.writer.reach();
            self.writer.stage_seal(&durable)?;
            self.write()?;
        }
        self.writer.trim();
        self.maker.discard()?;
        Ok(self.writer.reach())
    }

    fn write(&mut self) -> Result<(), StorageError> {
        self.writer.flush()?;
        self.segments.get(self.writer.reach().segment)?.sync()
    }
}
