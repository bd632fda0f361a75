//! Catching up with what other processes wrote.

use super::frame::{Frame, Kind};
use super::recovery::{self, End};
use super::{LogWriter, Reach};
use crate::error::StorageError;

/// How much is read at a time.
const READ_BYTES: u64 = 1 << 20;

impl LogWriter {
    /// Reads the frames up to `to`, which have been written. Each is handed to `visit` with the end after it.
    pub(crate) fn catch_up(
        &mut self,
        to: Reach,
        mut visit: impl FnMut(&Frame<'_>, &End) -> Result<(), &'static str>,
    ) -> Result<(), StorageError> {
        while self.reach() < to {
            if self.end.last == Some(Kind::End) {
                self.enter_next()?;
            }
            if self.end.last.is_none() {
                self.look_at_header()?;
            }
            let here = self.segment.first_position == to.segment;
            self.read_to(if here { to.end } else { self.segment.len()? }, &mut visit)?;
        }
        if self.reach() == to {
            return Ok(());
        }
        let what = format!("the log goes on to {:?}, but only {to:?} is written", self.reach());
        Err(self.segment.corrupt(self.end.offset, what))
    }

    /// Reads the frames of this segment up to the offset `stop`, or to the one that ends it.
    fn read_to(
        &mut self,
        stop: u64,
        visit: &mut impl FnMut(&Frame<'_>, &End) -> Result<(), &'static str>,
    ) -> Result<(), StorageError> {
        let mut length = READ_BYTES;
        while self.end.offset < stop && self.end.last != Some(Kind::End) {
            let (start, left) = (self.end.offset, stop - self.end.offset);
            // Whoever goes on in the next segment may cut this one behind its last frame at any moment.
            self.segment.read_some(&mut self.buffer, start, length.min(left))?;
            let read = recovery::frames(&self.buffer, &mut self.end, |frame, end| visit(&frame, end));
            let stopped = read.map_err(|what| self.segment.corrupt(self.end.offset, what))?;
            match stopped {
                // The bytes read end inside a frame: the next ones begin with it.
                Some(_) if self.end.offset > start => length = READ_BYTES,
                Some(_) if length < left => length *= 2,
                Some(what) => return Err(self.segment.corrupt(start, what)),
                None => {}
            }
        }
        Ok(())
    }

    fn enter_next(&mut self) -> Result<(), StorageError> {
        let segment = self.segments.get(self.end.next_position)?;
        let (header, checksum) = segment.header()?;
        let continues = header.first_position == self.end.next_position
            && header.previous == self.end.previous
            && header.store == self.end.header.store;
        if !continues {
            return Err(segment.corrupt(0, "the segment does not continue the one before it"));
        }
        let recorded_at = self.end.recorded_at;
        self.enter(segment, End { recorded_at, ..End::of_empty(header, checksum) });
        Ok(())
    }

    /// An empty segment may have been made longer for a batch that needed it.
    pub(super) fn look_at_header(&mut self) -> Result<(), StorageError> {
        let (header, checksum) = self.segment.header()?;
        self.end = End { recorded_at: self.end.recorded_at, ..End::of_empty(header, checksum) };
        Ok(())
    }
}
