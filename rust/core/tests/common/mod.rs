//! What the tests of the core share: short names for values, the reference model, and a disk that can fail.

#![allow(dead_code, reason = "each test crate uses its own part")]

pub mod failing;
pub mod files;
pub mod frozen;
pub mod listing;
pub mod lives;
pub mod model;
pub mod reading;
pub mod simulated;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use counterpoint::{
    AppendCondition, Event, Query, QueryItem, ReadOptions, SequencedEvent, Store, Verification,
};

/// How often a randomised test goes round: a hundred times as often in a soak.
pub fn rounds(short: usize) -> usize {
    if is_soak() { short * 100 } else { short }
}

/// Whether the long forms of the tests run.
pub fn is_soak() -> bool {
    std::env::var("COUNTERPOINT_SOAK").is_ok_and(|soak| !["", "0"].contains(&&*soak))
}

/// How long a part of a soak may take: its share of `COUNTERPOINT_SOAK_SECONDS`, an hour if nothing is said. `None` where
/// the short form runs.
pub fn soak_time(share: f64) -> Option<Duration> {
    let seconds = std::env::var("COUNTERPOINT_SOAK_SECONDS").ok();
    let seconds: f64 = seconds.map_or(3600.0, |seconds| seconds.parse().expect("a number of seconds"));
    is_soak().then(|| Duration::from_secs_f64(seconds * share))
}

/// The seed of what is random, which is printed; `COUNTERPOINT_SEED` repeats a run.
pub fn seed() -> u64 {
    let seed = std::env::var("COUNTERPOINT_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    println!("COUNTERPOINT_SEED={seed}");
    seed
}

/// Chance, from a seed that is printed when the test fails; `COUNTERPOINT_SEED` repeats a run.
pub fn chance() -> impl FnMut() -> bool {
    let mut rng = StdRng::seed_from_u64(seed());
    move || rng.random_bool(0.5)
}

pub fn event(event_type: &str, tags: &[&str]) -> Event {
    Event::new(event_type, tags, b"{}", None, None).unwrap()
}

pub fn item(types: &[&str], tags: &[&str]) -> QueryItem {
    QueryItem::new(types, tags).unwrap()
}

pub fn query(types: &[&str], tags: &[&str]) -> Query {
    Query::items(vec![item(types, tags)]).unwrap()
}

pub fn condition(query: Query, after: u64) -> AppendCondition {
    AppendCondition { query, after }
}

pub fn read(store: &Store, query: Query, options: ReadOptions) -> Vec<SequencedEvent> {
    let mut chunks = store.read(query, options).unwrap().chunks();
    let mut events = Vec::new();
    loop {
        let chunk = chunks.next_chunk().unwrap();
        if chunk.is_empty() {
            return events;
        }
        events.extend(chunk);
    }
}

pub fn all(store: &Store) -> Vec<SequencedEvent> {
    read(store, Query::All, ReadOptions::default())
}

/// Verifies the store, in which nothing may be found.
pub fn assert_whole(store: &Store) -> Verification {
    let verification = verified(store);
    assert_eq!(verification.findings, []);
    verification
}

pub fn verified(store: &Store) -> Verification {
    let mut verify = store.verify().unwrap();
    while verify.step().unwrap() {}
    verify.result()
}
