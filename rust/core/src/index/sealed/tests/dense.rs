//! Lists so dense that they are met run by run: what a file and a tail find is what a plain scan finds.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Tags `a`, `b` and `c`: each on events at random, in stretches of different density, and seldom two of them at once.
fn log(random: &mut StdRng, count: usize) -> Vec<Event> {
    let mut every = [2, 2, 2];
    let event = |number: usize| {
        if number.is_multiple_of(700) {
            every = [(); 3].map(|()| [1, 2, 3, 40, 100_000][random.random_range(0..5)]);
        }
        let meet = random.random_ratio(1, 150);
        let mut tags: Vec<&str> = if meet { vec!["a", "b", "c"] } else { Vec::new() };
        for (turn, (tag, every)) in ["a", "b", "c"].into_iter().zip(every).enumerate() {
            if !meet && number % 3 == turn && random.random_ratio(1, every) {
                tags.push(tag);
            }
        }
        event(if number.is_multiple_of(5) { "five" } else { "other" }, &tags)
    };
    (0..count).map(event).collect()
}

fn queries() -> Vec<Query> {
    let pair = |tags: &[&str]| QueryItem::new::<&str, _>(&[], tags).unwrap();
    vec![
        item(&[], &["a", "b"]),
        item(&[], &["a", "b", "c"]),
        item(&["five"], &["a", "c"]),
        item(&["five", "other"], &["b", "c"]),
        Query::items(vec![pair(&["a", "b"]), pair(&["b", "c"])]).unwrap(),
    ]
}

fn check(sealed: &Sealed, tail: &Tail, events: &[Event], range: RangeInclusive<u64>, limit: usize) {
    for query in queries() {
        let first = tail.first_position();
        let matches = |position: &u64| query.matches(&events[(position - first) as usize].view());
        let mut expected: Vec<u64> =
            sealed.positions().filter(|position| range.contains(position)).filter(matches).collect();
        for direction in [Direction::Forward, Direction::Backward] {
            let some = &expected[..limit.min(expected.len())];
            let found = sealed.matches(&query, range.clone(), direction).unwrap();
            let found: Vec<u64> = found.map(Result::unwrap).take(limit).collect();
            assert_eq!(found, some, "{query:?} in {range:?} {direction:?}");
            let in_tail: Vec<u64> = tail.matches(&query, range.clone(), direction).take(limit).collect();
            assert_eq!(in_tail, some, "the tail: {query:?} in {range:?} {direction:?}");
            expected.reverse();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn dense_lists_that_hardly_meet_are_met_as_a_scan_meets_them(
        seed in any::<u64>(),
        count in 1..9000usize,
        first_position in prop::sample::select(vec![1, 1 << 33]),
        limit in prop::sample::select(vec![1, 3, usize::MAX]),
    ) {
        let random = &mut StdRng::seed_from_u64(seed);
        let events = log(random, count);
        let (sealed, tail) = (sealed(first_position, &events), tail(first_position, &events));
        check(&sealed, &tail, &events, 0..=u64::MAX, limit);
        for _ in 0..10 {
            let from = first_position + random.random_range(0..count as u64 + 2);
            check(&sealed, &tail, &events, from..=from + random.random_range(0..count as u64), limit);
        }
    }
}

#[test]
fn lists_that_alternate_are_met_around_every_block_border() {
    // Around each border of the blocks one event has both tags.
    for shift in 0..4 {
        let tags = |n: usize| match n {
            _ if n % 254 == 250 + shift => &["a", "b"][..],
            _ if n.is_multiple_of(2) => &["a"][..],
            _ => &["b"][..],
        };
        let events: Vec<Event> = (0..3000).map(|n| event("type", tags(n))).collect();
        let (sealed, tail) = (sealed(1, &events), tail(1, &events));
        for from in (1..3000).step_by(61) {
            for length in [1, 130, 257, 3000] {
                check(&sealed, &tail, &events, from..=from + length, usize::MAX);
            }
        }
    }
}
