//! What a file answers, compared with a plain scan of the events.

mod damage;
mod dense;
mod differential;
mod format;
mod seeking;
mod timings;

use super::search::Matches;
use std::ops::RangeInclusive;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::event::Event;
use crate::index::{Direction, Location, Tail};
use crate::query::{Query, QueryItem};
use crate::storage::{Memory, Storage, StorageFile};

const STORE: Uuid = Uuid::from_bytes(*b"a store for test");
const POINT: [u8; POINT_BYTES] = [7; POINT_BYTES];

fn new_file() -> Arc<dyn StorageFile> {
    Memory::default().create("file").unwrap()
}

fn event(event_type: &str, tags: &[&str]) -> Event {
    Event::new(event_type, tags, b"", None, None).unwrap()
}

fn item(types: &[&str], tags: &[&str]) -> Query {
    Query::items(vec![QueryItem::new(types, tags).unwrap()]).unwrap()
}

/// Events of 100 bytes each, the first at `first_position`, in log segments of ten.
fn tail(first_position: u64, events: &[Event]) -> Tail {
    let mut tail = Tail::new(first_position);
    for (position, event) in (first_position..).zip(events) {
        tail.push(&event.view(), Location::new(position % 10 * 100, 100));
    }
    tail
}

fn open(file: &dyn StorageFile, store: Uuid, positions: RangeInclusive<u64>) -> Result<Sealed, Damaged> {
    Sealed::open(&file_name(*positions.start(), *positions.end()), file.map().unwrap(), store)
}

fn sealed_as(store: Uuid, first_position: u64, events: &[Event]) -> Sealed {
    let file = new_file();
    build(&tail(first_position, events), &POINT, store, &*file).unwrap();
    open(&*file, store, first_position..=first_position + events.len() as u64 - 1).unwrap()
}

fn sealed(first_position: u64, events: &[Event]) -> Sealed {
    sealed_as(STORE, first_position, events)
}

fn merged(inputs: &[Arc<Sealed>]) -> Sealed {
    let file = new_file();
    merge(inputs, &*file).unwrap();
    let (first, last) = (inputs.first().unwrap(), inputs.last().unwrap());
    open(&*file, first.header.store, *first.positions().start()..=*last.positions().end()).unwrap()
}

fn candidates(sealed: &Sealed, query: &Query, direction: Direction) -> Vec<u64> {
    let matches: Matches<'_> = sealed.matches(query, 0..=u64::MAX, direction).unwrap();
    matches.map(Result::unwrap).collect()
}
