//! A file from a tail.

use std::io;

use uuid::Uuid;

use super::assemble::{self, Source};
use super::hash::TagHasher;
use super::layout::POINT_BYTES;
use super::lists::Head;
use super::terms::{TermCounts, TermWriter};
use crate::index::Tail;
use crate::storage::StorageFile;

/// Writes the index file of a tail's events. `point` is kept with it and has no meaning here. The file is not durable
/// until the caller syncs it. A tail without events is refused (`InvalidInput`).
pub(crate) fn build(
    tail: &Tail,
    point: &[u8; POINT_BYTES],
    store: Uuid,
    file: &dyn StorageFile,
) -> io::Result<()> {
    let hasher = TagHasher::new(store);
    let mut types: Vec<_> = tail.types().collect();
    types.sort_unstable();
    let tags = hashed_tags(tail, hasher);
    assemble::write(&mut TailSource { tail, point, store, types, tags }, file)
}

/// The events of each tag, by hash; tags whose hashes collide are neighbours.
pub(super) fn hashed_tags(tail: &Tail, hasher: TagHasher) -> Vec<(u64, &[u32])> {
    let mut tags: Vec<_> = tail.tags().map(|(tag, events)| (hasher.hash(tag), events)).collect();
    tags.sort_unstable_by_key(|(hash, _)| *hash);
    tags
}

/// Each hash with its events.
pub(super) fn each_hash<E>(
    tags: &[(u64, &[u32])],
    mut each: impl FnMut(u64, &[u32]) -> Result<(), E>,
) -> Result<(), E> {
    for group in tags.chunk_by(|one, other| one.0 == other.0) {
        match group {
            [(hash, events)] => each(*hash, events)?,
            [(hash, _), ..] => each(*hash, &united(group))?,
            [] => {}
        }
    }
    Ok(())
}

struct TailSource<'a> {
    tail: &'a Tail,
    point: &'a [u8; POINT_BYTES],
    store: Uuid,
    types: Vec<(&'a str, &'a [u32])>,
    /// As [`hashed_tags`] has them.
    tags: Vec<(u64, &'a [u32])>,
}

/// The events of tags with the same hash, each once.
fn united(tags: &[(u64, &[u32])]) -> Vec<u32> {
    let mut events: Vec<u32> = tags.iter().flat_map(|(_, events)| events.iter().copied()).collect();
    events.sort_unstable();
    events.dedup();
    events
}

fn head(events: &[u32]) -> Head {
    let count = u32::try_from(events.len()).expect("a list has each event at most once");
    let end = |event: Option<&u32>| event.copied().expect("a term that is known is on an event");
    Head { count, first: end(events.first()), last: end(events.last()) }
}

impl Source for TailSource<'_> {
    type Error = io::Error;

    fn store(&self) -> Uuid {
        self.store
    }

    fn first_position(&self) -> u64 {
        self.tail.first_position()
    }

    fn event_count(&self) -> u64 {
        self.tail.event_count() as u64
    }

    fn point(&self) -> [u8; POINT_BYTES] {
        *self.point
    }

    fn types(&self) -> Vec<(Box<str>, Head)> {
        self.types.iter().map(|(name, events)| ((*name).into(), head(events))).collect()
    }

    fn column(&mut self, each: &mut dyn FnMut(u32) -> io::Result<()>) -> io::Result<()> {
        let mut column = vec![0; self.tail.event_count()];
        for (number, (_, events)) in (0..).zip(&self.types) {
            for event in *events {
                *column.get_mut(*event as usize).expect("postings are of events of the tail") = number;
            }
        }
        column.into_iter().try_for_each(each)
    }

    fn offsets(&mut self, each: &mut dyn FnMut(u32) -> io::Result<()>) -> io::Result<()> {
        let locations = self.tail.locations();
        locations.iter().try_for_each(|location| each(location.offset))?;
        locations.last().map_or(Ok(()), |last| each(last.offset.saturating_add(last.length)))
    }

    fn count_tags(&mut self, counts: &mut TermCounts) -> io::Result<()> {
        each_hash(&self.tags, |_, events| {
            counts.add_tag(head(events).count);
            Ok(())
        })
    }

    fn events_of_type(
        &mut self,
        number: usize,
        each: &mut dyn FnMut(u32) -> io::Result<()>,
    ) -> io::Result<()> {
        let events = self.types.get(number).map(|(_, events)| *events);
        events.into_iter().flatten().copied().try_for_each(each)
    }

    fn tags(&mut self, out: &mut TermWriter<'_>) -> io::Result<()> {
        each_hash(&self.tags, |hash, events| {
            out.tag(hash, head(events), |list| events.iter().try_for_each(|event| list.push(*event)))
        })
    }
}
