//! Whether what was appended under conditions was rightly accepted (I4).
//!
//! Every condition is asked again of the events before its batch: the latest of them are in tails made from the log; for
//! older ones the index is asked, whose files have been compared with the log up to there, term by term, and what they find
//! is confirmed on the event itself. Where no file answers, the condition waits for a second pass over the log, with
//! others, in tails again.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::findings::{Finding, FindingKind, Findings};
use super::parts::Parts;
use super::recent::Recent;
use crate::condition::AppendCondition;
use crate::error::StorageError;
use crate::event::EventView;
use crate::index::Direction;
use crate::index::sealed::{Damaged, Sealed};
use crate::log::frame::{MAX_FRAME_BYTES, RECORD_HEADER_BYTES, Record};
use crate::log::{Segment, StoreSeed, segment};
use crate::query::Query;
use crate::storage::Storage;

/// So many conditions wait for a second pass, with so many types and tags in all.
const MAX_WAITING: usize = if cfg!(test) { 3 } else { 1 << 16 };
const MAX_WAITING_TERMS: usize = 1 << 18;

/// The batch that was appended under a condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) first_position: u64,
}

/// A condition of a batch that some events have not been asked about.
#[derive(Debug)]
struct Waiting {
    batch: Batch,
    number: usize,
    query: Query,
    after: u64,
    /// The events to be asked about.
    positions: RangeInclusive<u64>,
}

/// Asks conditions again.
#[derive(Debug)]
pub(super) struct Conditions {
    storage: Arc<dyn Storage>,
    seed: StoreSeed,
    waiting: Vec<Waiting>,
    waiting_terms: usize,
    /// How many the index was asked.
    looked_up: u64,
    /// How many were asked.
    pub(super) count: u64,
}

impl Conditions {
    pub(super) fn new(storage: Arc<dyn Storage>, seed: StoreSeed) -> Self {
        Self { storage, seed, waiting: Vec::new(), waiting_terms: 0, looked_up: 0, count: 0 }
    }

    /// Asks the conditions of a batch, none of whose events are among the recent ones (I11).
    pub(super) fn check(
        &mut self,
        batch: Batch,
        conditions: Vec<AppendCondition>,
        recent: &Recent,
        parts: &mut Parts,
        findings: &mut Findings,
    ) -> Result<(), StorageError> {
        for (number, AppendCondition { query, after }) in conditions.into_iter().enumerate() {
            self.count += 1;
            // Above the head of that time there was nothing to find.
            let positions = after.saturating_add(1)..=batch.first_position.saturating_sub(1);
            if let Some(found) = recent.first_match(&query, &positions) {
                findings.add(broken(batch, number, after, found));
                continue;
            }
            let older = *positions.start()..=recent.first_position().saturating_sub(1).min(*positions.end());
            let waiting = Waiting { batch, number, query, after, positions: older };
            self.check_older(waiting, parts, findings)?;
        }
        Ok(())
    }

    fn check_older(
        &mut self,
        mut waiting: Waiting,
        parts: &mut Parts,
        findings: &mut Findings,
    ) -> Result<(), StorageError> {
        if !waiting.positions.is_empty() {
            self.looked_up += 1;
            if self.looked_up.is_multiple_of(RELEASED_AFTER) {
                parts.release();
            }
        }
        while !waiting.positions.is_empty() {
            let (low, high) = waiting.positions.clone().into_inner();
            let Some(part) = parts.answering_for(low) else {
                self.waiting_terms += terms(&waiting.query);
                self.waiting.push(waiting);
                return Ok(());
            };
            let last = high.min(*part.positions().end());
            let candidates = match candidates(&part, &waiting.query, low..=last) {
                Ok(candidates) => candidates,
                Err(damaged) => {
                    parts.give_up(low, &damaged, findings);
                    continue;
                }
            };
            for (position, offset) in &candidates {
                if self.is_match(&waiting.query, *position, *offset, parts)? {
                    let Waiting { batch, number, after, .. } = waiting;
                    findings.add(broken(batch, number, after, *position));
                    return Ok(());
                }
            }
            let searched = if candidates.len() < CANDIDATES { None } else { candidates.last() };
            waiting.positions = searched.map_or(last, |(position, _)| *position) + 1..=high;
        }
        Ok(())
    }

    /// Whether the event that the index finds there matches. One that cannot be read has been reported already.
    fn is_match(
        &self,
        query: &Query,
        position: u64,
        offset: u64,
        parts: &Parts,
    ) -> Result<bool, StorageError> {
        let Some(first) = parts.segment_of(position) else { return Ok(false) };
        let name = segment::file_name(first);
        let file = self.storage.open(&name).map_err(StorageError::io("open", &name))?;
        let segment = Segment::new(first, file);
        let mut bytes = Vec::new();
        segment.read_some(&mut bytes, offset, RECORD_HEADER_BYTES as u64)?;
        let length = bytes.first_chunk().copied().map_or(0, u32::from_le_bytes) as usize;
        if length <= MAX_FRAME_BYTES {
            segment.read_some(&mut bytes, offset, (RECORD_HEADER_BYTES + length) as u64)?;
        }
        let record = Record::decode(&bytes, self.seed, position, offset);
        let event = record.and_then(|record| EventView::decode(record.event));
        Ok(event.is_some_and(|event| query.matches(&event)))
    }

    /// Whether no more should wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING || self.waiting_terms >= MAX_WAITING_TERMS
    }

    /// The events that the waiting ones have to be asked about; `None` if nothing waits.
    pub(super) fn wanted(&self) -> Option<RangeInclusive<u64>> {
        let low = self.waiting.iter().map(|waiting| *waiting.positions.start()).min()?;
        let high = self.waiting.iter().map(|waiting| *waiting.positions.end()).max()?;
        Some(low..=high)
    }

    /// Asks those that wait about a tail of the second pass.
    pub(super) fn check_waiting(&mut self, recent: &Recent, findings: &mut Findings) {
        let tail = recent.tail();
        self.waiting.retain(|waiting| {
            let found = tail.matches(&waiting.query, waiting.positions.clone(), Direction::Forward).next();
            if let Some(found) = found {
                findings.add(broken(waiting.batch, waiting.number, waiting.after, found));
            }
            found.is_none()
        });
    }

    /// The second pass is over: what still waits holds.
    pub(super) fn release(&mut self) {
        self.waiting.clear();
        self.waiting_terms = 0;
    }
}

/// After so many conditions the memory that the index took is let go of.
const RELEASED_AFTER: u64 = 1 << 12;

/// So many candidates of the index are confirmed at a time.
const CANDIDATES: usize = 16;

/// The first events in the range that the file finds, and their offsets.
fn candidates(
    part: &Sealed,
    query: &Query,
    positions: RangeInclusive<u64>,
) -> Result<Vec<(u64, u64)>, Damaged> {
    let located = |position: Result<u64, Damaged>| {
        let position = position?;
        Ok((position, part.location(position)?.map_or(0, |found| u64::from(found.offset))))
    };
    let found = part.matches(query, positions, Direction::Forward)?.take(CANDIDATES).map(located).collect();
    part.check_whole().and(found)
}

fn terms(query: &Query) -> usize {
    match query {
        Query::All => 0,
        Query::Items(items) => items.iter().map(|item| item.types().len() + item.tags().len()).sum(),
    }
}

fn broken(batch: Batch, number: usize, after: u64, found: u64) -> Finding {
    Finding {
        kind: FindingKind::Condition,
        file: segment::file_name(batch.segment),
        offset: batch.offset,
        position: Some(batch.first_position),
        what: format!("event {found} matches condition {number} of this append, which was after {after}"),
    }
}
