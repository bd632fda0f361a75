//! Why an event is in the log.

use super::*;
use crate::limits::InvalidInput;

#[test]
fn every_event_is_explained_by_its_batch_and_its_conditions() {
    let store = Store::open_memory(small(16)).unwrap();
    let mut expected = Vec::new();
    for n in 0..120u64 {
        let after = store.head().unwrap();
        let conditions: Vec<_> = (0..n % 3)
            .map(|i| condition(query(&["B"], &[&format!("n:{n}.{i}")]), after.saturating_sub(i)))
            .collect();
        let batch = vec![event("A", &["all"]); 1 + n as usize % 4];
        let last = store.append(batch, conditions.clone()).unwrap();
        expected.extend((after + 1..=last).map(|_| (after + 1, last, conditions.clone())));
    }
    assert!(store.stats().unwrap().segments > 3);
    for (position, (first, last, conditions)) in (1..).zip(expected) {
        let why = store.why(position).unwrap();
        assert_eq!((why.first, why.last, &why.conditions), (first, last, &conditions), "event {position}");
        let read = store.read(Query::All, crate::ReadOptions { after: position - 1, ..Default::default() });
        assert_eq!(read.unwrap().chunks().next_chunk().unwrap()[0].recorded_at, why.recorded_at);
    }
}

#[test]
fn an_event_behind_large_ones_is_explained() {
    let store = Store::open_memory(Options::default()).unwrap();
    let large = Event::new::<&str>("Large", &[], &vec![7; 3 << 20], None, None).unwrap();
    let guard = condition(query(&["A"], &[]), 0);
    for _ in 0..4 {
        store.append(vec![large.clone(), large.clone()], vec![]).unwrap();
    }
    store.append(vec![event("A", &[])], vec![guard.clone()]).unwrap();
    assert_eq!(store.why(9).unwrap().conditions, [guard]);
    let why = store.why(6).unwrap();
    assert_eq!((why.first, why.last, why.conditions), (5, 6, vec![]));
}

#[test]
fn a_position_that_no_event_has_is_refused() {
    let store = Store::open_memory(small(16)).unwrap();
    for (position, head) in [(0, 0), (1, 0)] {
        let refused = store.why(position);
        let expected = InvalidInput::NoSuchPosition { position, head };
        assert!(matches!(refused, Err(ReadError::Invalid(found)) if found == expected));
    }
    store.append(vec![event("A", &[])], vec![]).unwrap();
    assert!(store.why(0).is_err() && store.why(1).is_ok() && store.why(2).is_err());
    store.close().unwrap();
    assert!(matches!(store.why(1), Err(ReadError::Closed)));
}

#[test]
fn damage_on_the_way_is_an_error_that_says_where() {
    let storage = Arc::new(Memory::default());
    let store = Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, small(16)).unwrap();
    for _ in 0..3 {
        store.append(vec![event("A", &[])], vec![]).unwrap();
    }
    storage.open(FIRST).unwrap().write_all_at(b"damage", 64).unwrap();
    let refused = store.why(3);
    let is_named = |found: &crate::Corruption| found.file == FIRST && found.offset == 64;
    assert!(
        matches!(&refused, Err(ReadError::Storage(StorageError::Corrupt(found))) if is_named(found)),
        "{refused:?}"
    );
}
