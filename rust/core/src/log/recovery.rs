//! Recovery: a pure function over the bytes of a segment, so that every torn tail can be tested by hand.
//!
//! Frames are read from the start for as long as they validate and link. What stands after them decides:
//!
//! - zeros only: the log ends here;
//! - anything else, and no later frame proves that these bytes were once durable: a torn tail, of a batch that was
//!   never acknowledged (I8);
//! - a later frame proves it, or the segment is known to be full: damage.

use super::frame::{ALIGNMENT, Frame, Kind, MAGIC, StoreSeed};
use super::segment::{HEADER_BYTES, SegmentHeader};
use crate::error::Corruption;

/// What must hold where a segment begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The store, if it is known yet.
    pub store: Option<uuid::Uuid>,
    /// The first position.
    pub position: u64,
    /// The checksum of the last frame before.
    pub previous: u32,
}

/// Where the valid frames of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The segment's header.
    pub header: SegmentHeader,
    /// The offset after the last valid frame.
    pub offset: u64,
    /// The checksum that the next frame must quote.
    pub previous: u32,
    /// The position of the next event.
    pub next_position: u64,
    /// The time of the last frame.
    pub recorded_at: u64,
    /// The offset up to which a frame says that everything is durable.
    pub durable_end: u64,
    /// The last frame's kind; `None` if the segment is empty.
    pub last: Option<Kind>,
    /// The offset of the last frame.
    pub last_offset: u64,
    /// Whether bytes of a batch that was never acknowledged follow.
    pub torn: bool,
}

impl End {
    /// The end of a segment that has no frames yet.
    pub fn of_empty(header: SegmentHeader, checksum: u32) -> Self {
        Self {
            header,
            offset: HEADER_BYTES as u64,
            previous: checksum,
            next_position: header.first_position,
            recorded_at: 0,
            durable_end: HEADER_BYTES as u64,
            last: None,
            last_offset: HEADER_BYTES as u64,
            torn: false,
        }
    }
}

/// Reads a segment from its bytes, handing each frame to `visit`, which may refuse it with what is wrong. Up to the
/// file's `length` there are only zeros after the bytes.
pub fn scan(
    name: &str,
    bytes: &[u8],
    length: u64,
    start: Start,
    visit: impl FnMut(Frame<'_>, &End) -> Result<(), &'static str>,
) -> Result<End, Corruption> {
    let corrupt = |what: &str| Corruption { file: name.to_owned(), offset: 0, what: what.to_owned() };
    let (header, checksum) = SegmentHeader::decode(bytes).map_err(|what| corrupt(&what))?;
    if header.first_position != start.position {
        let what = format!("the segment begins at {}, but {} is next", header.first_position, start.position);
        return Err(corrupt(&what));
    }
    if header.previous != start.previous || start.store.is_some_and(|store| store != header.store) {
        return Err(corrupt("the segment does not continue the one before it"));
    }
    let end = End::of_empty(header, checksum);
    resume(name, rest(bytes, HEADER_BYTES as u64), length, end, visit)
}

/// Reads the rest of a segment: `bytes` stand at the end that is known already, and up to the file's `length` there are
/// only zeros after them.
pub fn resume(
    name: &str,
    bytes: &[u8],
    length: u64,
    known: End,
    mut visit: impl FnMut(Frame<'_>, &End) -> Result<(), &'static str>,
) -> Result<End, Corruption> {
    let corrupt =
        |offset: u64, what: &str| Corruption { file: name.to_owned(), offset, what: what.to_owned() };
    let mut end = known;
    let stopped = frames(bytes, &mut end, &mut visit).map_err(|what| corrupt(end.offset, what))?;
    let mut rest = rest(bytes, end.offset - known.offset);
    if stopped.is_none() || rest.iter().all(|byte| *byte == 0) {
        return check_length(length, &end).map_err(|(at, what)| corrupt(at, what)).map(|()| end);
    }
    // The last frame may end with zeros of its own.
    let mut whole = rest.to_vec();
    whole.resize(usize::try_from(length.saturating_sub(end.offset)).unwrap_or_default(), 0);
    let start = end.offset;
    let stopped = frames(&whole, &mut end, &mut visit).map_err(|what| corrupt(end.offset, what))?;
    check_length(length, &end).map_err(|(at, what)| corrupt(at, what))?;
    rest = self::rest(&whole, end.offset - start);
    let Some(what) = stopped.filter(|_| rest.iter().any(|byte| *byte != 0)) else { return Ok(end) };
    let seed = StoreSeed::new(end.header.store);
    if proves_durable(rest, seed, end.header.first_position, end.offset) {
        return Err(corrupt(end.offset, what));
    }
    end.torn = true;
    Ok(end)
}

/// A segment that has not ended is as long as it was made. One without frames may have been about to become longer.
fn check_length(length: u64, end: &End) -> Result<(), (u64, &'static str)> {
    let capacity = end.header.capacity;
    let is_whole = length == capacity || (length > capacity && end.last.is_none());
    if is_whole || end.last == Some(Kind::End) {
        return Ok(());
    }
    Err((length.min(capacity), "the file is not as long as it was made"))
}

/// Reads frames from `bytes`, which stand at `end`, and moves `end` past each. Returns why it stopped, `None` after the
/// frame that ends the segment; an error is what `visit` refused a frame for.
pub fn frames(
    bytes: &[u8],
    end: &mut End,
    mut visit: impl FnMut(Frame<'_>, &End) -> Result<(), &'static str>,
) -> Result<Option<&'static str>, &'static str> {
    let (start, seed) = (end.offset, StoreSeed::new(end.header.store));
    while end.last != Some(Kind::End) {
        let bytes = rest(bytes, end.offset - start);
        let frame = match Frame::decode(bytes, seed, (end.header.first_position, end.offset)) {
            Ok(frame) => frame,
            Err(what) => return Ok(Some(what)),
        };
        if frame.header.previous != end.previous {
            return Ok(Some("the frame does not link to the one before it"));
        }
        if frame.header.first_position != end.next_position {
            return Ok(Some("the frame's position is out of order"));
        }
        let after = End {
            offset: frame.end(),
            previous: frame.checksum,
            next_position: frame.next_position().ok_or("positions overflow")?,
            recorded_at: end.recorded_at.max(frame.header.recorded_at),
            durable_end: end.durable_end.max(frame.header.durable_end),
            last: Some(frame.header.kind),
            last_offset: end.offset,
            ..*end
        };
        visit(frame, &after)?;
        *end = after;
    }
    Ok(None)
}

/// Whether a valid frame somewhere after the bad bytes at `bad` was written when those were already durable.
fn proves_durable(rest: &[u8], seed: StoreSeed, segment: u64, bad: u64) -> bool {
    (ALIGNMENT..rest.len()).step_by(ALIGNMENT).any(|skipped| {
        let bytes = rest.get(skipped..).unwrap_or_default();
        bytes.starts_with(&MAGIC)
            && Frame::decode(bytes, seed, (segment, bad + skipped as u64))
                .is_ok_and(|frame| frame.header.durable_end > bad)
    })
}

fn rest(bytes: &[u8], offset: u64) -> &[u8] {
    usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::frame::{self, Header};
    use super::*;

    /// A segment with one frame of one event at each of the positions, none of them called durable, and their offsets.
    fn segment(positions: &[u64]) -> (Vec<u8>, Vec<usize>) {
        let store = uuid::Uuid::from_bytes([7; 16]);
        let header = SegmentHeader { store, first_position: 1, capacity: 4096, previous: 0 };
        let (bytes, mut previous) = header.encode();
        let (mut bytes, mut offsets) = (bytes.to_vec(), Vec::new());
        let event = crate::event::Event::new::<&str>("A", &[], b"", None, None).unwrap();
        for first_position in positions.iter().copied() {
            offsets.push(bytes.len());
            let durable_end = HEADER_BYTES as u64;
            let header = Header {
                kind: Kind::Batch,
                first_position,
                recorded_at: 0,
                durable: 0,
                durable_end,
                previous,
            };
            let (seed, place) = (StoreSeed::new(store), (1, bytes.len() as u64));
            let events = std::iter::once(event.encoded());
            previous = frame::encode(&mut bytes, seed, place, &header, events, &[], |_, _| {}).checksum;
        }
        bytes.resize(4096, 0);
        (bytes, offsets)
    }

    fn recover(bytes: &[u8]) -> Result<End, Corruption> {
        scan("log", bytes, bytes.len() as u64, Start { store: None, position: 1, previous: 0 }, |_, _| Ok(()))
    }

    #[test]
    fn a_frame_that_links_but_leaves_out_a_position_is_refused() {
        let (bytes, _) = segment(&[1, 3]);
        let end = recover(&bytes).unwrap();
        assert_eq!((end.next_position, end.torn), (2, true));
    }

    #[test]
    fn a_group_that_was_never_durable_is_a_torn_tail_though_its_end_survived() {
        let (mut bytes, offsets) = segment(&[1, 2, 3]);
        bytes[offsets[1]] = 0;
        let end = recover(&bytes).unwrap();
        assert_eq!((end.next_position, end.torn), (2, true));
    }
}
