//! Reading the log when the first member opens it.

use std::sync::Arc;

use super::Opening;
use crate::error::{Corruption, StorageError};
use crate::index::Index;
use crate::indexing;
use crate::log::Segment;
use crate::log::frame::{ALIGNMENT, Frame, Kind};
use crate::log::recovery::{self, End, Start};
use crate::log::segment::{self, HEADER_BYTES, MAX_CAPACITY, SegmentHeader};
use crate::sealing::Sealer;

/// How much is looked at in one go where only zeros are expected.
const LOOK_BYTES: usize = 1 << 20;
/// How much of it is known to be zeros, or not, at once.
const BLOCK_BYTES: usize = 4096;

/// The log as it was found, and what has to be written before it can be used.
pub(super) struct Found {
    pub(super) segment: Arc<Segment>,
    pub(super) end: End,
    pub(super) unsynced: Vec<UnsyncedTail>,
    /// The file of a segment that never got a frame.
    pub(super) unused: Option<String>,
}

/// The end of a segment, from the first byte that no later frame calls durable.
///
/// The page cache may show bytes that the disk never got: after a failed sync their pages count as clean, and a
/// further sync would succeed without writing them (I9). Written again, they are dirty again.
pub(super) struct UnsyncedTail {
    segment: Arc<Segment>,
    offset: u64,
    /// Zeros where a batch was torn.
    bytes: Vec<u8>,
}

impl UnsyncedTail {
    /// `bytes` are those of the segment from the offset `start` on, but for zeros at its end.
    fn find(segment: &Arc<Segment>, bytes: &[u8], start: u64, end: &End) -> Option<Self> {
        let place = |offset: u64| usize::try_from(offset).expect("offsets are inside the bytes read");
        let offset = end.durable_end.min(end.offset).max(HEADER_BYTES as u64).max(start);
        let to = if end.torn { bytes.len() } else { place(end.offset - start) };
        let mut tail = bytes.get(place(offset - start)..to).filter(|tail| !tail.is_empty())?.to_vec();
        let kept = place(end.offset - offset);
        tail.get_mut(kept..).unwrap_or_default().fill(0);
        Some(Self { segment: Arc::clone(segment), offset, bytes: tail })
    }

    pub(super) fn rewrite(&self) -> Result<(), StorageError> {
        let written = self.segment.file.write_all_at(&self.bytes, self.offset);
        written.map_err(StorageError::io("rewrite", self.segment.name()))?;
        self.segment.sync()
    }
}

/// Reads all segments from the end that is known on, or from the beginning.
pub(super) fn all(
    opening: &Opening,
    firsts: &[u64],
    mut known: Option<(Arc<Segment>, End)>,
    sealer: &Sealer,
    index: &mut Index,
) -> Result<Found, StorageError> {
    let segments = &opening.segments;
    let mut unsynced = Vec::new();
    let mut start = Start { store: None, position: 1, previous: 0 };
    let (mut recorded_at, mut bytes) = (0, Vec::new());
    let from = known.as_ref().map_or(0, |(segment, _)| segment.first_position);
    for (number, first) in firsts.iter().enumerate() {
        if *first < from {
            segments.extend([*first]);
            continue;
        }
        let segment = segments.get(*first)?;
        segments.extend([*first]);
        let length = check_length(&segment)?;
        let visit = |frame: Frame<'_>, end: &End| indexing::add(index, &frame, end, segments).map(drop);
        let (begin, mut end) = if let Some((_, end)) = known.take() {
            read_content(&segment, end.offset, length, &mut bytes)?;
            (end.offset, recovery::resume(segment.name(), &bytes, length, end, visit)?)
        } else {
            if *first != start.position {
                let what = format!("the segment that begins at {} is missing", start.position);
                return Err(segment.corrupt(0, what));
            }
            read_content(&segment, 0, length, &mut bytes)?;
            (0, recovery::scan(segment.name(), &bytes, length, start, visit)?)
        };
        recorded_at = end.recorded_at.max(recorded_at);
        end.recorded_at = recorded_at;
        if end.last == Some(Kind::End) {
            if number + 2 == firsts.len() {
                // The last one is made before this one is synced: unless it has frames, the sync may never have been.
                unsynced.extend(UnsyncedTail::find(&segment, &bytes, begin, &end));
            } else {
                // All of it is durable. Reading a long log anew must not take more memory than using it.
                sealer.absorb(index);
            }
            start =
                Start { store: Some(end.header.store), position: end.next_position, previous: end.previous };
            continue;
        }
        let unused = match firsts.get(number + 1..) {
            None | Some([]) => None,
            Some([next]) if is_unused(opening, *next)? => Some(segment::file_name(*next)),
            Some(_) => {
                let what = "the segment has not ended, but another one follows it";
                return Err(segment.corrupt(end.offset, what));
            }
        };
        unsynced.extend(UnsyncedTail::find(&segment, &bytes, begin, &end));
        return Ok(Found { segment, end, unsynced, unused });
    }
    let what = "the segment before it has ended, but this one is missing".to_owned();
    Err(StorageError::Corrupt(Corruption { file: segment::file_name(start.position), offset: 0, what }))
}

/// Whether a segment never got a frame: the one before it was about to end when its writer did.
fn is_unused(opening: &Opening, first: u64) -> Result<bool, StorageError> {
    // Not kept open: another file may get its name.
    let name = segment::file_name(first);
    let segment = Segment::new(first, opening.storage.open(&name).map_err(StorageError::io("open", &name))?);
    let mut bytes = Vec::new();
    read_content(&segment, 0, check_length(&segment)?, &mut bytes)?;
    let has_header = SegmentHeader::decode(&bytes).is_ok();
    Ok(bytes.iter().skip(if has_header { HEADER_BYTES } else { 0 }).all(|byte| *byte == 0))
}

fn check_length(segment: &Segment) -> Result<u64, StorageError> {
    let length = segment.len()?;
    if length > MAX_CAPACITY {
        return Err(segment.corrupt(MAX_CAPACITY, "the file is longer than any segment"));
    }
    Ok(length)
}

/// Where the last byte is that is not zero. Nearly all of what is looked at is zeros: a block at a time, without a branch for
/// each byte.
fn last_non_zero(bytes: &[u8]) -> Option<usize> {
    let mut blocks = bytes.chunks(BLOCK_BYTES);
    let number = blocks.rposition(|block| block.iter().fold(0, |all, byte| all | byte) != 0)?;
    let start = number * BLOCK_BYTES;
    let block = bytes.get(start..(start + BLOCK_BYTES).min(bytes.len()))?;
    block.iter().rposition(|byte| *byte != 0).map(|place| start + place)
}

/// Reads the segment from the offset `start` on, without the zeros at its end.
fn read_content(segment: &Segment, start: u64, length: u64, bytes: &mut Vec<u8>) -> Result<(), StorageError> {
    let mut stop = length;
    while stop > start {
        let count = usize::try_from(stop - start).map_or(LOOK_BYTES, |left| left.min(LOOK_BYTES));
        bytes.resize(count, 0);
        segment.read(bytes, stop - count as u64)?;
        if let Some(last) = last_non_zero(bytes) {
            stop -= (count - last - 1) as u64;
            break;
        }
        stop -= count as u64;
    }
    let stop = stop.next_multiple_of(ALIGNMENT as u64).clamp(start.min(length), length);
    bytes.resize(usize::try_from(stop.saturating_sub(start)).expect("checked against MAX_CAPACITY"), 0);
    segment.read(bytes, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_that_is_not_zero_is_found_wherever_it_is() {
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 100] {
            let mut bytes = vec![0; length];
            assert_eq!(last_non_zero(&bytes), None);
            for place in 0..length {
                bytes[place] = 1;
                assert_eq!(last_non_zero(&bytes), Some(place), "of {length}");
                bytes[place] = u8::from(place % 3 == 0);
            }
        }
    }
}
