//! The sealed index: an immutable, mapped file for a run of positions, searched like the tail.
//!
//! Tags are stored as keyed hashes. Two tags can have the same one, so a search yields *candidates*: every event that
//! matches is among them, and the caller confirms each on the event itself with [`Query::matches`]. A collision costs
//! time, never an answer. Types are exact.
//!
//! Every byte is checked before it is believed (I10): header and checksums when the file is opened, each page when it is
//! first used. What does not check out is [`Damaged`], and the file can be built again from the log (I7).

mod assemble;
mod blocks;
mod build;
mod check;
mod dictionary;
mod filter;
mod hash;
mod layout;
mod lists;
mod merge;
mod offsets;
mod pages;
mod search;
mod terms;
mod types;
mod write;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;

use uuid::Uuid;

use self::hash::TagHasher;
use self::layout::Header;
use self::pages::Pages;
use self::types::TypeEntry;
use crate::storage::MappedFile;

pub(crate) use self::build::build;
pub(crate) use self::layout::{MAX_EVENTS, POINT_BYTES};
pub(crate) use self::merge::{MergeError, merge};
pub(crate) use self::pages::Damaged;

/// How the names of index files end.
pub(crate) const EXTENSION: &str = ".idx";

/// The name of the index file for these positions.
pub(crate) fn file_name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}{EXTENSION}")
}

/// The positions of the index file with this name; `None` if it is not the name of one.
pub(crate) fn file_positions(name: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    let position = |digits: &str| {
        let is_number = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| digits.parse::<u64>().ok())?
    };
    let (first, last) = (position(first)?, position(last)?);
    (1..=last).contains(&first).then_some(first..=last)
}

/// An open index file.
#[derive(Debug)]
pub(crate) struct Sealed {
    pages: Pages,
    header: Header,
    types: Vec<TypeEntry>,
    hasher: TagHasher,
}

impl Sealed {
    /// Opens a file that was mapped under this name. Reads its header, its checksums and its table of types; all else is
    /// verified when it is used.
    pub(crate) fn open(name: &str, mapped: Arc<dyn MappedFile>, store: Uuid) -> Result<Self, Damaged> {
        let (pages, header) = Pages::open(name.into(), mapped)?;
        if header.store != store {
            return Err(pages.damaged(0, "the index belongs to another store"));
        }
        let last = header.first_position + u64::from(header.event_count) - 1;
        if file_positions(name) != Some(header.first_position..=last) {
            return Err(pages.damaged(0, "the index is not of the positions in its name"));
        }
        let types = types::parse(&pages, &header)?;
        Ok(Self { pages, header, types, hasher: TagHasher::new(store) })
    }

    /// The positions of its events.
    pub(crate) fn positions(&self) -> RangeInclusive<u64> {
        self.header.first_position..=self.header.first_position + u64::from(self.header.event_count) - 1
    }

    /// How many events it has, at least one.
    pub(crate) fn event_count(&self) -> u32 {
        self.header.event_count
    }

    /// What was given when it was built: where the log stands after the last event.
    pub(crate) fn point(&self) -> &[u8; POINT_BYTES] {
        &self.header.point
    }

    /// The types of its events, ascending.
    pub(crate) fn type_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.types.iter().map(|entry| &*entry.name)
    }

    /// How many different tags there are; those whose hashes collide count once.
    pub(crate) fn tag_count(&self) -> u32 {
        self.entry_count()
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        let (first, last) = self.positions().into_inner();
        file_name(first, last)
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.header.sections.checksums.offset + self.header.sections.checksums.length
    }

    /// To be called after an answer is complete: if a page of the file could not be read again, it may be wrong.
    pub(crate) fn check_whole(&self) -> Result<(), Damaged> {
        self.pages.check_whole()
    }

    /// Says that offsets and types of these positions are not needed for now, so that a long read keeps memory flat.
    pub(crate) fn release(&self, positions: RangeInclusive<u64>) {
        if let Some(range) =
            super::tail::ordinals(self.header.first_position, self.header.event_count, &positions)
        {
            self.release_events(u64::from(*range.start()), u64::from(*range.end()) + 1);
        }
    }
}
