//! An index that is damaged, or says what the log does not: it is found, and nothing else is said to be wrong.

use super::*;
use crate::index::{Index, Location, Part, Tail};
use crate::storage::Disk;

const EVENTS: u64 = 40;

/// A directory with a store of one index file, and the store.
fn patient() -> (tempfile::TempDir, Store, String) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 20, index_events: EVENTS as usize, ..Options::default() };
    let store = Store::open(directory.path(), options).unwrap();
    for n in 1..=EVENTS + 10 {
        let own = format!("own:{n}");
        let unique = condition(query(&[], &[&own]), 0);
        store.append(vec![numbered(n)], vec![unique]).unwrap();
    }
    let name = sealed::file_name(1, EVENTS);
    while store.stats().unwrap().index_files == 0 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_whole(&verify(&store));
    (directory, store, name)
}

fn numbered(n: u64) -> Event {
    event(["A", "B"][n as usize % 2], &[&format!("own:{n}"), "all", &format!("few:{}", n / 7)])
}

/// Everything but the index is as it should be.
fn assert_only_the_index(verification: &Verification, file: &str) {
    assert!(verification.finding_count > 0);
    for finding in &verification.findings {
        assert_eq!((finding.kind, finding.file.as_str()), (FindingKind::Index, file), "{finding:?}");
    }
    assert_eq!((verification.events, verification.conditions), (EVENTS + 10, EVENTS + 10));
}

#[test]
fn every_flipped_byte_of_an_index_file_is_found_and_no_condition_is_left_out() {
    let (directory, store, name) = patient();
    let file = Disk::open(directory.path()).unwrap().open(&name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    for (at, byte) in bytes.iter().enumerate().step_by(61) {
        file.write_all_at(&[byte ^ 0x20], at as u64).unwrap();
        assert_only_the_index(&verify(&store), &name);
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    assert_whole(&verify(&store));
}

#[test]
fn an_index_file_that_cannot_be_used_is_found() {
    let (directory, store, _) = patient();
    let name = sealed::file_name(60, 70);
    let file = Disk::open(directory.path()).unwrap().create(&name).unwrap();
    file.write_all_at(b"rubble", 0).unwrap();
    let verification = verify(&store);
    assert_only_the_index(&verification, &name);
    assert_eq!(verification.findings[0].what, "the file is shorter than an index header");
}

/// What is found of an index file that says of one event what the log does not. Its checksums are right.
fn lying(at: u64, lie: impl Fn(u64, Location) -> (Event, Location)) -> Verification {
    let (_directory, store, name) = patient();
    let mut under_way = store.verify().unwrap();
    let view = Arc::clone(&under_way.store.as_ref().unwrap().open().unwrap().view);
    let sealed = view.index.read().sealed();
    let mut tail = Tail::new(1);
    for position in 1..=EVENTS {
        let offset = sealed[0].location(position).unwrap().unwrap();
        let length = offset.length_bound.unwrap_or_else(|| {
            let event = numbered(position);
            (event.encoded().len() + frame::RECORD_HEADER_BYTES) as u32
        });
        let location = Location { offset: offset.offset, length };
        let (event, location) =
            if position == at { lie(position, location) } else { (numbered(position), location) };
        tail.push(&event.view(), location);
    }
    let storage = Memory::default();
    let file = storage.create(&name).unwrap();
    sealed::build(&tail, sealed[0].point(), view.sealer.store, &*file).unwrap();
    let liar = Sealed::open(&name, file.map().unwrap(), view.sealer.store).unwrap();
    let log = under_way.log.clone();
    under_way = Verify::new(under_way.store, log, &[Arc::new(liar)], vec![EVENTS]).unwrap();
    let verification = run(under_way);
    assert_only_the_index(&verification, &name);
    verification
}

/// The events of which something was found that is not as it should be.
fn positions(verification: &Verification) -> Vec<Option<u64>> {
    verification.findings.iter().map(|finding| finding.position).collect()
}

#[test]
fn a_tag_that_the_index_lacks_is_found() {
    for at in [1, 8, 9, 20, EVENTS] {
        let verification = lying(at, |n, place| {
            (event(["A", "B"][n as usize % 2], &["all", &format!("few:{}", n / 7)]), place)
        });
        assert!(positions(&verification).contains(&Some(at)), "{at}");
        let verification = lying(at, |n, place| {
            let tags = [format!("own:{n}"), format!("few:{}", n / 7)];
            (event(["A", "B"][n as usize % 2], &[&tags[0], &tags[1]]), place)
        });
        assert_eq!(positions(&verification)[0], Some(at));
    }
}

#[test]
fn a_tag_that_only_the_index_has_is_found() {
    for at in [1, 8, 9, 20, 24, EVENTS] {
        // One that is on other events.
        let with = |n: u64, more: &str| {
            let tags = [format!("own:{n}"), format!("few:{}", n / 7)];
            event(["A", "B"][n as usize % 2], &[&tags[0], "all", &tags[1], more])
        };
        let other = if at == 20 { "few:3" } else { "few:2" };
        let verification = lying(at, |n, place| (with(n, other), place));
        // It is named where the log has the tag on a neighbour: before it, or behind it.
        let named = [9, 20, 24].contains(&at);
        assert_eq!(positions(&verification).contains(&Some(at)), named, "{at}");
        // One that is on no event.
        let verification = lying(at, |n, place| (with(n, "nobody"), place));
        assert_eq!(positions(&verification), [None]);
        let what = format!(
            "the file has {} postings of tags, but the log has {} of them",
            EVENTS * 3 + 1,
            EVENTS * 3
        );
        assert_eq!(verification.findings[0].what, what);
    }
}

#[test]
fn another_type_in_the_index_is_found() {
    for at in [1, 8, 9, 20, EVENTS] {
        for name in ["A", "B", "C"] {
            if name == ["A", "B"][at as usize % 2] {
                continue;
            }
            let verification = lying(at, |n, place| {
                let tags = [format!("own:{n}"), format!("few:{}", n / 7)];
                (event(name, &[&tags[0], "all", &tags[1]]), place)
            });
            assert_eq!(positions(&verification)[0], Some(at));
        }
    }
}

#[test]
fn another_place_in_the_index_is_found() {
    for at in [1, 8, 9, 20, EVENTS] {
        let verification =
            lying(at, |n, place| (numbered(n), Location { offset: place.offset + 8, ..place }));
        assert_eq!(positions(&verification)[0], Some(at));
    }
    let verification =
        lying(EVENTS, |n, place| (numbered(n), Location { length: place.length + 8, ..place }));
    assert_eq!(positions(&verification), [Some(EVENTS)]);
}

#[test]
fn an_index_in_memory_that_says_what_the_log_does_not_is_found() {
    type Lie = fn(u64, Location) -> (Event, Location);
    let lies: [Lie; 4] = [
        |n, place| (event(["A", "B"][n as usize % 2], &["all"]), place),
        |_, place| (event("C", &["all"]), place),
        |_, place| (event("A", &["all", "own:5"]), place),
        |n, place| (numbered(n), Location { offset: place.offset + 8, ..place }),
    ];
    for lie in lies {
        for at in [2, 8, 9, 30] {
            let store = Store::open_memory(Options::default()).unwrap();
            for n in 1..=30 {
                store.append(vec![numbered(n)], vec![]).unwrap();
            }
            let under_way = store.verify().unwrap();
            let view = Arc::clone(&under_way.store.as_ref().unwrap().open().unwrap().view);
            let mut index = Index::new(Vec::new(), 1000);
            for position in 1..=30 {
                let true_index = view.index.read();
                let Part::Tail(tail) = true_index.part(position) else { unreachable!() };
                let location = tail.location(position).unwrap();
                let (event, location) =
                    if position == at { lie(position, location) } else { (numbered(position), location) };
                index.push(&event.view(), location);
            }
            *view.index.write() = index;
            let verification = run(under_way);
            assert!(positions(&verification).contains(&Some(at)));
            assert!(verification.findings.iter().all(|finding| finding.file == "memory"));
            assert_eq!(verification.events, 30);
        }
    }
}

#[test]
fn where_the_log_is_damaged_nothing_is_said_about_the_numbers_of_the_index() {
    let (directory, store, _) = patient();
    let file = Disk::open(directory.path()).unwrap().open(FIRST).unwrap();
    file.write_all_at(b"damage", 64 + 70).unwrap();
    let verification = verify(&store);
    assert_eq!(found(&verification), [(FindingKind::Log, FIRST, 64, Some(1))]);
}
