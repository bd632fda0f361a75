//! Random logs and random queries: the candidates that `Query::matches` confirms are what a plain scan finds.

use crate::index::sealed::offsets::SealedLocation;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Every tag's hash collides with others in a store with this id.
const COLLIDING: Uuid = Uuid::max();

/// A number below `limit`, small ones being likelier by far.
fn skewed(random: &mut StdRng, limit: usize) -> usize {
    let uniform: f64 = random.random();
    ((limit as f64).powf(uniform) - 1.0) as usize
}

/// A log with rare and frequent types and tags, which come in bursts.
fn log(random: &mut StdRng, count: usize, types: usize) -> Vec<Event> {
    let mut burst = 0;
    let event = |_| {
        if random.random_ratio(1, 40) {
            burst += 1;
        }
        let event_type = format!("type {}", skewed(random, types));
        let most = [0, 1, 2, 4, 64][random.random_range(0..5)];
        let mut tags: Vec<String> =
            (0..random.random_range(0..=most)).map(|_| format!("tag {}", skewed(random, 300))).collect();
        if random.random_ratio(1, 2) && tags.len() < 64 {
            tags.push(format!("burst {burst}"));
        }
        Event::new(&event_type, &tags, b"", None, None).unwrap()
    };
    (0..count).map(event).collect()
}

fn query(random: &mut StdRng, types: usize) -> Query {
    let item = |random: &mut StdRng| loop {
        let types: Vec<String> = (0..[0, 0, 1, 2, 5][random.random_range(0..5)])
            .map(|_| format!("type {}", skewed(random, types + 2)))
            .collect();
        let tags: Vec<String> = (0..[0, 1, 1, 2, 3][random.random_range(0..5)])
            .map(|_| match random.random_ratio(1, 4) {
                true => format!("burst {}", random.random_range(0..30)),
                false => format!("tag {}", skewed(random, 320)),
            })
            .collect();
        if let Ok(item) = QueryItem::new(&types, &tags) {
            return item;
        }
    };
    if random.random_ratio(1, 20) {
        return Query::All;
    }
    let count = [1, 1, 2, 4][random.random_range(0..4)];
    Query::items((0..count).map(|_| item(random)).collect()).unwrap()
}

/// Compares the answers of a file with a scan of its events, and what it says of them.
fn check(sealed: &Sealed, first_position: u64, events: &[Event], random: &mut StdRng, types: usize) {
    let tail = tail(first_position, events);
    assert_eq!(sealed.event_count() as usize, events.len());
    for position in sealed.positions() {
        let expected = tail.location(position).unwrap();
        let found = sealed.location(position).unwrap().unwrap();
        let is_last = position % 10 == 9 && position != *sealed.positions().end();
        let length_bound = if is_last { None } else { Some(expected.length) };
        assert_eq!(found, SealedLocation { offset: expected.offset, length_bound }, "location of {position}");
    }
    for event in events {
        assert!(event.view().tags.iter().all(|tag| sealed.may_contain(tag).unwrap()));
    }
    for number in 0..60 {
        let query = query(random, types);
        let (low, high) = match number % 3 {
            0 => (0, u64::MAX),
            _ => {
                let at = first_position + random.random_range(0..events.len() as u64 + 2);
                (at, at + random.random_range(0..events.len() as u64 + 2))
            }
        };
        let in_range = |position: &u64| (low..=high).contains(position);
        let at = |position: u64| events[(position - first_position) as usize].view();
        let mut expected: Vec<u64> =
            sealed.positions().filter(in_range).filter(|position| query.matches(&at(*position))).collect();
        for direction in [Direction::Forward, Direction::Backward] {
            let candidates: Vec<u64> =
                sealed.matches(&query, low..=high, direction).unwrap().map(Result::unwrap).collect();
            let forward = direction == Direction::Forward;
            assert!(candidates.is_sorted_by(|one, next| (one < next) == forward), "order of {candidates:?}");
            assert!(candidates.iter().all(in_range), "{query:?} in {low}..={high}: {candidates:?}");
            if sealed.header.store != COLLIDING {
                assert_eq!(candidates, expected, "{query:?} in {low}..={high} {direction:?}");
            }
            let first = sealed.first_match(&query, low..=high).unwrap();
            assert_eq!(first.as_ref(), if forward { candidates.first() } else { candidates.last() });
            let confirmed: Vec<u64> =
                candidates.into_iter().filter(|position| query.matches(&at(*position))).collect();
            assert_eq!(confirmed, expected, "{query:?} in {low}..={high} {direction:?}");
            let in_tail: Vec<u64> = tail.matches(&query, low..=high, direction).collect();
            assert_eq!(in_tail, expected, "the tail: {query:?} in {low}..={high} {direction:?}");
            expected.reverse();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn candidates_that_are_confirmed_are_what_a_scan_finds(
        seed in any::<u64>(),
        counts in prop::collection::vec(1..1500usize, 1..=5),
        types in prop::sample::select(vec![1, 3, 60, 300, 2000]),
        first_position in prop::sample::select(vec![1, 2, 1 << 33]),
        split in any::<Index>(),
        store in prop::sample::select(vec![STORE, COLLIDING]),
    ) {
        let random = &mut StdRng::seed_from_u64(seed);
        let events = log(random, counts.iter().sum(), types);
        let (mut inputs, mut start) = (Vec::new(), 0);
        for count in counts {
            let first = first_position + start as u64;
            let run = &events[start..start + count];
            let input = sealed_as(store, first, run);
            check(&input, first, run, random, types);
            inputs.push(Arc::new(input));
            start += count;
        }
        check(&merged(&inputs), first_position, &events, random, types);
        let split = split.index(inputs.len());
        let halves = [&inputs[..split], &inputs[split..]];
        let halves = halves.into_iter().filter(|half| !half.is_empty());
        let halves: Vec<Arc<Sealed>> = halves.map(|half| Arc::new(merged(half))).collect();
        check(&merged(&halves), first_position, &events, random, types);
    }
}

#[test]
fn more_types_than_a_byte_or_two_can_number_are_told_apart() {
    for types in [256, 257, 0x1_0000, 0x1_0001] {
        let events: Vec<Event> = (0..types).map(|n| event(&format!("type {n}"), &["t"])).collect();
        let sealed = sealed(1, &events);
        assert_eq!(sealed.header.type_bytes, super::types::type_bytes(types));
        for number in [0, 1, 255, 256, types - 1].into_iter().filter(|number| *number < types) {
            let name = format!("type {number}");
            assert_eq!(candidates(&sealed, &item(&[&name], &[]), Direction::Forward), [number as u64 + 1]);
            assert_eq!(
                candidates(&sealed, &item(&[&name], &["t"]), Direction::Backward),
                [number as u64 + 1]
            );
        }
    }
}

#[test]
fn a_merge_of_merges_is_the_file_that_one_build_gives() {
    let events = log(&mut StdRng::seed_from_u64(1), 6000, 300);
    let part = |from: usize, to: usize| Arc::new(sealed(from as u64 + 1, &events[from..to]));
    let pairs = [merged(&[part(0, 1), part(1, 2500)]), merged(&[part(2500, 4096), part(4096, 6000)])];
    let merged = merged(&pairs.map(Arc::new));
    let whole = sealed(1, &events);
    // The sizes of lists are bounded from the same counts, so even the layout is the same.
    assert_eq!(merged.header, whole.header);
}
