//! How large the files are and how long things take, on the disk of the checkout:
//! `cargo test --release -p counterpoint --lib timings -- --ignored --nocapture`.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::storage::Disk;

const EVENTS: u64 = 131_072;

/// Two tags, one of its own and one that about 100 events share; payloads of different lengths in batches of ten.
fn events(first: u64) -> Vec<Event> {
    (first..first + EVENTS)
        .map(|position| {
            let mixed = position.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let customer = ((mixed >> 32) * (EVENTS / 100)) >> 32;
            let types = ["OrderPlaced", "OrderPaid", "OrderShipped", "OrderReturned"];
            let place = [0, 0, 0, 1, 1, 1, 1, 2][(mixed % 8) as usize];
            let event_type = if mixed % 1000 == 9 { types[3] } else { types[place] };
            event(event_type, &[&format!("order:{position:014}"), &format!("customer:{customer:011}")])
        })
        .collect()
}

fn filled(first: u64) -> Tail {
    let (mut tail, mut offset) = (Tail::new(first), 64);
    for (position, event) in (first..).zip(&events(first)) {
        if position % 10 == 0 {
            offset += 68;
        }
        let length = 200 + position.wrapping_mul(0x9E37_79B9) % 200;
        tail.push(&event.view(), Location::new(offset, length as usize));
        offset = (offset + length) % (64 << 20);
    }
    tail
}

fn least(times: usize, mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..times).map(time).min().unwrap()
}

/// Nanoseconds for each of many calls with another number.
fn each(mut run: impl FnMut(u64)) -> u128 {
    const CALLS: u64 = 50_000;
    least(5, || (0..CALLS).for_each(|number| run(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20)))
        .as_nanos()
        / u128::from(CALLS)
}

fn report_sizes(what: &str, sealed: &Sealed) {
    let events = f64::from(sealed.event_count());
    println!("{what}: {:.2} bytes an event", sealed.bytes() as f64 / events);
    let s = sealed.header.sections;
    let parts = [
        ("column", s.column),
        ("masks", s.masks),
        ("spans", s.spans),
        ("increments", s.increments),
        ("filter", s.filter),
        ("directory", s.directory),
        ("dictionary", s.dictionary),
        ("skips", s.skips),
        ("postings", s.postings),
        ("checksums", s.checksums),
    ];
    for (name, section) in parts {
        println!("  {name:12} {:6.3}", section.length as f64 / events);
    }
}

fn report_lookups(what: &str, sealed: &Sealed) {
    let (first, count) = (*sealed.positions().start(), u64::from(sealed.event_count()));
    let query = |tag: String| item(&[], &[&tag]);
    let own: Vec<Query> =
        (0..5000).map(|n| query(format!("order:{:014}", first + n * 7919 % count))).collect();
    let shared: Vec<Query> = (0..1310).map(|n| query(format!("customer:{n:011}"))).collect();
    let absent: Vec<Query> = (0..5000).map(|n| query(format!("nobody:{n:013}"))).collect();
    let pick = |queries: &'static [Query], number: u64| &queries[number as usize % queries.len()];
    let [own, shared, absent] = [own, shared, absent].map(|queries| &*queries.leak());
    let first_of = |query: &Query, from| {
        black_box(sealed.first_match(query, from..=u64::MAX).unwrap());
    };
    println!("{what}");
    println!("  own tag, first            {:4} ns", each(|n| first_of(pick(own, n), 0)));
    println!("  shared tag, first         {:4} ns", each(|n| first_of(pick(shared, n), 0)));
    let recent = first + count - 10;
    println!("  shared tag, recent after  {:4} ns", each(|n| first_of(pick(shared, n), recent)));
    println!("  shared tag, after middle  {:4} ns", each(|n| first_of(pick(shared, n), first + count / 2)));
    println!("  absent tag                {:4} ns", each(|n| first_of(pick(absent, n), 0)));
    let events = least(5, || {
        for query in shared.iter().take(200) {
            black_box(sealed.matches(query, 0..=u64::MAX, Direction::Forward).unwrap().count());
        }
    });
    println!("  shared tag, all events    {:?} for each list", events / 200);
    let passed = (0..200_000).filter(|n| sealed.may_contain(&format!("no {n}")).unwrap()).count();
    println!("  filter                    {:.2} % pass", passed as f64 / 2000.0);
    for (name, query) in [
        ("frequent type", item(&["OrderPlaced"], &[])),
        ("1 in 8 type", item(&["OrderShipped"], &[])),
        ("rare type", item(&["OrderReturned"], &[])),
        ("two types", item(&["OrderShipped", "OrderReturned"], &[])),
    ] {
        let mut found = 0;
        let time = least(5, || found = candidates(sealed, &query, Direction::Forward).len());
        println!("  {name:15} {:6.1} ns for each of {found}", time.as_nanos() as f64 / found as f64);
    }
    let time =
        least(5, || sealed.positions().for_each(|position| drop(black_box(sealed.location(position)))));
    println!("  location                  {:.1} ns", time.as_nanos() as f64 / count as f64);
}

#[test]
#[ignore = "prints timings"]
fn sizes_and_timings() {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let place = tempfile::TempDir::with_prefix_in("bench-", target).unwrap();
    let disk = Disk::open(place.path()).unwrap();
    let mut inputs = Vec::new();
    for number in 0..4 {
        let first = 1 + number * EVENTS;
        let tail = filled(first);
        let name = file_name(first, first + EVENTS - 1);
        let file = disk.create(&name).unwrap();
        if number == 0 {
            let time = least(5, || build(&tail, &POINT, STORE, &*disk.create("again").unwrap()).unwrap());
            println!("build {time:?}");
        }
        build(&tail, &POINT, STORE, &*file).unwrap();
        let mapped = file.map().unwrap();
        println!("open {:?}", least(5, || drop(Sealed::open(&name, Arc::clone(&mapped), STORE).unwrap())));
        inputs.push(Arc::new(Sealed::open(&name, mapped, STORE).unwrap()));
    }
    println!("merge {:?}", least(5, || merge(&inputs, &*disk.create("again").unwrap()).unwrap()));
    let name = file_name(1, 4 * EVENTS);
    let file = disk.create(&name).unwrap();
    merge(&inputs, &*file).unwrap();
    let merged = Sealed::open(&name, file.map().unwrap(), STORE).unwrap();
    report_sizes("one file", &inputs[0]);
    report_sizes("four merged", &merged);
    report_lookups("one file", &inputs[0]);
    report_lookups("four merged", &merged);
}
