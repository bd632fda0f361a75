//! Small answers that were read lately: decisions ask for the same few events again and again.
//!
//! Events never change, and none appears at or below a head that was once observed (I5). So what a query matched up to a
//! position stays true for ever, and a later read searches only what came after it. Nothing here has to be invalidated.

use std::hash::BuildHasher;
use std::ops::RangeInclusive;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::event::SequencedEvent;
use crate::query::Items;
use crate::threads::Mutex;

/// Answers with more events, or more bytes, are not kept: finding them costs little beside handing them out.
const MAX_EVENTS: usize = 256;
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// To search so many newer events once more costs less than to note that none of them matched.
const FRESH: u64 = 1 << 14;
/// About what an answer and each of its events take beside the bytes of the events.
const ANSWER_OVERHEAD: usize = 256;
const EVENT_OVERHEAD: usize = 64;
/// Parts with a lock each, so that letting go of old answers takes none of their readers long.
const SHARDS: usize = 16;

/// All events up to a position that match a query, in order.
#[derive(Debug)]
pub(super) struct Answer {
    events: Box<[SequencedEvent]>,
    /// The last position that was searched.
    pub(super) covered: u64,
}

impl Answer {
    /// The events in the range.
    pub(super) fn events(&self, positions: RangeInclusive<u64>) -> &[SequencedEvent] {
        let start = self.events.partition_point(|event| event.position < *positions.start());
        let end = self.events.partition_point(|event| event.position <= *positions.end());
        self.events.get(start..end).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        let event = |event: &SequencedEvent| event.event.encoded().len() + EVENT_OVERHEAD;
        ANSWER_OVERHEAD + self.events.iter().map(event).sum::<usize>()
    }
}

/// The answers that are kept, of at most so many bytes.
#[derive(Debug)]
pub(crate) struct ReadCache {
    hasher: DefaultHashBuilder,
    shards: [Mutex<Shard>; SHARDS],
    /// A generation of a shard is full with so many bytes; there are two of them.
    generation_bytes: usize,
}

type Entry = (Items, Arc<Answer>);

/// Two generations: what is asked for moves to the younger one, and when that is full the older one goes. So what was
/// asked for lately stays, without a list of who was asked for when.
#[derive(Debug, Default)]
struct Shard {
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    young_bytes: usize,
}

impl ReadCache {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: Default::default(),
            generation_bytes: bytes / (2 * SHARDS),
        }
    }

    /// What is known of a query.
    pub(super) fn get(&self, query: &Items) -> Option<Arc<Answer>> {
        let hash = self.hasher.hash_one(query);
        let mut shard = self.shard(hash).lock();
        if let Some((_, answer)) = shard.young.find(hash, |(known, _)| known == query) {
            return Some(Arc::clone(answer));
        }
        let (entry, _) = shard.old.find_entry(hash, |(known, _)| known == query).ok()?.remove();
        let answer = Arc::clone(&entry.1);
        let gone = self.insert(&mut shard, hash, entry);
        drop(shard);
        drop(gone);
        Some(answer)
    }

    fn put(&self, query: &Items, answer: Answer) {
        if answer.bytes() > self.generation_bytes {
            return;
        }
        let hash = self.hasher.hash_one(query);
        let entry = (query.clone(), Arc::new(answer));
        let mut shard = self.shard(hash).lock();
        if let Ok(known) = shard.young.find_entry(hash, |(known, _)| known == query) {
            let ((_, before), _) = known.remove();
            shard.young_bytes -= before.bytes();
        }
        let gone = self.insert(&mut shard, hash, entry);
        drop(shard);
        drop(gone);
    }

    /// Adds to the younger generation. What it returns is to be dropped once the shard is free.
    fn insert(&self, shard: &mut Shard, hash: u64, entry: Entry) -> HashTable<Entry> {
        let bytes = entry.1.bytes();
        let gone = if shard.young_bytes + bytes > self.generation_bytes {
            shard.young_bytes = 0;
            let full = std::mem::take(&mut shard.young);
            std::mem::replace(&mut shard.old, full)
        } else {
            HashTable::new()
        };
        shard.young_bytes += bytes;
        shard.young.insert_unique(hash, entry, |(query, _)| self.hasher.hash_one(query));
        gone
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // The low bits, and the highest seven, choose the place in the table.
        self.shards.get((hash >> 32) as usize % SHARDS).expect("there are as many")
    }
}

/// What one pass adds to what is known of its query.
#[derive(Debug, Default)]
pub(super) struct Learned {
    events: Vec<SequencedEvent>,
    bytes: usize,
}

impl Learned {
    /// Takes events that follow those before. `None` once they are too many to be kept.
    pub(super) fn and(mut self, events: &[SequencedEvent]) -> Option<Self> {
        self.bytes += events.iter().map(|event| event.event.encoded().len()).sum::<usize>();
        if self.events.len() + events.len() > MAX_EVENTS || self.bytes > MAX_ANSWER_BYTES {
            return None;
        }
        self.events.extend_from_slice(events);
        Some(self)
    }

    /// Keeps what was known and learned: all matches up to `covered`. Nothing is kept of what matched nothing, since most
    /// of that is asked for once, nor what would only say that nothing was added.
    pub(super) fn keep(self, cache: &ReadCache, query: &Items, known: Option<&Answer>, covered: u64) {
        if self.events.is_empty() && known.is_none_or(|known| known.covered + FRESH > covered) {
            return;
        }
        let known = known.map_or(&[][..], |known| &known.events);
        if let Some(Self { events, .. }) = Self::default().and(known).and_then(|all| all.and(&self.events)) {
            cache.put(query, Answer { events: events.into(), covered });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Query, QueryItem};

    fn items(tag: u64) -> Items {
        let item = QueryItem::new::<&str, _>(&[], &[tag.to_string()]).unwrap();
        let Query::Items(items) = Query::items(vec![item]).unwrap() else { unreachable!() };
        items
    }

    fn events(positions: RangeInclusive<u64>) -> Vec<SequencedEvent> {
        let event = Event::new::<&str>("A", &[], &[0; 100], None, None).unwrap();
        positions.map(|position| SequencedEvent { position, recorded_at: 1, event: event.clone() }).collect()
    }

    fn keep(cache: &ReadCache, tag: u64, positions: RangeInclusive<u64>, covered: u64) {
        if let Some(learned) = Learned::default().and(&events(positions)) {
            learned.keep(cache, &items(tag), cache.get(&items(tag)).as_deref(), covered);
        }
    }

    fn known(cache: &ReadCache, tag: u64) -> Option<(usize, u64)> {
        cache.get(&items(tag)).map(|answer| (answer.events(1..=u64::MAX).len(), answer.covered))
    }

    #[test]
    fn it_keeps_what_is_asked_for_and_no_more_than_it_may() {
        const BYTES: usize = 1 << 20;
        let cache = ReadCache::new(BYTES);
        for tag in 0..20_000 {
            keep(&cache, tag, 1..=3, 3);
            assert_eq!(known(&cache, 0), Some((3, 3)));
        }
        let size =
            |entries: &HashTable<Entry>| entries.iter().map(|(_, answer)| answer.bytes()).sum::<usize>();
        let sizes = cache.shards.iter().map(|shard| shard.lock()).map(|shard| {
            assert_eq!(size(&shard.young), shard.young_bytes);
            size(&shard.young) + size(&shard.old)
        });
        assert!((BYTES / 2..=BYTES).contains(&sizes.sum()));
        assert_eq!(known(&cache, 19_999), Some((3, 3)));
        assert_eq!(known(&cache, 1), None);
    }

    #[test]
    fn an_answer_grows_until_it_is_too_large() {
        let cache = ReadCache::new(32 << 20);
        keep(&cache, 0, 1..=10, 10);
        keep(&cache, 0, 11..=100, 200);
        assert_eq!(known(&cache, 0), Some((100, 200)));
        keep(&cache, 0, 201..=400, 400);
        assert_eq!(known(&cache, 0), Some((100, 200)));
        keep(&cache, 1, 1..=257, 257);
        assert_eq!(known(&cache, 1), None);
    }

    #[test]
    fn that_nothing_was_added_is_noted_once_it_spares_a_search() {
        let cache = ReadCache::new(32 << 20);
        keep(&cache, 0, 1..=1, 10);
        for (covered, noted) in
            [(11, 10), (9 + FRESH, 10), (10 + FRESH + 1, 10 + FRESH + 1), (20, 10 + FRESH + 1)]
        {
            Learned::default().keep(&cache, &items(0), cache.get(&items(0)).as_deref(), covered);
            assert_eq!(known(&cache, 0), Some((1, noted)));
        }
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let cache = ReadCache::new(0);
        keep(&cache, 0, 1..=1, 1);
        assert_eq!(known(&cache, 0), None);
    }
}
