//! Reads that are answered from memory: they answer as the log does, and spare it the work.

mod common;

use std::fs;

use common::{event, query, read};
use counterpoint::{Options, Query, ReadOptions, SequencedEvent, Store};

const ALL: ReadOptions = ReadOptions { after: 0, until: None, reverse: false, limit: None };

fn fill(store: &Store, count: u64) {
    let head = store.head().unwrap();
    for n in head + 1..=head + count {
        store.append(vec![event("A", &[&format!("of:{}", n % 10)])], vec![]).unwrap();
    }
}

fn fives() -> Query {
    query(&["A"], &["of:5"])
}

/// What a query and its options mean, found by looking at every event.
fn scanned(store: &Store, query: &Query, options: ReadOptions) -> Vec<SequencedEvent> {
    let until = options.until.unwrap_or(u64::MAX);
    let mut events = read(store, Query::All, ALL);
    events.retain(|event| event.position > options.after && event.position <= until);
    events.retain(|event| query.matches(&event.event.view()));
    if options.reverse {
        events.reverse();
    }
    events.truncate(options.limit.map_or(usize::MAX, |limit| limit as usize));
    events
}

#[test]
fn what_was_read_before_is_not_read_from_the_log_again() {
    for (read_cache_bytes, is_spared) in [(Options::default().read_cache_bytes, true), (0, false)] {
        let directory = tempfile::tempdir().unwrap();
        let store =
            Store::open(directory.path(), Options { read_cache_bytes, ..Options::default() }).unwrap();
        fill(&store, 100);
        let before = read(&store, fives(), ALL);
        assert_eq!(before.len(), 10);

        // What must be read now would be seen to be damaged.
        let log = directory.path().join("00000000000000000001.log");
        let mut bytes = fs::read(&log).unwrap();
        bytes[64..].fill(0);
        fs::write(&log, bytes).unwrap();
        let chunk = store.read(fives(), ALL).unwrap().chunks().next_chunk();
        assert_eq!(chunk.ok(), is_spared.then_some(before));
        let backward = ReadOptions { reverse: true, limit: Some(1), ..ALL };
        assert_eq!(store.read(fives(), backward).unwrap().chunks().next_chunk().is_ok(), is_spared);
    }
}

#[test]
fn every_part_of_a_known_answer_is_that_of_a_scan_while_the_log_grows() {
    let directory = tempfile::tempdir().unwrap();
    // Files and tails: what is newer than the known answer is searched in both.
    let options = Options { index_events: 64, segment_bytes: 8192, ..Options::default() };
    let store = Store::open(directory.path(), options).unwrap();
    for round in 0..12 {
        fill(&store, 37);
        let head = store.head().unwrap();
        // First with a limit, so that what becomes known ends within the log.
        let first = ReadOptions { limit: Some(3 + round), ..ALL };
        assert_eq!(read(&store, fives(), first), scanned(&store, &fives(), first));
        for after in [0, 4, 5, head / 2, head - 20, head, head + 5] {
            for until in [None, Some(0), Some(5), Some(head / 2), Some(head + 5)] {
                for (reverse, limit) in
                    [(false, None), (true, None), (false, Some(2)), (true, Some(1)), (true, Some(19))]
                {
                    let options = ReadOptions { after, until, reverse, limit };
                    assert_eq!(
                        read(&store, fives(), options),
                        scanned(&store, &fives(), options),
                        "{options:?}"
                    );
                }
            }
        }
        assert_eq!(read(&store, fives(), ALL), scanned(&store, &fives(), ALL));
    }
}

#[test]
fn a_pass_sees_its_snapshot_whatever_became_known_since() {
    let store = Store::open_memory(Options::default()).unwrap();
    fill(&store, 50);
    let snapshot = store.read(fives(), ALL).unwrap();
    fill(&store, 50);
    assert_eq!(read(&store, fives(), ALL).len(), 10);
    for _ in 0..2 {
        assert_eq!(snapshot.chunks().next_chunk().unwrap().len(), 5);
    }
}
