//! Reads the log from end to end, and goes on after what is damaged.
//!
//! Unlike recovery, which stops where the log can no longer be trusted, this looks for the next frame that validates: a
//! frame's checksum binds it to its store, segment and offset, so what stands behind damage is known to be in its place.

use std::io::ErrorKind;
use std::sync::Arc;

use uuid::Uuid;

use super::findings::{Findings, events};
use crate::error::StorageError;
use crate::log::frame::{ALIGNMENT, Frame, HEADER_BYTES, Kind, MAGIC, Preamble};
use crate::log::recovery::{self, End};
use crate::log::segment::{self, MAX_CAPACITY, SegmentHeader};
use crate::log::{Reach, Segment, StoreSeed};
use crate::storage::Storage;

/// How much is read at a time.
const READ_BYTES: u64 = 1 << 20;
/// What looks like a frame but is none may be read for so many times the bytes that are searched.
const SEARCH_EFFORT: u64 = 4;

/// What is met in the log, in order.
pub(crate) enum Met<'a> {
    /// A frame that validates and links.
    Frame(&'a Frame<'a>),
    /// The events before this position are not there.
    Gap(u64),
}

/// Is told what is met, and the segment that it is in.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(Met<'_>, u64, &mut Findings) -> Result<(), StorageError>;

/// A pass over the log, a piece at a time.
#[derive(Debug)]
pub(crate) struct LogScan {
    storage: Arc<dyn Storage>,
    store: Uuid,
    /// The segments that there are files of, and their lengths when this began.
    segments: Vec<(u64, u64)>,
    /// How many of them have been begun.
    begun: usize,
    /// Where the log ends; `None` if that is for its bytes to show.
    until: Option<Reach>,
    reading: Option<Reading>,
    next_position: u64,
    /// The checksum of the last frame, if it is known.
    previous: Option<u32>,
    buffer: Vec<u8>,
}

/// A segment that is being read.
#[derive(Debug)]
struct Reading {
    segment: Segment,
    end: End,
    /// Where it is to be read to.
    stop: u64,
    length: u64,
    capacity: Option<u64>,
    /// How much is read next.
    want: u64,
    /// Whether it is known what the next frame has to quote.
    is_linked: bool,
}

impl LogScan {
    /// A pass from the segment `from` on.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        store: Uuid,
        segments: Vec<(u64, u64)>,
        until: Option<Reach>,
        from: u64,
    ) -> Self {
        let begun = segments.iter().filter(|(first, _)| *first < from).count();
        Self {
            storage,
            store,
            segments,
            begun,
            until,
            reading: None,
            next_position: from,
            previous: (from == 1).then_some(0),
            buffer: Vec::new(),
        }
    }

    /// Where the pass is: all before this position has been met.
    pub(crate) fn next_position(&self) -> u64 {
        self.reading.as_ref().map_or(self.next_position, |reading| reading.end.next_position)
    }

    /// Bytes that are behind, and all there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let size = |(first, length): &(u64, u64)| match self.until {
            Some(until) if until.segment == *first => until.end.min(*length),
            _ => *length,
        };
        let total = self.segments.iter().map(size).sum();
        let begun = self.segments.get(..self.begun).unwrap_or_default();
        let before = begun.iter().map(size).sum::<u64>();
        let left = match (&self.reading, begun.last()) {
            (Some(reading), Some(last)) => size(last).saturating_sub(reading.end.offset),
            _ => 0,
        };
        (before.saturating_sub(left), total)
    }

    pub(super) fn segments_begun(&self) -> usize {
        self.begun
    }

    /// Reads the next piece; `false` if there is none.
    pub(crate) fn step(&mut self, findings: &mut Findings, visit: Visit<'_>) -> Result<bool, StorageError> {
        match self.reading.take() {
            None => self.begin_segment(findings, visit),
            Some(reading) => self.read_piece(reading, findings, visit).map(|()| true),
        }
    }

    fn begin_segment(&mut self, findings: &mut Findings, visit: Visit<'_>) -> Result<bool, StorageError> {
        let Some((first, _)) = self.segments.get(self.begun).copied() else {
            if let Some(until) = self.until {
                let is_missing = !self.segments.iter().any(|(first, _)| *first == until.segment);
                self.miss(until.position + 1, is_missing, findings, visit)?;
            }
            return Ok(false);
        };
        self.begun += 1;
        let name = segment::file_name(first);
        if first < self.next_position {
            let what = format!("the segment begins at {first}, but {} is next", self.next_position);
            findings.log(&name, 0, None, what);
            return Ok(true);
        }
        if first > self.next_position {
            self.miss(first, true, findings, visit)?;
        }
        let file = match self.storage.open(&name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.miss(self.after_segment(), true, findings, visit)?;
                return Ok(true);
            }
            file => file.map_err(StorageError::io("open", &name))?,
        };
        self.reading = Some(self.look_at_header(Segment::new(first, file), findings)?);
        Ok(true)
    }

    /// The position at which what comes after the present segment begins.
    fn after_segment(&self) -> u64 {
        let next = self.segments.get(self.begun).map(|(first, _)| *first);
        next.or(self.until.map(|until| until.position + 1)).unwrap_or(self.next_position)
    }

    /// Reports that the segment that comes next is not there.
    fn miss(
        &mut self,
        next: u64,
        is_missing: bool,
        findings: &mut Findings,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let first = self.next_position;
        let lost = events(first, next, ["is", "are"]);
        if is_missing || lost.is_some() {
            let lost_too = lost.as_ref().map(|lost| format!(": {lost} lost")).unwrap_or_default();
            let what = format!("the segment is missing{lost_too}");
            findings.log(&segment::file_name(first), 0, lost.is_some().then_some(first), what);
        }
        self.go_on_at(next, findings, visit)
    }

    fn go_on_at(&mut self, next: u64, findings: &mut Findings, visit: Visit<'_>) -> Result<(), StorageError> {
        self.previous = None;
        if next > self.next_position {
            self.next_position = next;
            visit(Met::Gap(next), next, findings)?;
        }
        Ok(())
    }

    fn look_at_header(&self, segment: Segment, findings: &mut Findings) -> Result<Reading, StorageError> {
        let (first, name) = (segment.first_position, segment.name());
        let length = segment.len()?;
        // One that has no frames yet may be made longer at this moment, with a new header.
        let header = match segment.header() {
            Err(StorageError::Corrupt(_)) => segment.header(),
            header => header,
        };
        let (known, previous) = match header {
            Ok((header, checksum)) => {
                if header.first_position != first {
                    let what =
                        format!("the header is that of a segment that begins at {}", header.first_position);
                    findings.log(name, 0, Some(first), what);
                } else if header.store != self.store {
                    findings.log(name, 0, Some(first), "the segment belongs to another store");
                } else if self.previous.is_some_and(|previous| previous != header.previous) {
                    findings.log(name, 0, Some(first), "the segment does not continue the one before it");
                }
                (Some(header.capacity), Some(checksum))
            }
            Err(StorageError::Corrupt(corruption)) => {
                findings.log(name, corruption.offset, Some(first), corruption.what);
                (None, None)
            }
            Err(error) => return Err(error),
        };
        let mut stop = length.min(MAX_CAPACITY);
        if length > MAX_CAPACITY {
            findings.log(name, MAX_CAPACITY, None, "the file is longer than any segment");
        }
        if let Some(until) = self.until.filter(|until| until.segment == first) {
            // What is missing of it is reported when it is met.
            stop = stop.min(until.end);
        }
        let capacity = known.unwrap_or(length);
        let header = SegmentHeader { store: self.store, first_position: first, capacity, previous: 0 };
        let end = End::of_empty(header, previous.unwrap_or_default());
        let is_linked = previous.is_some();
        Ok(Reading { segment, end, stop, length, capacity: known, want: READ_BYTES, is_linked })
    }

    fn read_piece(
        &mut self,
        mut reading: Reading,
        findings: &mut Findings,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let Reading { segment, end, stop, want, is_linked, .. } = &mut reading;
        let first = segment.first_position;
        let (start, left) = (end.offset, stop.saturating_sub(end.offset));
        if left == 0 {
            return self.end_segment(reading, None, findings, visit);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        segment.read_some(&mut buffer, start, left.min(*want))?;
        let preamble = Preamble::decode(&buffer, StoreSeed::new(self.store), (first, start));
        if !*is_linked && let Ok(preamble) = &preamble {
            (end.previous, *is_linked) = (preamble.header.previous, true);
        }
        let mut trouble = None;
        let stopped = recovery::frames(&buffer, end, |frame, _| {
            visit(Met::Frame(&frame), first, findings).map_err(|error| {
                trouble = Some(error);
                "refused"
            })
        });
        let read = buffer.len() as u64;
        self.buffer = buffer;
        if let Some(error) = trouble {
            return Err(error);
        }
        match stopped.unwrap_or_else(Some) {
            None => return self.end_segment(reading, None, findings, visit),
            // The bytes read end inside a frame: the next ones begin with it.
            Some(_) if end.offset > start => *want = READ_BYTES,
            Some(what) => match preamble {
                Ok(preamble) if read < preamble.length as u64 && preamble.length as u64 <= left => {
                    *want = preamble.length as u64;
                }
                _ => return self.pass_damage(reading, what, findings, visit),
            },
        }
        self.reading = Some(reading);
        Ok(())
    }

    /// Goes on at the next frame that validates.
    fn pass_damage(
        &mut self,
        mut reading: Reading,
        what: &str,
        findings: &mut Findings,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let Some((offset, preamble)) = self.find_frame(&reading)? else {
            return self.end_segment(reading, Some(what), findings, visit);
        };
        let Reading { segment, end, .. } = &mut reading;
        let (expected, next) = (end.next_position, preamble.header.first_position);
        let lost = events(expected, next, ["is", "are"]);
        let lost = lost.map_or_else(|| "no event is lost".to_owned(), |lost| format!("{lost} damaged"));
        let what = format!("{what}; {lost}, and the log goes on at offset {offset}");
        findings.log(segment.name(), end.offset, (next > expected).then_some(expected), what);
        (end.offset, end.previous, end.next_position) = (offset, preamble.header.previous, next);
        if next > expected {
            visit(Met::Gap(next), segment.first_position, findings)?;
        }
        reading.want = READ_BYTES.max(preamble.length as u64);
        self.reading = Some(reading);
        Ok(())
    }

    /// The first frame from where the segment was read to that validates and holds no event that was met already.
    fn find_frame(&self, reading: &Reading) -> Result<Option<(u64, Preamble)>, StorageError> {
        let Reading { segment, end, stop, .. } = reading;
        let (seed, first) = (StoreSeed::new(self.store), segment.first_position);
        let mut effort = SEARCH_EFFORT * (stop - end.offset);
        // As recovery has it: at the end of the log only a frame that calls the bad bytes durable shows that they were.
        let is_torn_tail = self.until.is_none() && self.begun == self.segments.len();
        let (mut bytes, mut frame) = (Vec::new(), Vec::new());
        let mut at = end.offset;
        while at + HEADER_BYTES as u64 <= *stop {
            segment.read_some(&mut bytes, at, READ_BYTES.min(stop - at))?;
            let (words, _) = bytes.as_chunks::<ALIGNMENT>();
            for (number, _) in words.iter().enumerate().filter(|(_, word)| word.starts_with(&MAGIC)) {
                let offset = at + (number * ALIGNMENT) as u64;
                let header = bytes.get(number * ALIGNMENT..).unwrap_or_default();
                let Ok(preamble) = Preamble::decode(header, seed, (first, offset)) else { continue };
                let length = preamble.length as u64;
                let fits = length <= stop - offset
                    && preamble.header.first_position >= end.next_position
                    && preamble.next_position().is_some()
                    && (!is_torn_tail || preamble.header.durable_end > end.offset);
                if !fits {
                    continue;
                }
                let Some(left) = effort.checked_sub(length) else { return Ok(None) };
                effort = left;
                segment.read_some(&mut frame, offset, length)?;
                if Frame::decode(&frame, seed, (first, offset)).is_ok() {
                    return Ok(Some((offset, preamble)));
                }
            }
            // A header may lie across the end of what was read.
            let passed = (bytes.len() / ALIGNMENT * ALIGNMENT).saturating_sub(HEADER_BYTES - ALIGNMENT);
            if passed == 0 {
                break;
            }
            at += passed as u64;
        }
        Ok(None)
    }

    /// Leaves a segment: `what` is wrong with what follows, if something should.
    fn end_segment(
        &mut self,
        reading: Reading,
        what: Option<&str>,
        findings: &mut Findings,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let Reading { segment, end, length, capacity, is_linked, .. } = &reading;
        let name = segment.name();
        self.next_position = end.next_position;
        self.previous = is_linked.then_some(end.previous);
        if end.last == Some(Kind::End) {
            return Ok(());
        }
        let is_last = self.begun == self.segments.len();
        let is_over = match self.until {
            Some(until) => until.segment == segment.first_position && end.offset >= until.end,
            None => is_last,
        };
        if is_over {
            // The log ends here, if need be with a batch that was never acknowledged.
            return self.check_length(segment, end, *length, *capacity, findings);
        }
        if self.until.is_none() && self.is_unused_end()? {
            // Its writer was about to end this segment.
            self.begun = self.segments.len();
            return self.check_length(segment, end, *length, *capacity, findings);
        }
        let next = self.after_segment();
        let lost = events(end.next_position, next, ["is", "are"]);
        let what = match what {
            _ if end.offset >= *length => "the file ends here, but the log does not",
            Some("no frame header") | None => "no frame is here, but the log goes on",
            Some(what) => what,
        };
        let lost_too = lost.as_ref().map_or_else(String::new, |lost| format!("; {lost} lost"));
        let position = lost.is_some().then_some(end.next_position);
        findings.log(name, end.offset, position, format!("{what}{lost_too}"));
        self.go_on_at(next, findings, visit)
    }

    /// A segment that has not ended is as long as it was made, unless it has ended by now. One without frames may have
    /// been about to become longer.
    fn check_length(
        &self,
        segment: &Segment,
        end: &End,
        length: u64,
        capacity: Option<u64>,
        findings: &mut Findings,
    ) -> Result<(), StorageError> {
        let Some(capacity) = capacity.filter(|capacity| *capacity != length) else { return Ok(()) };
        if length > capacity && end.last.is_none() {
            return Ok(());
        }
        let mut names = Vec::new();
        if self.until.is_some() {
            names = self.storage.list().map_err(StorageError::io("list", "the store directory"))?;
        }
        let mut firsts = names.iter().filter_map(|name| segment::first_position(name));
        if !firsts.any(|first| first > segment.first_position) {
            let what = format!("the file has {length} bytes, but it was made with {capacity}");
            findings.log(segment.name(), length.min(capacity), None, what);
        }
        Ok(())
    }

    /// Whether all that is left is a segment that never got a frame.
    fn is_unused_end(&self) -> Result<bool, StorageError> {
        let Some([(first, length)]) = self.segments.get(self.begun..) else { return Ok(false) };
        let name = segment::file_name(*first);
        let file = self.storage.open(&name).map_err(StorageError::io("open", &name))?;
        let segment = Segment::new(*first, file);
        let (mut at, mut bytes) = (HEADER_BYTES as u64, Vec::new());
        while at < (*length).min(MAX_CAPACITY) {
            segment.read_some(&mut bytes, at, READ_BYTES)?;
            if bytes.is_empty() || bytes.iter().any(|byte| *byte != 0) {
                return Ok(bytes.is_empty());
            }
            at += bytes.len() as u64;
        }
        Ok(true)
    }
}
