//! Why an event is in the log: the conditions that its append was accepted under.

use crate::condition::AppendCondition;
use crate::error::StorageError;
use crate::log::Segment;
use crate::log::frame::{Frame, HEADER_BYTES, Preamble};
use crate::log::segment;
use crate::view::View;

/// How much of the log is read at a time to find a frame.
const READ_BYTES: u64 = 1 << 20;

/// How an event came to be in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The first position of its batch.
    pub first: u64,
    /// The last position of its batch.
    pub last: u64,
    /// Microseconds since the Unix epoch.
    pub recorded_at: u64,
    /// The conditions of the append, all of which held; none if it had none or the store did not record them.
    pub conditions: Vec<AppendCondition>,
}

/// Finds the batch of an event that is in the log. The index knows where an event lies but not where its frame begins, so
/// headers are followed from the start of the segment.
pub(crate) fn explain(view: &View, position: u64) -> Result<Explanation, StorageError> {
    let (first, _) = view.segments.holding(position).expect("every position up to the head is in a segment");
    let segment = view.segments.get(first)?;
    let mut buffer = Vec::new();
    let (offset, length) = find(view, &segment, position, &mut buffer)?;
    segment.read_some(&mut buffer, offset, length)?;
    let corrupt = |what: &str| segment.corrupt(offset, what);
    let frame = Frame::decode(&buffer, view.seed, (first, offset)).map_err(corrupt)?;
    let conditions = frame.guards().ok_or_else(|| corrupt("the frame's conditions are malformed"))?;
    let next = frame.next_position().ok_or_else(|| corrupt("positions overflow"))?;
    let header = frame.header;
    Ok(Explanation {
        first: header.first_position,
        last: next - 1,
        recorded_at: header.recorded_at,
        conditions,
    })
}

/// The offset and the length of the frame that holds the event.
fn find(
    view: &View,
    segment: &Segment,
    position: u64,
    buffer: &mut Vec<u8>,
) -> Result<(u64, u64), StorageError> {
    let first = segment.first_position;
    let (mut start, mut at) = (0, segment::HEADER_BYTES as u64);
    buffer.clear();
    loop {
        let inside = usize::try_from(at - start).unwrap_or(usize::MAX);
        let mut bytes = buffer.get(inside..).unwrap_or_default();
        if bytes.len() < HEADER_BYTES {
            segment.read_some(buffer, at, READ_BYTES)?;
            start = at;
            bytes = buffer.as_slice();
        }
        let preamble = Preamble::decode(bytes, view.seed, (first, at));
        let preamble = preamble.map_err(|what| segment.corrupt(at, what))?;
        let holds = preamble.header.first_position <= position
            && preamble.next_position().is_some_and(|next| position < next);
        if holds {
            return Ok((at, preamble.length as u64));
        }
        at += (preamble.length as u64).max(HEADER_BYTES as u64);
    }
}
