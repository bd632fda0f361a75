//! Whatever shape a store has: if nothing is wrong with it, nothing is found.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::AppendError;
use crate::storage::Disk;

fn eventually(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Batches of one to three events; every other batch has two conditions, an old one and a recent one. Returns how many
/// events and conditions that were.
fn fill(store: &Store, batches: u64) -> (u64, u64) {
    let (mut events, mut conditions) = (0, 0);
    for n in 0..batches {
        let head = store.head().unwrap();
        let own = format!("own:{head}");
        let one = |i| event(["A", "B"][i as usize % 2], &["all", &own, &format!("{head}.{i}")]);
        let batch: Vec<Event> = (0..=n % 3).map(one).collect();
        let guards = vec![condition(query(&[], &[&own]), 0), condition(query(&["A", "B"], &["all"]), head)];
        let guards = if n % 2 == 0 { guards } else { vec![] };
        events += batch.len() as u64;
        conditions += guards.len() as u64;
        store.append(batch, guards).unwrap();
    }
    (events, conditions)
}

#[test]
fn a_whole_store_of_any_shape_is_found_whole_and_counted() {
    for segment_bytes in [4096, 16 << 10, 1 << 20] {
        for index_events in [4, 32, 1 << 17] {
            let storage = Arc::new(Memory::default());
            let options = Options { segment_bytes, index_events, ..Options::default() };
            let open = || Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, options).unwrap();
            let (mut batches, mut events, mut conditions) = (0, 0, 0);
            for _ in 0..3 {
                let store = open();
                let (more, asked) = fill(&store, 60);
                (batches, events, conditions) = (batches + 60, events + more, conditions + asked);
                let verification = verify(&store);
                assert_whole(&verification);
                let stats = store.stats().unwrap();
                assert_eq!((verification.head, verification.events), (events, events));
                assert_eq!((verification.batches, verification.conditions), (batches, conditions));
                assert_eq!(verification.segments, stats.segments);
                store.close().unwrap();
                let closed = verify_storage(&storage);
                assert_whole(&closed);
                assert_eq!((closed.head, closed.batches), (events, batches));
                assert_eq!((closed.events, closed.conditions), (events, conditions));
            }
            assert!(index_events > 1000 || verify(&open()).index_files > 0);
        }
    }
}

#[test]
fn an_empty_store_is_whole() {
    let storage = Arc::new(Memory::default());
    let store = Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, small(16)).unwrap();
    let verification = verify(&store);
    assert_whole(&verification);
    assert_eq!((verification.head, verification.segments, verification.bytes), (0, 1, 64));
    store.close().unwrap();
    assert_whole(&verify_storage(&storage));
}

#[test]
fn a_batch_that_is_longer_than_any_piece_that_is_read_is_whole() {
    let store = Store::open_memory(small(16)).unwrap();
    let large = Event::new::<&str>("Large", &[], &vec![7; 3 << 20], None, None).unwrap();
    for _ in 0..2 {
        store.append(vec![event("A", &["a"]), large.clone()], vec![]).unwrap();
        store.append(vec![event("A", &["a"])], vec![]).unwrap();
    }
    let verification = verify(&store);
    assert_whole(&verification);
    assert_eq!((verification.batches, verification.events), (4, 6));
    assert!(verification.bytes > 6 << 20);
}

#[test]
fn files_that_are_merged_are_whole_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small(16)).unwrap();
    let (events, conditions) = fill(&store, 400);
    eventually("few files", || (1..=9).contains(&store.stats().unwrap().index_files));
    let verification = verify(&store);
    assert_whole(&verification);
    assert_eq!((verification.events, verification.conditions), (events, conditions));
    assert!(verification.index_files > 0);
    store.close().unwrap();
    let storage = Arc::new(Disk::open(directory.path()).unwrap());
    assert_whole(&run(Verify::of_storage(storage).unwrap()));
}

#[test]
fn a_verification_goes_up_to_the_head_at_which_it_began() {
    let store = Store::open_memory(small(16)).unwrap();
    fill(&store, 50);
    let head = store.head().unwrap();
    let mut under_way = store.verify().unwrap();
    let mut steps = 0;
    while under_way.step().unwrap() {
        // Segments end and index files are made meanwhile.
        fill(&store, 10);
        steps += 1;
    }
    let verification = under_way.result();
    assert_whole(&verification);
    assert_eq!((verification.head, verification.events), (head, head));
    assert!(steps > 3);
    assert_whole(&verify(&store));
}

#[test]
fn progress_never_goes_back_and_ends_at_its_total() {
    let store = Store::open_memory(small(16)).unwrap();
    fill(&store, 200);
    let mut under_way = store.verify().unwrap();
    let (mut last, total) = under_way.progress();
    assert_eq!(last, 0);
    while under_way.step().unwrap() {
        let (done, of) = under_way.progress();
        assert!(done >= last && of == total, "{done} of {of} after {last} of {total}");
        last = done;
    }
    assert_eq!(under_way.progress(), (total, total));
}

#[test]
fn closing_the_store_ends_a_verification() {
    let store = Store::open_memory(small(16)).unwrap();
    fill(&store, 20);
    let mut under_way = store.verify().unwrap();
    assert!(under_way.step().unwrap());
    store.close().unwrap();
    assert!(matches!(under_way.step(), Err(ReadError::Closed)));
    assert!(matches!(store.verify(), Err(ReadError::Closed)));
}

#[test]
fn a_batch_that_was_never_acknowledged_is_no_damage() {
    let mut forged = Forged::new();
    forged.batch(&[event("A", &["a"])], &[]);
    forged.batch(&[event("B", &["a"])], &[]);
    let last = *forged.offsets.last().unwrap() as usize;
    for cut in last..forged.bytes.len() {
        let mut torn = Forged { bytes: forged.bytes[..cut].to_vec(), offsets: vec![], ..Forged::new() };
        torn.next = 2;
        let verification = verify_storage(&torn.storage());
        assert_whole(&verification);
        assert_eq!((verification.head, verification.events), (1, 1));
    }
}

#[test]
fn of_a_group_that_was_never_acknowledged_some_frames_may_be_there() {
    let mut forged = Forged::new();
    forged.batch(&[event("A", &["a"])], &[]);
    let durable_end = forged.bytes.len() as u64;
    for _ in 0..2 {
        forged.frame(&[event("B", &["a"])], &[], |header| header.durable_end = durable_end);
    }
    forged.bytes[durable_end as usize + 70] ^= 1;
    let verification = verify_storage(&forged.storage());
    assert_whole(&verification);
    assert_eq!((verification.head, verification.events), (1, 1));
}

const TYPES: &[&str] = &["A", "B", "C"];
const TAGS: &[&str] = &["x", "y", "z", "x:1"];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (select(TYPES), subsequence(TAGS, 0..=3)).prop_map(|(name, tags)| event(name, &tags));
    vec(one, 1..6)
}

fn queries() -> impl Strategy<Value = Query> {
    let item = (subsequence(TYPES, 0..=2), subsequence(TAGS, 0..=3))
        .prop_filter_map("an empty item", |(types, tags)| QueryItem::new(&types, &tags).ok());
    prop_oneof![
        1 => Just(Query::All),
        9 => vec(item, 1..4).prop_map(|items| Query::items(items).unwrap()),
    ]
}

type Appends = Vec<(Vec<Event>, Vec<(Query, u64)>)>;

fn appends() -> impl Strategy<Value = Appends> {
    vec((events(), vec((queries(), prop_oneof![3 => 0..4u64, 1 => 0..200u64]), 0..3)), 1..80)
}

/// Whether an event after the condition's place and before `next` matches: the plain reading of I4.
fn is_broken(log: &[Event], next: u64, condition: &AppendCondition) -> bool {
    (1..next)
        .zip(log)
        .any(|(position, event)| position > condition.after && condition.query.matches(&event.view()))
}

proptest! {
    #[test]
    fn what_a_store_accepts_is_whole(appends in appends(), index_events in select(vec![4usize, 16, 1 << 17])) {
        let storage = Arc::new(Memory::default());
        let store = Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, small(index_events)).unwrap();
        let (mut batches, mut conditions) = (0, 0);
        for (events, guards) in appends {
            let head = store.head().unwrap();
            let guards: Vec<AppendCondition> =
                guards.into_iter().map(|(query, back)| condition(query, head.saturating_sub(back))).collect();
            let count = guards.len() as u64;
            match store.append(events, guards) {
                Ok(_) => (batches, conditions) = (batches + 1, conditions + count),
                Err(AppendError::Conflict(_)) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
        for verification in [verify(&store), { store.close().unwrap(); verify_storage(&storage) }] {
            prop_assert_eq!(&verification.findings, &[]);
            prop_assert_eq!((verification.batches, verification.conditions), (batches, conditions));
        }
    }

    #[test]
    fn exactly_the_batches_that_no_store_would_accept_are_found(
        appends in appends(),
        index_events in select(vec![4usize, 16, 1 << 17]),
        // In a store with the second one most tags have the same hash.
        store in select(vec![Uuid::nil(), Uuid::max()]),
    ) {
        let (mut forged, mut log, mut expected) = (Forged::of(store), Vec::new(), Vec::new());
        for (events, guards) in appends {
            let next = forged.next;
            let guards: Vec<AppendCondition> =
                guards.into_iter().map(|(query, back)| condition(query, (next - 1).saturating_sub(back))).collect();
            let offset = forged.bytes.len() as u64;
            forged.batch(&events, &guards);
            expected.extend(guards.iter().filter(|guard| is_broken(&log, next, guard)).map(|_| (offset, Some(next))));
            log.extend(events);
        }
        let storage = forged.storage();
        // Without an index, then with one, which opening makes.
        let alone = verify_storage(&storage);
        let store = Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, small(index_events)).unwrap();
        for verification in [alone, verify(&store)] {
            prop_assert!(verification.findings.iter().all(|finding| finding.kind == FindingKind::Condition));
            let mut found: Vec<_> =
                verification.findings.iter().map(|finding| (finding.offset, finding.position)).collect();
            found.sort_unstable();
            prop_assert_eq!(&found, &expected);
        }
    }
}
