//! Random operations on the store and on the reference model, side by side.

mod common;

use common::model::Model;
use common::{assert_whole, event, read};
use counterpoint::{AppendCondition, AppendError, Event, Options, Query, QueryItem, ReadOptions, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const TYPES: &[&str] = &["A", "B", "C"];
const TAGS: &[&str] = &["x", "y", "z", "x:1"];

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<Event>, Vec<(Query, u64)>),
    Read(Query, ReadOptions),
    Reopen,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (select(TYPES), subsequence(TAGS, 0..=3)).prop_map(|(name, tags)| event(name, &tags));
    vec(one, 1..6)
}

fn queries() -> impl Strategy<Value = Query> {
    let item = (subsequence(TYPES, 0..=2), subsequence(TAGS, 0..=2))
        .prop_filter_map("an empty item", |(types, tags)| QueryItem::new(&types, &tags).ok());
    prop_oneof![
        1 => Just(Query::All),
        9 => vec(item, 1..4).prop_map(|items| Query::items(items).unwrap()),
    ]
}

/// Positions near the head are the interesting ones: they are drawn as distances from it.
fn operations() -> impl Strategy<Value = Operation> {
    let back = || prop_oneof![3 => 0..4u64, 1 => 0..200u64];
    let after = prop_oneof![1 => Just(0), 2 => 0..60u64];
    let options = (after, proptest::option::of(0..60u64), any::<bool>(), proptest::option::of(1..9u64))
        .prop_map(|(after, until, reverse, limit)| ReadOptions { after, until, reverse, limit });
    prop_oneof![
        6 => (events(), vec((queries(), back()), 0..3)).prop_map(|(events, guards)| Operation::Append(events, guards)),
        4 => (queries(), options).prop_map(|(query, options)| Operation::Read(query, options)),
        1 => Just(Operation::Reopen),
    ]
}

proptest! {
    #[test]
    fn the_store_does_what_the_model_does(
        operations in vec(operations(), 1..60),
        // None, one that is always full, and one that keeps all.
        read_cache_bytes in select(&[0, 32 << 10, 32 << 20]),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { segment_bytes: 4096, read_cache_bytes, ..Options::default() };
        let open = || Store::open(directory.path(), options).unwrap();
        let mut store = open();
        let mut model = Model::default();
        for operation in operations {
            match operation {
                Operation::Append(events, guards) => {
                    let head = model.head();
                    let conditions: Vec<AppendCondition> = guards
                        .into_iter()
                        .map(|(query, back)| AppendCondition { query, after: head.saturating_sub(back) })
                        .collect();
                    match (store.append(events.clone(), conditions.clone()), model.append(&events, &conditions)) {
                        (Ok(position), Ok(expected)) => prop_assert_eq!(position, expected),
                        (Err(AppendError::Conflict(found)), Err(conflicts)) => {
                            prop_assert!(conflicts.contains(&(found.condition, found.position)));
                        }
                        (found, expected) => prop_assert!(false, "{found:?} instead of {expected:?}"),
                    }
                }
                Operation::Read(query, options) => {
                    let found: Vec<_> =
                        read(&store, query.clone(), options).into_iter().map(|e| (e.position, e.event)).collect();
                    prop_assert_eq!(found, model.read(&query, options));
                }
                Operation::Reopen => {
                    drop(store);
                    store = open();
                }
            }
            prop_assert_eq!(store.head().unwrap(), model.head());
        }
        assert_whole(&store);
    }
}
