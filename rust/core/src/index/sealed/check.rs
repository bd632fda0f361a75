//! Whether a file is what it was and says what it should: every page against its checksum, and its answers for a run of
//! events against a tail of them that was made from the log.

use std::ops::Range;

use super::Sealed;
use super::build::{each_hash, hashed_tags};
use super::dictionary::Value;
use super::layout::{PAGE_BYTES, Section};
use super::pages::Damaged;
use super::types::number;
use crate::index::Tail;
use crate::index::cursor::Seek;

/// After so many tags the memory that looking them up took is let go of.
const RELEASED_AFTER: u32 = 1 << 12;

/// An answer of the index that is not that of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The event that it is about.
    pub(crate) position: u64,
    /// Where in the file the answer comes from, in bytes: the start of the section.
    pub(crate) offset: u64,
    /// What is different.
    pub(crate) what: String,
}

/// The events of a tail as the file counts them.
struct Run<'a> {
    tail: &'a Tail,
    first: u32,
    last: u32,
}

impl Sealed {
    /// How many pages can be checked; the checksums at the end of the file count as one.
    pub(crate) fn page_count(&self) -> u64 {
        self.header.sections.checksums.offset / PAGE_BYTES as u64 + 1
    }

    /// Looks at a page once more, whether it was verified before or not.
    pub(crate) fn check_page(&self, page: u64) -> Result<(), Damaged> {
        self.pages.check(page)
    }

    /// How many bytes these pages are.
    pub(crate) fn bytes_of_pages(&self, pages: Range<u64>) -> u64 {
        let at = |page: u64| (page * PAGE_BYTES as u64).min(self.bytes());
        let end = if pages.end == self.page_count() { self.bytes() } else { at(pages.end) };
        end - at(pages.start)
    }

    /// Lets go of the memory that the file takes. Its pages are verified again when they are next used.
    pub(crate) fn release_all(&self) {
        self.release_pages(0..self.page_count());
    }

    /// The same for some pages.
    pub(crate) fn release_pages(&self, pages: Range<u64>) {
        let whole = Section { offset: 0, length: self.header.sections.checksums.offset };
        let at = |page: u64| page * PAGE_BYTES as u64;
        self.pages.release(whole, at(pages.start), at(pages.end));
    }

    /// Compares what the file says of the tail's events, which are among its own, with the tail. Returns how many
    /// postings of tags were found as they should be.
    pub(crate) fn compare(&self, tail: &Tail, each: &mut dyn FnMut(Difference)) -> Result<u64, Damaged> {
        let inside = |position: u64| {
            let ordinal = u32::try_from(position.checked_sub(self.header.first_position)?).ok()?;
            Some(ordinal).filter(|ordinal| *ordinal < self.header.event_count)
        };
        let (first, last) = (inside(tail.first_position()), inside(tail.last_position()));
        let (Some(first), Some(last)) = (first, last) else { return Ok(0) };
        let run = Run { tail, first, last };
        self.compare_offsets(&run, each)?;
        self.compare_column(&run, each)?;
        self.compare_types(&run, each)?;
        self.compare_tags(&run, each)
    }

    fn difference(&self, ordinal: u32, section: Section, what: impl Into<String>) -> Difference {
        let position = self.header.first_position + u64::from(ordinal);
        Difference { position, offset: section.offset, what: what.into() }
    }

    fn compare_offsets(&self, run: &Run<'_>, each: &mut dyn FnMut(Difference)) -> Result<(), Damaged> {
        let section = self.header.sections.spans;
        let mut end = 0;
        for (ordinal, location) in (run.first..).zip(run.tail.locations()) {
            let found = self.offset(u64::from(ordinal))?;
            if found != location.offset {
                let what =
                    format!("the event is said to be at offset {found}, but is at {}", location.offset);
                each(self.difference(ordinal, section, what));
            }
            end = location.offset.saturating_add(location.length);
        }
        if run.last + 1 == self.header.event_count && self.offset(u64::from(run.last) + 1)? != end {
            each(self.difference(
                run.last,
                section,
                format!("the event does not end where it is said to: {end}"),
            ));
        }
        Ok(())
    }

    /// The number of every event's type.
    fn compare_column(&self, run: &Run<'_>, each: &mut dyn FnMut(Difference)) -> Result<(), Damaged> {
        let mut expected = vec![None; run.tail.event_count()];
        for (name, events) in run.tail.types() {
            let number = self.types.binary_search_by(|known| (*known.name).cmp(name)).ok();
            for event in events {
                if let Some(place) = expected.get_mut(*event as usize) {
                    *place = number.and_then(|number| u32::try_from(number).ok());
                }
            }
        }
        let column = self.column(run.first, run.last)?;
        let numbers = column.chunks_exact(self.header.type_bytes as usize).map(number);
        for ((ordinal, found), expected) in (run.first..).zip(numbers).zip(expected) {
            if expected != Some(found) {
                let known = self.types.get(found as usize).map_or("none", |entry| &entry.name);
                let what = format!("the event's type is said to be {known:?}, which it is not");
                each(self.difference(ordinal, self.header.sections.column, what));
            }
        }
        Ok(())
    }

    /// The events of every type, as searches find them.
    fn compare_types(&self, run: &Run<'_>, each: &mut dyn FnMut(Difference)) -> Result<(), Damaged> {
        for (number, entry) in (0..).zip(&self.types) {
            let mut events = self.events_of_type_within(number, &(run.first..=run.last))?;
            let expected = run.tail.type_postings(&entry.name);
            if let Some(ordinal) = first_difference(&mut events, expected, run)? {
                let what = format!("type {:?} is on the event in only one of log and index", entry.name);
                each(self.difference(ordinal, self.header.sections.types, what));
            }
        }
        Ok(())
    }

    fn compare_tags(&self, run: &Run<'_>, each: &mut dyn FnMut(Difference)) -> Result<u64, Damaged> {
        let (mut confirmed, mut looked_up) = (0, 0);
        each_hash(&hashed_tags(run.tail, self.hasher), |hash, expected| {
            confirmed += expected.len() as u64;
            looked_up += 1;
            if looked_up % RELEASED_AFTER == 0 {
                // In a large file each of them may take a page of its own.
                self.release_all();
            }
            let first = run.first + expected.first().copied().unwrap_or_default();
            if !self.may_contain_hash(hash)? {
                let what =
                    format!("the filter excludes the tag with hash {hash:016x}, which is on the event");
                each(self.difference(first, self.header.sections.filter, what));
            }
            let different = match self.find(hash)? {
                None => Some(first),
                Some(Value::Only(event)) => (expected.len() > 1 || event != first).then_some(first),
                Some(Value::List(at)) => first_difference(&mut self.list(at)?, expected, run)?,
            };
            if let Some(ordinal) = different {
                let what =
                    format!("the tag with hash {hash:016x} is on the event in only one of log and index");
                each(self.difference(ordinal, self.header.sections.dictionary, what));
            }
            Ok(())
        })?;
        Ok(confirmed)
    }

    /// How many postings these tags have in all. Their hashes ascend.
    pub(crate) fn count_postings(&self, tags: Range<u32>) -> Result<u64, Damaged> {
        let (mut count, mut before) = (0, None);
        if let Some(last) = tags.start.checked_sub(1) {
            before = Some(self.entry(last)?.0);
        }
        for number in tags {
            let (hash, value) = self.entry(number)?;
            if before.is_some_and(|before| before >= hash) {
                let offset = self.header.sections.dictionary.offset;
                return Err(self.pages.damaged(offset, "the tags are not in order"));
            }
            before = Some(hash);
            count += match value {
                Value::Only(_) => 1,
                Value::List(at) => u64::from(self.list(at)?.head.count),
            };
        }
        Ok(count)
    }
}

/// The first event of the run that is in only one of the two lists.
fn first_difference(
    list: &mut impl Seek<Error = Damaged>,
    expected: &[u32],
    run: &Run<'_>,
) -> Result<Option<u32>, Damaged> {
    let mut next = run.first;
    for event in expected {
        let event = run.first + event;
        let found = list.seek_forward(next)?.filter(|found| *found <= run.last);
        if found != Some(event) {
            return Ok(Some(found.map_or(event, |found| found.min(event))));
        }
        next = event + 1;
    }
    let more = if next <= run.last { list.seek_forward(next)? } else { None };
    Ok(more.filter(|more| *more <= run.last))
}
