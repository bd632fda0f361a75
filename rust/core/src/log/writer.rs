//! The end of the log: frames are staged in a buffer and reach the segment with one positioned write.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::frame::{self, Header, Kind, StoreSeed};
use super::recovery::End;
use super::segment::{HEADER_BYTES, SegmentHeader};
use super::{Point, Reach, Segment, SegmentMaker, Segments};
use crate::error::StorageError;
use crate::event::Event;

/// The buffer of staged frames keeps at most this room once a large batch is written.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// Room that is kept for the frame that ends a segment.
const END_BYTES: u64 = frame::frame_length(0, 0, 0) as u64;

/// The end of the log as this handle knows it. One caller at a time.
///
/// Only whoever holds the append lock may write, and only once it has caught up with what others wrote.
#[derive(Debug)]
pub(crate) struct LogWriter {
    maker: SegmentMaker,
    pub(super) segments: Arc<Segments>,
    seed: StoreSeed,
    max_segment_bytes: u64,
    pub(super) segment: Arc<Segment>,
    /// Where the log ends, staged frames included.
    pub(super) end: End,
    /// Frames that are staged but not written; they belong at the end of what is written.
    staged: Vec<u8>,
    /// Segments that have ended since the last trim, and their lengths.
    ended: Vec<(Arc<Segment>, u64)>,
    /// The bytes of frames that are read to catch up.
    pub(super) buffer: Vec<u8>,
    /// To which eighth this segment was full when the next one was last asked for.
    asked_at: u64,
}

/// A segment that will be needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    /// The first position of the segment that it comes after.
    pub(crate) after: u64,
    /// How many eighths of that one are full.
    pub(crate) eighth: u64,
    /// Its length.
    pub(crate) capacity: u64,
}

impl LogWriter {
    /// Goes on at an end that is known.
    pub(crate) fn resume(
        maker: SegmentMaker,
        segments: Arc<Segments>,
        max_segment_bytes: u64,
        segment: Arc<Segment>,
        end: End,
    ) -> Self {
        Self {
            maker,
            segments,
            seed: StoreSeed::new(end.header.store),
            max_segment_bytes,
            segment,
            end,
            staged: Vec::new(),
            ended: Vec::new(),
            buffer: Vec::new(),
            asked_at: 0,
        }
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
        Reach::of(&self.end)
    }

    /// Where the log ends, with all that is needed to go on from there; `None` if this segment has no frames yet.
    pub(crate) fn point(&self) -> Option<Point> {
        Point::of(&self.end, self.segments.len() as u64)
    }

    /// Whether the last frame is a batch that no seal covers yet.
    pub(crate) fn is_unsealed(&self) -> bool {
        self.end.last == Some(Kind::Batch)
    }

    /// Whether the segment still has a name. What is written to a file that was removed is lost with the process, whatever a
    /// sync says.
    pub(crate) fn has_name(&self) -> io::Result<bool> {
        self.segment.file.has_name()
    }

    /// The next segment, once this one is half full, and again at each further eighth: whoever was to prepare it may
    /// have died.
    pub(crate) fn wants_next_segment(&mut self) -> Option<Next> {
        let capacity = self.end.header.capacity;
        let eighth = self.end.offset * 8 / capacity.max(1);
        let wants = eighth >= 4 && eighth > self.asked_at;
        self.asked_at = self.asked_at.max(eighth);
        let after = self.segment.first_position;
        wants.then(|| Next { after, eighth, capacity: (capacity * 2).min(self.max_segment_bytes) })
    }

    /// Whether this segment has room for the batch and for the frame that ends it.
    pub(crate) fn has_room(&self, events: &[Event], guards: &[u8]) -> bool {
        self.end.offset + batch_length(events, guards) + END_BYTES <= self.end.header.capacity
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
        if !self.has_room(events, guards) {
            self.make_room(batch_length(events, guards), durable)?;
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
        let written = self.write(offset);
        self.staged.clear();
        self.staged.shrink_to(MAX_KEPT_BYTES);
        written.map_err(StorageError::io("write", self.segment.name()))?;
        Ok(true)
    }

    fn write(&self, offset: u64) -> io::Result<()> {
        if !self.has_name()? {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        self.segment.file.write_all_at(&self.staged, offset)
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
        let in_this_segment = durable.segment == self.segment.first_position;
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
        self.end.last_offset = self.end.offset;
        self.end.offset += frame.length as u64;
        self.end.previous = frame.checksum;
        self.end.next_position += events.len() as u64;
        self.end.recorded_at = recorded_at;
        self.end.last = Some(kind);
    }

    /// Makes room for a frame of `needed` bytes, in a new segment unless this one is empty.
    fn make_room(&mut self, needed: u64, durable: &Reach) -> Result<(), StorageError> {
        let least = (needed + HEADER_BYTES as u64 + END_BYTES).next_multiple_of(4096);
        if self.end.last.is_none() { self.grow(least) } else { self.roll(least, durable) }
    }

    /// Makes an empty segment longer. Its file stays the same one, since other processes have it open.
    fn grow(&mut self, capacity: u64) -> Result<(), StorageError> {
        let file = &self.segment.file;
        let header = SegmentHeader { capacity, ..self.end.header };
        let (bytes, checksum) = header.encode();
        let grown = file
            .preallocate(self.end.header.capacity, capacity)
            .and_then(|()| file.sync_all())
            .and_then(|()| file.write_all_at(&bytes, 0))
            .and_then(|()| file.sync_all());
        grown.map_err(StorageError::io("make longer", self.segment.name()))?;
        self.end = End { recorded_at: self.end.recorded_at, ..End::of_empty(header, checksum) };
        Ok(())
    }

    /// Makes an empty segment what its header says it is. Whoever was making it longer may have died, before or after it
    /// got its new header, whose checksum the first frame quotes.
    pub(crate) fn settle_empty(&mut self) -> Result<(), StorageError> {
        if self.end.last.is_some() {
            return Ok(());
        }
        self.look_at_header()?;
        let (file, capacity) = (&self.segment.file, self.end.header.capacity);
        if self.segment.len()? > capacity {
            let cut = file.truncate(capacity).and_then(|()| file.sync_all());
            cut.map_err(StorageError::io("cut", self.segment.name()))?;
        }
        Ok(())
    }

    /// Ends this segment and goes on in the next.
    ///
    /// The next segment is made first, so a segment that has ended without one shows a loss. The old segment is durable
    /// before the new one gets a frame (I6).
    fn roll(&mut self, least: u64, durable: &Reach) -> Result<(), StorageError> {
        self.stage(Kind::End, &[], &[], self.end.recorded_at, durable, |_, _| {});
        let End { recorded_at, next_position, .. } = self.end;
        let doubled = (self.end.header.capacity * 2).min(self.max_segment_bytes);
        let header = SegmentHeader {
            store: self.end.header.store,
            first_position: next_position,
            capacity: doubled.max(least),
            previous: self.end.previous,
        };
        let (segment, end) = self.maker.create(header, least)?;
        self.flush()?;
        self.segment.sync()?;
        self.ended.push((Arc::clone(&self.segment), self.end.offset));
        self.enter(segment, End { recorded_at, ..end });
        Ok(())
    }

    /// Goes on in the segment after this one.
    pub(super) fn enter(&mut self, segment: Arc<Segment>, end: End) {
        self.segments.push(Arc::clone(&segment));
        self.segment = segment;
        self.end = end;
        self.asked_at = 0;
    }

    /// Removes the segments after this one, which nobody knows of, and what ends this one: one that has ended without a
    /// successor shows a loss.
    ///
    /// The last one goes first, and the one before it loses its frames only when the last has none any more: a power loss
    /// in between leaves an ended segment with one that continues it, or one that has not ended with an empty one.
    pub(crate) fn remove_successors(&self) -> Result<(), StorageError> {
        let mut successors = self.maker.segments_after(self.segment.first_position)?;
        if let Some(last) = successors.last() {
            last.wipe(HEADER_BYTES as u64)?;
        }
        while let Some(last) = successors.pop() {
            match successors.last() {
                Some(before) => before.wipe(HEADER_BYTES as u64)?,
                None => self.segment.wipe(self.end.offset)?,
            }
            self.maker.remove_after(last.first_position - 1)?;
        }
        self.maker.remove_after(self.segment.first_position)
    }

    /// Cuts off what segments that have ended did not use: to be called once everybody knows of their successors.
    pub(crate) fn trim(&mut self) {
        for (segment, length) in self.ended.drain(..) {
            // Failing that, some room is wasted.
            drop(segment.file.truncate(length));
        }
    }
}

fn batch_length(events: &[Event], guards: &[u8]) -> u64 {
    let event_bytes = events.iter().map(|event| event.encoded().len()).sum();
    frame::frame_length(events.len(), event_bytes, guards.len()) as u64
}
