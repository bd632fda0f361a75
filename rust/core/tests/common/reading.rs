//! What tests of handles that only read have in common.

use std::sync::Arc;

use counterpoint::storage::Storage;
use counterpoint::{OpenError, Options, Query, ReadOptions, SequencedEvent, Store};

use super::frozen::Frozen;
use super::{event, query, read};

pub fn small() -> Options {
    Options { segment_bytes: 4096, index_events: 16, ..Options::default() }
}

pub fn reading() -> Options {
    Options { read_only: true, ..small() }
}

/// Opens any storage to read, and panics if anything in it is changed.
pub fn look_in(storage: &Arc<dyn Storage>) -> Result<Store, OpenError> {
    Store::open_in(Arc::new(Frozen(Arc::clone(storage))), reading())
}

pub fn append(store: &Store, count: usize) {
    for _ in 0..count {
        store.append(vec![event("A", &["x"]), event("B", &["y"])], vec![]).unwrap();
    }
}

/// Everything that a handle can be asked about what it shows.
pub fn answers(store: &Store) -> Vec<Vec<SequencedEvent>> {
    let reverse = ReadOptions { reverse: true, ..ReadOptions::default() };
    let middle = ReadOptions { after: 3, until: Some(20), limit: Some(7), ..ReadOptions::default() };
    [Query::All, query(&["A"], &[]), query(&[], &["y"]), query(&["B"], &["x"]), query(&["B"], &["y"])]
        .into_iter()
        .flat_map(|query| [ReadOptions::default(), reverse, middle].map(|options| (query.clone(), options)))
        .map(|(query, options)| read(store, query, options))
        .collect()
}
