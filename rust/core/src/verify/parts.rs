//! The files of the index: every page of theirs, and their answers against the log.

use std::sync::Arc;

use super::findings::Findings;
use crate::index::Tail;
use crate::index::sealed::{Damaged, Sealed};

/// Pages that are checked at a time.
const PAGES: u64 = 256;
/// Tags that are counted at a time.
const TAGS: u32 = 1 << 18;

/// The index files that are in use, in order, and what is known of them.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Part>,
    /// The first positions of the segments.
    segments: Vec<u64>,
    /// The part whose pages are checked, and the next of these.
    at: (usize, u64),
    /// Bytes of the pages that have been checked.
    checked_bytes: u64,
}

#[derive(Debug)]
struct Part {
    sealed: Arc<Sealed>,
    /// Whether its answers are not to be trusted.
    is_bad: bool,
    /// Events and postings of tags that were found in it as they are in the log.
    events: u64,
    postings: u64,
    /// Postings of tags that it has, of the tags counted so far.
    counted: Option<(u32, u64)>,
}

impl Parts {
    pub(super) fn new(sealed: &[Arc<Sealed>], segments: Vec<u64>) -> Self {
        let part = |sealed: &Arc<Sealed>| Part {
            sealed: Arc::clone(sealed),
            is_bad: false,
            events: 0,
            postings: 0,
            counted: None,
        };
        Self { parts: sealed.iter().map(part).collect(), segments, at: (0, 0), checked_bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Bytes that are behind, and all there are.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.checked_bytes, self.parts.iter().map(|part| part.sealed.bytes()).sum())
    }

    /// Checks some pages; `false` if there are none left.
    pub(super) fn check_pages(&mut self, findings: &mut Findings) -> bool {
        let (number, from) = self.at;
        let Some(part) = self.parts.get_mut(number) else { return false };
        let to = (from + PAGES).min(part.sealed.page_count());
        for page in from..to {
            if let Err(damaged) = part.sealed.check_page(page) {
                part.is_bad = true;
                report(&damaged, findings);
            }
        }
        self.checked_bytes += part.sealed.bytes_of_pages(from..to);
        part.sealed.release_pages(from..to);
        self.at = if to < part.sealed.page_count() { (number, to) } else { (number + 1, 0) };
        true
    }

    /// Compares the part that answers for the tail with it, if there is one. A tail is within one part or in none.
    pub(super) fn compare(&mut self, tail: &Tail, findings: &mut Findings) -> bool {
        let Some(part) = self.part_mut(tail.first_position()) else { return false };
        if part.is_bad {
            return true;
        }
        let (name, mut differs) = (part.sealed.name(), false);
        let compared = part.sealed.compare(tail, &mut |difference| {
            differs = true;
            findings.index(&name, difference.offset, Some(difference.position), difference.what);
        });
        part.is_bad |= differs;
        match compared {
            Ok(postings) => {
                part.postings += postings;
                part.events += tail.event_count() as u64;
                // Once all its events were met.
                if part.events == u64::from(part.sealed.event_count()) {
                    part.counted = Some((0, 0));
                }
            }
            Err(damaged) => {
                part.is_bad = true;
                report(&damaged, findings);
            }
        }
        true
    }

    /// Counts some postings of a file whose events were all compared; `false` if there are none left. Since all that the
    /// log has are in the file, and no list has an event twice, equal numbers show that it has no others.
    pub(super) fn count_postings(&mut self, findings: &mut Findings) -> bool {
        let Some(part) = self.parts.iter_mut().find(|part| part.counted.is_some() && !part.is_bad) else {
            return false;
        };
        let Some((from, before)) = part.counted.take() else { return false };
        let to = from.saturating_add(TAGS).min(part.sealed.tag_count());
        match part.sealed.count_postings(from..to) {
            Ok(count) if to < part.sealed.tag_count() => part.counted = Some((to, before + count)),
            Ok(count) if before + count != part.postings => {
                let (has, log) = (before + count, part.postings);
                let what = format!("the file has {has} postings of tags, but the log has {log} of them");
                findings.index(&part.sealed.name(), 0, None, what);
                part.is_bad = true;
            }
            Ok(_) => {}
            Err(damaged) => {
                part.is_bad = true;
                report(&damaged, findings);
            }
        }
        part.sealed.release_all();
        true
    }

    /// Whether there are postings to be counted.
    pub(super) fn is_counting(&self) -> bool {
        self.parts.iter().any(|part| part.counted.is_some() && !part.is_bad)
    }

    /// Lets go of what the files take of memory.
    pub(super) fn release(&self) {
        self.parts.iter().for_each(|part| part.sealed.release_all());
    }

    /// The file that answers for a position, if it can be trusted.
    pub(super) fn answering_for(&self, position: u64) -> Option<Arc<Sealed>> {
        let number = self.number_of(position)?;
        self.parts.get(number).filter(|part| !part.is_bad).map(|part| Arc::clone(&part.sealed))
    }

    /// A file turned out to be damaged in the middle of an answer.
    pub(super) fn give_up(&mut self, position: u64, damaged: &Damaged, findings: &mut Findings) {
        if let Some(part) = self.part_mut(position) {
            part.is_bad = true;
        }
        report(damaged, findings);
    }

    /// The segment that a position lies in.
    pub(super) fn segment_of(&self, position: u64) -> Option<u64> {
        let after = self.segments.partition_point(|first| *first <= position);
        self.segments.get(after.checked_sub(1)?).copied()
    }

    fn number_of(&self, position: u64) -> Option<usize> {
        let number = self.parts.partition_point(|part| *part.sealed.positions().end() < position);
        self.parts.get(number).filter(|part| part.sealed.positions().contains(&position)).map(|_| number)
    }

    fn part_mut(&mut self, position: u64) -> Option<&mut Part> {
        let number = self.number_of(position)?;
        self.parts.get_mut(number)
    }
}

fn report(damaged: &Damaged, findings: &mut Findings) {
    findings.index(&damaged.file, damaged.offset, None, damaged.what);
}
