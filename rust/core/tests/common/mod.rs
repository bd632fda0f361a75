//! What the tests of the core share: short names for values, the reference model, and a disk that can fail.

#![allow(dead_code, reason = "each test crate uses its own part")]

pub mod model;
pub mod simulated;

use counterpoint::{AppendCondition, Event, Query, QueryItem, ReadOptions, SequencedEvent, Store};

pub fn event(event_type: &str, tags: &[&str]) -> Event {
    Event::new(event_type, tags, b"{}", None, None).unwrap()
}

pub fn item(types: &[&str], tags: &[&str]) -> QueryItem {
    QueryItem::new(types, tags).unwrap()
}

pub fn query(types: &[&str], tags: &[&str]) -> Query {
    Query::items(vec![item(types, tags)]).unwrap()
}

pub fn condition(query: Query, after: u64) -> AppendCondition {
    AppendCondition { query, after }
}

pub fn read(store: &Store, query: Query, options: ReadOptions) -> Vec<SequencedEvent> {
    let mut chunks = store.read(query, options).unwrap().chunks();
    let mut events = Vec::new();
    loop {
        let chunk = chunks.next_chunk().unwrap();
        if chunk.is_empty() {
            return events;
        }
        events.extend(chunk);
    }
}

pub fn all(store: &Store) -> Vec<SequencedEvent> {
    read(store, Query::All, ReadOptions::default())
}
