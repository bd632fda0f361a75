//! The engines that are compared, behind one small trait.

use std::hint::black_box;
use std::path::Path;

use crate::workload::Record;

/// One open store, for many threads.
pub trait Engine: Sized + Sync {
    fn open(directory: &Path) -> Self;
    fn head(&self) -> u64;
    /// Appends durably; with `after` only if no event past it has the first tag of the first record. Returns the last
    /// position.
    fn append(&self, records: &[Record], after: Option<u64>) -> u64;
    /// Reads the events with this type, if any, and all of these tags, oldest first or the newest only; counts them.
    fn read(&self, event_type: Option<&str>, tags: &[String], last: bool) -> u64;
    /// Reads everything; counts it.
    fn replay(&self) -> u64;
    fn close(self);
}

pub struct Counterpoint(counterpoint::Store);

impl Counterpoint {
    fn count(&self, query: counterpoint::Query, options: counterpoint::ReadOptions) -> u64 {
        let mut chunks = self.0.read(query, options).expect("a read begins").chunks();
        let mut count = 0;
        loop {
            let chunk = chunks.next_chunk().expect("a chunk is read");
            if chunk.is_empty() {
                return count;
            }
            count += black_box(chunk).len() as u64;
        }
    }

    fn query(types: &[&str], tags: &[String]) -> counterpoint::Query {
        let item = counterpoint::QueryItem::new(types, tags).expect("an item that restricts");
        counterpoint::Query::items(vec![item]).expect("one item")
    }
}

impl Engine for Counterpoint {
    fn open(directory: &Path) -> Self {
        // Every read is one for the first time.
        let options = counterpoint::Options { read_cache_bytes: 0, ..Default::default() };
        Self(counterpoint::Store::open(directory, options).expect("the store opens"))
    }

    fn head(&self) -> u64 {
        self.0.head().expect("a store that is open")
    }

    fn append(&self, records: &[Record], after: Option<u64>) -> u64 {
        let events = records
            .iter()
            .map(|record| {
                counterpoint::Event::new(record.event_type, &record.tags, &record.data, None, None)
                    .expect("a valid event")
            })
            .collect();
        let conditions = after.map(|after| counterpoint::AppendCondition {
            query: Self::query(&[], &records[0].tags[..1]),
            after,
        });
        self.0.append(events, conditions.into_iter().collect()).expect("an append succeeds")
    }

    fn read(&self, event_type: Option<&str>, tags: &[String], last: bool) -> u64 {
        let options =
            counterpoint::ReadOptions { reverse: last, limit: last.then_some(1), ..Default::default() };
        self.count(Self::query(event_type.as_slice(), tags), options)
    }

    fn replay(&self) -> u64 {
        self.count(counterpoint::Query::All, counterpoint::ReadOptions::default())
    }

    fn close(self) {
        self.0.close().expect("the store closes");
    }
}

/// With the segment size of its README, and its defaults.
pub struct Tephra {
    coordinator: tephra::WriteCoordinator,
    handle: tephra::WriteHandle,
}

const TEPHRA_SEGMENT_BYTES: usize = 256 << 20;

impl Tephra {
    fn tags(tags: &[String]) -> tephra::Tags {
        let tags = tags.iter().map(|tag| tephra::Tag::new(tag.as_str()).expect("a valid tag"));
        tephra::Tags::new(tags).expect("tags that differ")
    }

    fn query(event_type: Option<&str>, tags: &[String]) -> tephra::Query {
        let types = event_type.map(|name| tephra::EventType::new(name).expect("a valid type"));
        tephra::Query::item(tephra::QueryItem::new(types.into_iter().collect(), Self::tags(tags)))
    }
}

impl Engine for Tephra {
    fn open(directory: &Path) -> Self {
        let segments = tephra::SegmentConfig::new(TEPHRA_SEGMENT_BYTES);
        let set = tephra::SegmentSet::open(directory, segments).expect("the log opens");
        let (coordinator, handle) =
            tephra::WriteCoordinator::start(set, tephra::WriterConfig::default()).expect("the writer starts");
        Self { coordinator, handle }
    }

    fn head(&self) -> u64 {
        self.handle.head().get()
    }

    fn append(&self, records: &[Record], after: Option<u64>) -> u64 {
        let events = records
            .iter()
            .map(|record| {
                let event_type = tephra::EventType::new(record.event_type).expect("a valid type");
                tephra::Event::new(&event_type, &Self::tags(&record.tags), &record.data)
                    .expect("a valid event")
            })
            .collect();
        let condition = after.map(|after| {
            tephra::AppendCondition::new(Self::query(None, &records[0].tags[..1]))
                .after(tephra::Position::new(after))
        });
        self.handle.append(events, condition).expect("an append succeeds").last.get()
    }

    fn read(&self, event_type: Option<&str>, tags: &[String], last: bool) -> u64 {
        let query = Self::query(event_type, tags);
        let mut events = if last {
            self.handle.read_back(&query, tephra::Position::MAX, Some(1))
        } else {
            self.handle.read(&query, tephra::Position::ZERO, None)
        };
        let mut count = 0;
        while let Some(event) = events.next() {
            // Owned, as a caller that keeps what it reads has it.
            black_box(event.expect("an event is read").event.to_owned());
            count += 1;
        }
        count
    }

    fn replay(&self) -> u64 {
        let mut events = self.handle.read(&tephra::Query::all(), tephra::Position::ZERO, None);
        let mut count = 0;
        while let Some(event) = events.next() {
            black_box(event.expect("an event is read"));
            count += 1;
        }
        count
    }

    fn close(self) {
        drop(self.handle);
        self.coordinator.shutdown();
    }
}
