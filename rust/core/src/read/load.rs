//! Reading events that were found from the log: neighbours with one read, and cold ones all at once.

use std::sync::Arc;

use super::MAX_CHUNK_BYTES;
use super::search::Found;
use crate::error::StorageError;
use crate::event::{Event, SequencedEvent};
use crate::log::Segment;
use crate::view::View;

/// Events that are closer together than this in a segment are fetched with one read.
const MAX_GAP_BYTES: u64 = 1024;

/// Neighbours in one segment, to be read with one read.
struct Run<'a> {
    segment: Arc<Segment>,
    start: u64,
    end: u64,
    found: &'a [Found],
}

/// Reads all events that were found, in that order.
pub(super) fn all(
    view: &View,
    found: &[Found],
    buffer: &mut Vec<u8>,
    events: &mut Vec<SequencedEvent>,
) -> Result<(), StorageError> {
    events.reserve(found.len());
    let mut rest = found;
    let mut warmed = false;
    while !rest.is_empty() {
        let (run, after) = next_run(view, rest)?;
        buffer.resize(usize::try_from(run.end - run.start).expect("inside a segment"), 0);
        if warmed || after.is_empty() {
            run.segment.read(buffer, run.start)?;
        } else if !run.segment.read_cached(buffer, run.start)? {
            // Not in memory, so what follows probably is not either: the device gets all of it to do at once.
            warmed = true;
            will_need(view, after)?;
            run.segment.read(buffer, run.start)?;
        }
        for found in run.found {
            events.push(decode(view, &run, buffer, found)?);
        }
        rest = after;
    }
    Ok(())
}

/// Reads one event.
pub(super) fn one(view: &View, found: &Found) -> Result<SequencedEvent, StorageError> {
    let mut events = Vec::with_capacity(1);
    all(view, std::slice::from_ref(found), &mut Vec::new(), &mut events)?;
    Ok(events.pop().expect("one was asked for"))
}

fn will_need(view: &View, found: &[Found]) -> Result<(), StorageError> {
    let mut rest = found;
    while !rest.is_empty() {
        let (run, after) = next_run(view, rest)?;
        run.segment.will_need(run.start, run.end - run.start);
        rest = after;
    }
    Ok(())
}

/// The longest run of neighbours at the start of `found`, and the rest.
fn next_run<'a>(view: &View, found: &'a [Found]) -> Result<(Run<'a>, &'a [Found]), StorageError> {
    let first = found.first().map_or(0, |found| found.position);
    let (holding, next) = view.segments.holding(first).expect("every position in the index is in a segment");
    let segment = view.segments.get(holding)?;
    let (mut start, mut end, mut count) = (u64::MAX, 0_u64, 0);
    for Found { position, offset: from, length, .. } in found.iter().copied() {
        if position < holding || next.is_some_and(|next| position >= next) {
            break;
        }
        let to = match length {
            Some(length) if length <= MAX_CHUNK_BYTES => from + length,
            // Where an event is stored is not believed further than its segment goes.
            _ => segment.len()?.min(from.saturating_add(length.unwrap_or(u64::MAX))),
        };
        if to <= from {
            return Err(segment.corrupt(from, format!("the segment ends before event {position}")));
        }
        let apart = from > end.saturating_add(MAX_GAP_BYTES) || to.saturating_add(MAX_GAP_BYTES) < start;
        if count > 0 && (apart || end.max(to) - start.min(from) > MAX_CHUNK_BYTES) {
            break;
        }
        (start, end, count) = (start.min(from), end.max(to), count + 1);
    }
    let (run, rest) = found.split_at(count);
    Ok((Run { segment, start, end, found: run }, rest))
}

fn decode(view: &View, run: &Run<'_>, bytes: &[u8], found: &Found) -> Result<SequencedEvent, StorageError> {
    let Found { position, offset, .. } = *found;
    let begin = usize::try_from(offset - run.start).expect("inside the run");
    let record = run.segment.record(bytes.get(begin..).unwrap_or_default(), view.seed, position, offset)?;
    let event = Event::decode(record.event)
        .ok_or_else(|| run.segment.corrupt(offset, format!("event {position} is malformed")))?;
    Ok(SequencedEvent { position, recorded_at: record.recorded_at, event })
}
