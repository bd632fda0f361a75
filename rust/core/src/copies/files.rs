//! The files of a copy: segments, of which each frame is verified as it is copied, and files that are taken as they are.

use std::sync::Arc;

use crate::error::StorageError;
use crate::log::frame::{self, Header, Kind};
use crate::log::recovery::{self, End};
use crate::log::segment::SegmentHeader;
use crate::log::{Reach, Segment, StoreSeed};
use crate::storage::StorageFile;

/// How much is read at a time.
const READ_BYTES: u64 = 1 << 20;
/// Bytes of a frame without events.
const BARE_BYTES: u64 = frame::frame_length(0, 0, 0) as u64;

/// A segment that is copied a piece at a time.
#[derive(Debug)]
pub(super) struct SegmentCopy {
    source: Segment,
    target: Arc<dyn StorageFile>,
    /// Where it has come to.
    pub(super) end: End,
    /// Where the log ends, if it does in this segment.
    until: Option<Reach>,
    /// How much is read next.
    want: u64,
    buffer: Vec<u8>,
}

impl SegmentCopy {
    pub(super) fn begin(
        source: Segment,
        (header, checksum): (SegmentHeader, u32),
        target: Arc<dyn StorageFile>,
        until: Option<Reach>,
    ) -> Result<Self, StorageError> {
        let end = End::of_empty(header, checksum);
        let copy = Self { source, target, end, until, want: READ_BYTES, buffer: Vec::new() };
        copy.write(&header.encode().0, 0)?;
        Ok(copy)
    }

    /// Copies the next piece; `false` once all of it is copied and durable.
    pub(super) fn step(&mut self) -> Result<bool, StorageError> {
        let stop = self.until.map_or_else(|| self.source.len(), |until| Ok(until.end))?;
        let (start, left) = (self.end.offset, stop.saturating_sub(self.end.offset));
        if left == 0 || self.end.last == Some(Kind::End) {
            return self.finish().map(|()| false);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        self.source.read_some(&mut buffer, start, self.want.min(left))?;
        let stopped = recovery::frames(&buffer, &mut self.end, |_, _| Ok(()));
        let stopped = stopped.map_err(|what| self.source.corrupt(self.end.offset, what))?;
        let whole = usize::try_from(self.end.offset - start).unwrap_or_default();
        self.write(buffer.get(..whole).unwrap_or_default(), start)?;
        self.buffer = buffer;
        match stopped {
            // The bytes read end inside a frame: the next ones begin with it.
            Some(_) if whole > 0 => self.want = READ_BYTES,
            Some(_) if self.want < left => self.want *= 2,
            Some(what) => return Err(self.source.corrupt(start, what)),
            None => {}
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), StorageError> {
        match self.until {
            Some(until) if Reach::of(&self.end) != until => {
                let what =
                    format!("the log is durable up to {until:?}, but {:?} is here", Reach::of(&self.end));
                return Err(self.source.corrupt(self.end.offset, what));
            }
            Some(_) => {
                self.seal()?;
                let capacity = self.end.header.capacity;
                if self.end.offset < capacity {
                    // The zeros in between take no room until somebody appends.
                    self.write(&[0], capacity - 1)?;
                }
            }
            None if self.end.last != Some(Kind::End) => {
                let what = "the segment ends here, but the log goes on";
                return Err(self.source.corrupt(self.end.offset, what));
            }
            None => {}
        }
        self.target.sync_all().map_err(StorageError::io("sync the copy of", self.source.name()))
    }

    /// Covers the last batch as closing does, so that damage to it cannot be taken for a torn tail.
    fn seal(&mut self) -> Result<(), StorageError> {
        let end = &mut self.end;
        if end.last != Some(Kind::Batch) || end.offset + 2 * BARE_BYTES > end.header.capacity {
            return Ok(());
        }
        let header = Header {
            kind: Kind::Seal,
            first_position: end.next_position,
            recorded_at: end.recorded_at,
            durable: end.next_position - 1,
            durable_end: end.offset,
            previous: end.previous,
        };
        let (mut bytes, seed) = (Vec::new(), StoreSeed::new(end.header.store));
        let place = (end.header.first_position, end.offset);
        let seal = frame::encode(&mut bytes, seed, place, &header, [].into_iter(), &[], |_, _| {});
        let at = end.offset;
        end.last_offset = at;
        end.offset += seal.length as u64;
        end.previous = seal.checksum;
        end.last = Some(Kind::Seal);
        self.write(&bytes, at)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.target.write_all_at(bytes, offset);
        written.map_err(StorageError::io("write the copy of", self.source.name()))
    }
}

/// A file that is copied as it is, a piece at a time.
#[derive(Debug)]
pub(super) struct FileCopy {
    name: String,
    source: Arc<dyn StorageFile>,
    target: Arc<dyn StorageFile>,
    length: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl FileCopy {
    pub(super) fn begin(
        name: String,
        source: Arc<dyn StorageFile>,
        target: Arc<dyn StorageFile>,
    ) -> Result<Self, StorageError> {
        let length = source.len().map_err(StorageError::io("measure", &name))?;
        Ok(Self { name, source, target, length, at: 0, buffer: Vec::new() })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Copies the next piece; `false` once all of it is copied and durable.
    pub(super) fn step(&mut self) -> Result<bool, StorageError> {
        let count = (self.length - self.at).min(READ_BYTES);
        if count == 0 {
            return self
                .target
                .sync_all()
                .map_err(StorageError::io("sync the copy of", &self.name))
                .map(|()| false);
        }
        self.buffer.resize(usize::try_from(count).expect("at most READ_BYTES"), 0);
        self.source.read_exact_at(&mut self.buffer, self.at).map_err(StorageError::io("read", &self.name))?;
        let written = self.target.write_all_at(&self.buffer, self.at);
        written.map_err(StorageError::io("write the copy of", &self.name))?;
        self.at += count;
        Ok(true)
    }
}
