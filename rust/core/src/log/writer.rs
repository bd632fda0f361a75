//! The end of the log: frames are staged in a buffer and reach the segment with one positioned write.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::frame::{self, Header, Kind, StoreSeed};
use super::recovery::End;
use super::segment::{self, HEADER_BYTES, Segment, SegmentHeader, Segments};
use crate::error::StorageError;
use crate::event::Event;
use crate::storage::{Storage, StorageFile, TEMPORARY};

/// The first segment is small, so that a small store is; each next one is twice as large, up to the store's limit.
pub(crate) const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
/// The buffer of staged frames keeps at most this room once a large batch is written.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// Room that is kept for the frame that ends a segment.
const END_BYTES: u64 = frame::frame_length(0, 0, 0) as u64;

/// A place in the log up to which something holds, such as being durable.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) segment: Arc<Segment>,
    /// The offset in the segment.
    pub(crate) end: u64,
    /// The last position before it.
    pub(crate) position: u64,
}

/// A preallocated file that waits to become a segment.
#[derive(Debug)]
struct Prepared {
    file: Arc<dyn StorageFile>,
    capacity: u64,
}

/// Makes segment files. Shared with the housekeeper, which prepares the next one off the append path.
#[derive(Debug)]
pub(crate) struct SegmentMaker {
    storage: Arc<dyn Storage>,
    prepared: Mutex<Option<Prepared>>,
}

/// Name of the file that is prepared to become the next segment.
pub(crate) fn prepared_name() -> String {
    format!("next{TEMPORARY}")
}

impl SegmentMaker {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, prepared: Mutex::new(None) }
    }

    /// Makes a file of `capacity` bytes ready, so that the next rollover does not have to.
    pub(crate) fn prepare(&self, capacity: u64) -> Result<(), StorageError> {
        let mut prepared = self.prepared.lock();
        if prepared.is_none() {
            *prepared = Some(self.preallocate(capacity)?);
        }
        Ok(())
    }

    /// Removes a prepared file that is not needed any more.
    pub(crate) fn discard(&self) -> Result<(), StorageError> {
        match self.prepared.lock().take() {
            Some(_) => {
                self.storage.remove(&prepared_name()).map_err(StorageError::io("remove", &prepared_name()))
            }
            None => Ok(()),
        }
    }

    /// Makes the segment that begins with `header`, using the prepared file if it is large enough.
    pub(crate) fn create(&self, mut header: SegmentHeader) -> Result<(Arc<Segment>, End), StorageError> {
        let (temporary, name) = (prepared_name(), segment::file_name(header.first_position));
        // Held to the end: until the file is renamed, nobody may prepare another under its temporary name.
        let mut slot = self.prepared.lock();
        let prepared = match slot.take() {
            Some(prepared) if prepared.capacity >= header.capacity => prepared,
            _ => self.preallocate(header.capacity)?,
        };
        header.capacity = prepared.capacity;
        let (bytes, checksum) = header.encode();
        let file = prepared.file;
        file.write_all_at(&bytes, 0).map_err(StorageError::io("write", &temporary))?;
        file.sync_all().map_err(StorageError::io("sync", &temporary))?;
        self.storage.rename(&temporary, &name).map_err(StorageError::io("rename", &temporary))?;
        self.storage.sync_directory().map_err(StorageError::io("sync the directory of", &name))?;
        let end = End::of_empty(header, checksum);
        Ok((Arc::new(Segment::new(header.first_position, file)), end))
    }

    fn preallocate(&self, capacity: u64) -> Result<Prepared, StorageError> {
        let name = prepared_name();
        let file = self.storage.create(&name).map_err(StorageError::io("create", &name))?;
        let preallocated = file.preallocate(capacity).and_then(|()| file.sync_all());
        preallocated.map_err(StorageError::io("preallocate", &name)).inspect_err(|_| {
            // A full disk gets its room back. Failing that, the file is removed when the store is opened again.
            drop(self.storage.remove(&name));
        })?;
        Ok(Prepared { file, capacity })
    }
}

/// Appends frames. One caller at a time.
#[derive(Debug)]
pub(crate) struct LogWriter {
    maker: Arc<SegmentMaker>,
    segments: Arc<Segments>,
    seed: StoreSeed,
    max_segment_bytes: u64,
    segment: Arc<Segment>,
    /// Where the log ends, staged frames included.
    end: End,
    /// Frames that are staged but not written; they belong at the end of what is written.
    staged: Vec<u8>,
    asked_for_next: bool,
}

impl LogWriter {
    /// Goes on at the end that recovery found.
    pub(crate) fn resume(
        maker: Arc<SegmentMaker>,
        segments: Arc<Segments>,
        max_segment_bytes: u64,
        segment: Arc<Segment>,
        end: End,
    ) -> Self {
        let seed = StoreSeed::new(end.header.store);
        let (staged, asked_for_next) = (Vec::new(), false);
        Self { maker, segments, seed, max_segment_bytes, segment, end, staged, asked_for_next }
    }

    pub(crate) fn store(&self) -> Uuid {
        self.end.header.store
    }

    pub(crate) fn next_position(&self) -> u64 {
        self.end.next_position
    }

    /// The time of the last frame, which no later one may precede.
    pub(crate) fn recorded_at(&self) -> u64 {
        self.end.recorded_at
    }

    /// Where the log ends, staged frames included.
    pub(crate) fn reach(&self) -> Reach {
        Reach {
            segment: Arc::clone(&self.segment),
            end: self.end.offset,
            position: self.end.next_position - 1,
        }
    }

    /// Whether the last frame is a batch that no seal covers yet.
    pub(crate) fn is_unsealed(&self) -> bool {
        self.end.last == Some(Kind::Batch)
    }

    /// The capacity to prepare the next segment with: said once, when this one is half full.
    pub(crate) fn wants_next_segment(&mut self) -> Option<u64> {
        let wants = !self.asked_for_next && self.end.offset > self.end.header.capacity / 2;
        self.asked_for_next |= wants;
        wants.then(|| self.next_capacity(0))
    }

    /// Stages one batch, in a new segment if this one has no room. `placed` is told the offset and length of each record.
    pub(crate) fn stage_batch(
        &mut self,
        events: &[Event],
        guards: &[u8],
        recorded_at: u64,
        durable: &Reach,
        placed: impl FnMut(u64, usize),
    ) -> Result<(), StorageError> {
        let event_bytes = events.iter().map(|event| event.encoded().len()).sum();
        let length = frame::frame_length(events.len(), event_bytes, guards.len()) as u64;
        if self.end.offset + length + END_BYTES > self.end.header.capacity {
            self.roll(length, durable)?;
        }
        self.stage(Kind::Batch, events, guards, recorded_at, durable, placed);
        Ok(())
    }

    /// Stages a seal: it tells recovery that everything before it was durable.
    pub(crate) fn stage_seal(&mut self, durable: &Reach) -> Result<(), StorageError> {
        if self.end.offset + 2 * END_BYTES > self.end.header.capacity {
            return self.roll(0, durable);
        }
        self.stage(Kind::Seal, &[], &[], self.end.recorded_at, durable, |_, _| {});
        Ok(())
    }

    /// Writes what is staged, with one positioned write. `false` if nothing was staged.
    pub(crate) fn flush(&mut self) -> Result<bool, StorageError> {
        if self.staged.is_empty() {
            return Ok(false);
        }
        let offset = self.end.offset - self.staged.len() as u64;
        let written = self.segment.file.write_all_at(&self.staged, offset);
        self.staged.clear();
        self.staged.shrink_to(MAX_KEPT_BYTES);
        written.map_err(StorageError::io("write", &self.segment.name()))?;
        Ok(true)
    }

    fn stage(
        &mut self,
        kind: Kind,
        events: &[Event],
        guards: &[u8],
        recorded_at: u64,
        durable: &Reach,
        placed: impl FnMut(u64, usize),
    ) {
        let in_this_segment = Arc::ptr_eq(&durable.segment, &self.segment);
        let header = Header {
            kind,
            first_position: self.end.next_position,
            recorded_at,
            durable: durable.position,
            durable_end: if in_this_segment { durable.end } else { HEADER_BYTES as u64 },
            previous: self.end.previous,
        };
        let place = (self.segment.first_position, self.end.offset);
        let encoded = events.iter().map(Event::encoded);
        let frame = frame::encode(&mut self.staged, self.seed, place, &header, encoded, guards, placed);
        self.end.offset += frame.length as u64;
        self.end.previous = frame.checksum;
        self.end.next_position += events.len() as u64;
        self.end.recorded_at = recorded_at;
        self.end.last = Some(kind);
    }

    /// Ends this segment and goes on in one with room for a frame of `needed` bytes.
    ///
    /// The next segment is made first, so a segment that has ended without one shows a loss. The old segment is durable
    /// before the new one gets a frame (I6). A segment without events is replaced: its successor has its name.
    fn roll(&mut self, needed: u64, durable: &Reach) -> Result<(), StorageError> {
        let ends = self.end.next_position > self.segment.first_position;
        if ends {
            self.stage(Kind::End, &[], &[], self.end.recorded_at, durable, |_, _| {});
        }
        let End { recorded_at, next_position, .. } = self.end;
        let (segment, end) = self.maker.create(SegmentHeader {
            store: self.end.header.store,
            first_position: next_position,
            capacity: self.next_capacity(needed),
            previous: if ends { self.end.previous } else { self.end.header.previous },
        })?;
        if ends {
            self.flush()?;
            let name = self.segment.name();
            self.segment.sync()?;
            self.segment.file.truncate(self.end.offset).map_err(StorageError::io("truncate", &name))?;
        }
        self.segments.push(Arc::clone(&segment));
        self.segment = segment;
        self.asked_for_next = false;
        self.end = End { recorded_at, ..end };
        Ok(())
    }

    fn next_capacity(&self, needed: u64) -> u64 {
        let doubled = (self.end.header.capacity * 2).min(self.max_segment_bytes);
        doubled.max(needed + HEADER_BYTES as u64 + END_BYTES).next_multiple_of(4096)
    }
}
