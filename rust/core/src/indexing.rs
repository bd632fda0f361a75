//! Brings the log into the index.

use crate::event::EventView;
use crate::index::{Index, Location};
use crate::log::frame::Frame;
use crate::log::recovery::End;
use crate::log::{Point, Segments};

/// Adds the events of the next frame, after which the log is at `end`; `true` if a tail is full now. An error says what
/// is wrong with the frame.
pub(crate) fn add(
    index: &mut Index,
    frame: &Frame<'_>,
    end: &End,
    segments: &Segments,
) -> Result<bool, &'static str> {
    if frame.guards().is_none() {
        return Err("the frame's conditions are malformed");
    }
    for record in frame.records() {
        let record = record.ok_or("a record does not match its checksum")?;
        let event = EventView::decode(record.event).ok_or("an event is malformed")?;
        index.push(&event, Location::new(record.offset, record.length));
    }
    Ok(index.turn(|| Point::of(end, segments.len() as u64).map(|point| point.encode())))
}

/// Hands over those events of a frame that are as they were written, with their positions.
pub(crate) fn each_valid(frame: &Frame<'_>, each: &mut dyn FnMut(u64, &EventView<'_>, Location)) {
    for (position, record) in (frame.header.first_position..).zip(frame.records()) {
        let Some(record) = record else { return };
        if let Some(event) = EventView::decode(record.event) {
            each(position, &event, Location::new(record.offset, record.length));
        }
    }
}
