//! What must hold of each frame beyond its checksums and links, which whoever read it has seen to.

use super::conditions::{Batch, Conditions};
use super::findings::Findings;
use super::parts::Parts;
use super::recent::Recent;
use crate::error::StorageError;
use crate::event::EventView;
use crate::index::Location;
use crate::log::frame::{Frame, Kind};
use crate::log::segment;
use crate::view::View;

/// Everything that frames are checked against.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) recent: Recent,
    pub(super) parts: Parts,
    pub(super) conditions: Conditions,
    /// Batches and events that were met.
    pub(super) batches: u64,
    pub(super) events: u64,
    /// The time of the last frame.
    recorded_at: u64,
}

impl Frames {
    pub(super) fn new(recent: Recent, parts: Parts, conditions: Conditions) -> Self {
        Self { recent, parts, conditions, batches: 0, events: 0, recorded_at: 0 }
    }

    /// Checks the next frame of a segment.
    pub(super) fn check(
        &mut self,
        frame: &Frame<'_>,
        segment: u64,
        view: Option<&View>,
        findings: &mut Findings,
    ) -> Result<(), StorageError> {
        let mut report = |offset: u64, position: Option<u64>, what: &str| {
            findings.log(&segment::file_name(segment), offset, position, what);
        };
        let first = Some(frame.header.first_position);
        if frame.header.recorded_at < self.recorded_at {
            report(frame.offset, first, "the time goes back");
        }
        self.recorded_at = self.recorded_at.max(frame.header.recorded_at);
        if frame.header.durable >= frame.header.first_position || frame.header.durable_end > frame.offset {
            report(frame.offset, first, "the frame calls durable what was not written yet");
        }
        if frame.header.kind != Kind::Batch {
            if frame.event_count > 0 {
                report(frame.offset, first, "a frame that is no batch has events");
            }
        } else if frame.event_count == 0 {
            report(frame.offset, first, "a batch has no events");
        }
        match frame.guards() {
            None => report(frame.offset, first, "the frame's conditions are malformed"),
            Some(conditions) => {
                let first_position = frame.header.first_position;
                let batch = Batch { segment, offset: frame.offset, first_position };
                self.conditions.check(batch, conditions, &self.recent, &mut self.parts, findings)?;
            }
        }
        self.batches += u64::from(frame.header.kind == Kind::Batch);
        self.add_events(frame, segment, view, findings);
        Ok(())
    }

    fn add_events(&mut self, frame: &Frame<'_>, segment: u64, view: Option<&View>, findings: &mut Findings) {
        let mut end = 0;
        let mut met = 0;
        for (position, record) in (frame.header.first_position..).zip(frame.records()) {
            let Some(record) = record else { break };
            (end, met) = (record.offset + record.length as u64, met + 1);
            let mut report = |what: &str| {
                findings.log(&segment::file_name(segment), record.offset, Some(position), what);
            };
            if record.recorded_at != frame.header.recorded_at {
                report("the event's time is not that of its batch");
            }
            let Some(event) = EventView::decode(record.event) else {
                report("the event is malformed");
                self.turn(position + 1, view, findings);
                continue;
            };
            self.events += 1;
            if self.recent.push(&event, Location::new(record.offset, record.length)) {
                self.turn(position + 1, view, findings);
            }
        }
        if met < frame.event_count {
            let (offset, position) = (end.max(frame.offset), frame.header.first_position + u64::from(met));
            let what = "a record does not match its checksum";
            findings.log(&segment::file_name(segment), offset, Some(position), what);
            self.turn(frame.next_position().unwrap_or(position), view, findings);
        }
    }

    /// Compares the tail with the index, and begins a new one at this position.
    pub(super) fn turn(&mut self, next: u64, view: Option<&View>, findings: &mut Findings) {
        let tail = self.recent.tail();
        if tail.event_count() > 0
            && !self.parts.compare(tail, findings)
            && let Some(view) = view
        {
            view.compare(tail, &mut |position, what| {
                findings.index(MEMORY, 0, Some(position), what);
            });
        }
        self.recent.turn(next);
        let parts = &self.parts;
        self.recent.trim(|tail| parts.answering_for(tail.first_position()).is_some());
        parts.release();
    }
}

/// Stands for the part of the index that is in no file yet.
const MEMORY: &str = "memory";
