//! Conditions that did not hold are found, and no others.

use super::*;

/// A log of one event for each number, tagged with it, in which the last batch has these conditions.
fn log_with(count: u64, conditions: &[AppendCondition]) -> (Arc<Memory>, u64) {
    let mut forged = Forged::new();
    for n in 1..=count {
        forged.batch(&[event("A", &["all", &format!("n:{n}")])], &[]);
    }
    forged.batch(&[event("Last", &["all", "last"]), event("Last", &["all", "last"])], conditions);
    let offset = *forged.offsets.last().unwrap();
    (forged.storage(), offset)
}

fn whats(verification: &Verification) -> Vec<&str> {
    verification.findings.iter().map(|finding| finding.what.as_str()).collect()
}

#[test]
fn a_stored_condition_that_an_event_breaks_is_found_wherever_that_event_is() {
    for n in 1..=60 {
        for (after, is_broken) in [(0, true), (n - 1, true), (n, false), (60, false), (u64::MAX, false)] {
            let broken = condition(query(&["A"], &[&format!("n:{n}")]), after);
            let holds = condition(query(&["B"], &["all"]), 0);
            let (storage, offset) = log_with(60, &[holds, broken]);
            // First without any index file, then with those that opening makes.
            let alone = verify_storage(&storage);
            let store = Store::open_in(storage as Arc<dyn Storage>, small(16)).unwrap();
            for verification in [alone, verify(&store)] {
                let expected: &[_] =
                    if is_broken { &[(FindingKind::Condition, FIRST, offset, Some(61))] } else { &[] };
                assert_eq!(found(&verification), expected, "event {n} after {after}");
                assert_eq!(verification.conditions, 2);
            }
        }
    }
    let (storage, _) = log_with(60, &[condition(query(&[], &["n:7"]), 3)]);
    assert_eq!(
        whats(&verify_storage(&storage)),
        ["event 7 matches condition 0 of this append, which was after 3"]
    );
}

#[test]
fn a_condition_that_matches_everything_is_broken_by_any_event() {
    for after in [0, 30, 59] {
        let (storage, offset) = log_with(60, &[condition(Query::All, after)]);
        let expected = [(FindingKind::Condition, FIRST, offset, Some(61))];
        assert_eq!(found(&verify_storage(&storage)), expected);
    }
    assert_whole(&verify_storage(&log_with(60, &[condition(Query::All, 60)]).0));
}

#[test]
fn a_batch_is_not_asked_about_its_own_events() {
    let own = condition(query(&["Last"], &["last"]), 0);
    let (storage, _) = log_with(60, &[own.clone(), own]);
    assert_whole(&verify_storage(&storage));
    let store = Store::open_in(storage as Arc<dyn Storage>, small(16)).unwrap();
    assert_whole(&verify(&store));
}

#[test]
fn tags_with_the_same_hash_are_told_apart_by_the_events() {
    // In a store with this id there are 16 hashes.
    let mut forged = Forged::of(Uuid::max());
    for n in 1..=600 {
        forged.batch(&[event("A", &[&format!("n:{n}")])], &[]);
    }
    let mut conditions: Vec<_> =
        (0..20).map(|n| condition(query(&[], &[&format!("absent:{n}")]), 0)).collect();
    // Many others come first that have its hash.
    conditions.push(condition(query(&[], &["n:550"]), 0));
    forged.batch(&[event("A", &[])], &conditions);
    let store = Store::open_in(forged.storage() as Arc<dyn Storage>, small(600)).unwrap();
    let verification = verify(&store);
    assert_eq!((verification.index_files, verification.conditions), (1, 21));
    assert_eq!(whats(&verification), ["event 550 matches condition 20 of this append, which was after 0"]);
}

#[test]
fn reads_and_appends_tell_tags_with_the_same_hash_apart_by_the_events() {
    let mut forged = Forged::of(Uuid::max());
    for n in 1..=600 {
        forged.batch(&[event("A", &[&format!("n:{n}")])], &[]);
    }
    let store = Store::open_in(forged.storage() as Arc<dyn Storage>, small(600)).unwrap();
    assert_eq!(store.stats().unwrap().index_files, 1);
    let read = |tag: &str| {
        let mut chunks = store.read(query(&[], &[tag]), ReadOptions::default()).unwrap().chunks();
        let chunks =
            std::iter::from_fn(|| Some(chunks.next_chunk().unwrap()).filter(|some| !some.is_empty()));
        chunks.flatten().map(|event| event.position).collect::<Vec<_>>()
    };
    assert_eq!((read("n:550"), read("absent:1")), (vec![550], vec![]));
    let append = |tag: &str| store.append(vec![event("B", &[])], vec![condition(query(&[], &[tag]), 0)]);
    for n in 0..20 {
        assert_eq!(append(&format!("absent:{n}")).unwrap(), 601 + n);
    }
    let refused = append("n:550");
    assert!(
        matches!(&refused, Err(AppendError::Conflict(conflict)) if conflict.position == 550),
        "{refused:?}"
    );
}

#[test]
fn every_condition_that_waits_for_a_second_pass_is_asked() {
    let mut forged = Forged::new();
    let mut expected = Vec::new();
    for n in 1..=100u64 {
        // Of the last half every other one is broken by an event long ago, for which there is no index.
        let tag = if n > 50 && n % 2 == 0 { format!("n:{}", n - 45) } else { "absent".to_owned() };
        if tag != "absent" {
            expected.push(n);
        }
        forged.batch(&[event("A", &[&format!("n:{n}")])], &[condition(query(&[], &[&tag]), 0)]);
    }
    let storage = forged.storage();
    let verification = verify_storage(&storage);
    let mut positions: Vec<_> =
        verification.findings.iter().map(|finding| finding.position.unwrap()).collect();
    positions.sort_unstable();
    assert_eq!((positions, verification.conditions), (expected, 100));
}

#[test]
fn conditions_are_asked_again_although_the_events_between_are_damaged() {
    let (storage, offset) = log_with(60, &[condition(query(&[], &["n:7"]), 0)]);
    let store = Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, small(16)).unwrap();
    let file = storage.open(FIRST).unwrap();
    file.write_all_at(&[0xAA; 100], offset - 400).unwrap();
    let verification = verify(&store);
    let kinds: Vec<_> = verification.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Log, FindingKind::Condition]);
}

#[test]
fn a_store_that_records_no_conditions_has_none_to_ask() {
    let options = Options { record_conditions: false, ..small(16) };
    let store = Store::open_memory(options).unwrap();
    store.append(vec![event("A", &["a"])], vec![condition(query(&[], &["a"]), 0)]).unwrap();
    let verification = verify(&store);
    assert_whole(&verification);
    assert_eq!((verification.batches, verification.conditions), (1, 0));
}
