//! Brings the log into the index: the one place that knows both.

use crate::event::EventView;
use crate::index::{Location, Tail};
use crate::log::frame::Frame;

/// Adds the events of the next frame. An error says what is wrong with it.
pub(crate) fn add(index: &mut Tail, frame: &Frame<'_>) -> Result<(), &'static str> {
    if frame.guards().is_none() {
        return Err("the frame's conditions are malformed");
    }
    for record in frame.records() {
        let record = record.ok_or("a record does not match its checksum")?;
        let event = EventView::decode(record.event).ok_or("an event is malformed")?;
        index.push(&event, Location::new(record.offset, record.length));
    }
    Ok(())
}
