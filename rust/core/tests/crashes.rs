//! The power fails at every operation that changes the disk, in random lives of a store, and again inside recoveries
//! (F1 in `docs/testing.md`).

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::failing::Operation::{Create, Preallocate, Remove, Rename, Sync, SyncDirectory, Truncate, Write};
use common::failing::{EIO, ENOSPC, Operation, Order};
use common::lives::{Judge, Ledger};
use common::simulated::SimulatedDisk;
use common::{all, condition, query, seed, soak_time};
use counterpoint::{Durability, Options, Query, Store};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How many states are looked at, and in a soak.
const STATES: u64 = 100_000;
const SOAK_STATES: u64 = 10_000_000;
/// The share of a soak that this may take.
const SHARE: f64 = 0.2;

/// How many states were looked at, how many inside recoveries, and how many before each kind of operation.
#[derive(Default)]
struct Counts {
    states: Arc<AtomicU64>,
    in_recovery: Arc<AtomicU64>,
    before: Arc<Mutex<BTreeMap<Operation, u64>>>,
}

/// A store and those who have it open.
struct Life {
    disk: Arc<SimulatedDisk>,
    judge: Arc<Judge>,
    handles: Vec<Store>,
    count: usize,
    rng: StdRng,
}

impl Life {
    /// Begins with an empty disk, and with looking at it at every change.
    fn begin(seed: u64, counts: &Counts, enough: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let os = Durability::Os { sync_interval: Duration::from_millis(1) };
        let count = rng.random_range(1..=3);
        let options = Options {
            durability: if rng.random_ratio(1, 4) { os } else { Durability::Fsync },
            record_conditions: rng.random_ratio(3, 4),
            segment_bytes: [4096, 4096, 8192][rng.random_range(0..3)],
            index_events: [5, 16, 1 << 17, 1 << 17][rng.random_range(0..4)],
            read_cache_bytes: 0,
            exclusive: count == 1 && rng.random_ratio(1, 3),
            read_only: false,
        };
        let judge = Arc::new(Judge {
            ledger: Ledger::default(),
            options,
            states: Arc::clone(&counts.states),
            in_recovery: Arc::clone(&counts.in_recovery),
            before: Arc::clone(&counts.before),
            wrong: Mutex::default(),
            enough,
        });
        let disk = Arc::new(SimulatedDisk::default());
        let (watched, judges, number) = (Arc::downgrade(&disk), Arc::clone(&judge), AtomicU64::new(0));
        disk.observe(move |operation| {
            let Some(disk) = watched.upgrade().filter(|_| operation.changes()) else { return };
            let number = number.fetch_add(1, Ordering::SeqCst);
            *judges.before.lock().entry(operation).or_default() += 2;
            for variant in 0..2 {
                let state = seed.wrapping_mul(0x9E37_79B9).wrapping_add(number * 2 + variant);
                judges.power_fails(&disk, &format!("life {seed}, {operation:?} {number}"), state, 2);
            }
        });
        Self { disk, judge, handles: Vec::new(), count, rng }
    }

    /// Opens as many handles as this life has. One operation may be told to fail: then it is tried again.
    fn open(&mut self) {
        while self.handles.len() < self.count {
            match Store::open_in(Arc::clone(&self.disk) as Arc<_>, self.judge.options) {
                Ok(store) => self.handles.push(store),
                Err(_) => self.disk.order(None),
            }
        }
        self.see();
    }

    fn close(&mut self) {
        // Whether it closes in order or not: what was acknowledged is safe.
        let closed: Vec<_> = self.handles.drain(..).map(|store| store.close()).collect();
        self.disk.order(None);
        drop(closed);
    }

    /// Somebody looks at the head; with "os" that is no promise.
    fn see(&self) {
        if self.judge.options.durability == Durability::Fsync
            && let Some(Ok(head)) = self.handles.first().map(Store::head)
        {
            self.judge.ledger.seen(head);
        }
    }

    fn append(judge: &Judge, store: &Store, mut rng: StdRng) -> bool {
        let large = rng.random_ratio(1, 12);
        let bytes = if large { rng.random_range(3000..9000) } else { rng.random_range(0..400) };
        let (number, events) = judge.ledger.batch(if large { 1 } else { rng.random_range(1..5) }, bytes);
        let own = format!("b:{number}");
        let mut conditions = vec![condition(query(&[], &[&own]), 0)];
        if rng.random_ratio(1, 3) {
            conditions.push(condition(Query::All, store.head().unwrap()));
        }
        let conditions = if rng.random_ratio(1, 3) { Vec::new() } else { conditions };
        match store.append(events, conditions) {
            Ok(last) => {
                judge.ledger.acknowledged(last, number, judge.options.durability == Durability::Fsync);
                true
            }
            Err(error) => matches!(error, counterpoint::AppendError::Conflict(_)),
        }
    }

    fn step(&mut self) {
        let chosen = self.rng.random_range(0..self.handles.len());
        let child = StdRng::seed_from_u64(self.rng.random());
        let well = match self.rng.random_range(0..20) {
            0..13 => Self::append(&self.judge, &self.handles[chosen], child),
            13..16 => {
                // All at once.
                thread::scope(|scope| {
                    let (judge, rng) = (&self.judge, &mut self.rng);
                    let appends = self.handles.iter().map(|store| {
                        let child = StdRng::seed_from_u64(rng.random());
                        scope.spawn(move || Self::append(judge, store, child))
                    });
                    let appends: Vec<_> = appends.collect();
                    appends.into_iter().all(|append| append.join().unwrap())
                })
            }
            16 => {
                self.judge.ledger.move_cursor(&self.handles[chosen]);
                true
            }
            17 => {
                let error = [EIO, ENOSPC][self.rng.random_range(0..2)];
                let (number, halves) = (self.rng.random_range(1..12), self.rng.random_range(0..3));
                self.disk.order(Some(Order { number, error, halves, ..Order::default() }));
                true
            }
            18 => {
                // One leaves and comes back while the others go on.
                drop(self.handles.swap_remove(chosen).close());
                self.open();
                true
            }
            _ => {
                self.close();
                self.open();
                self.see();
                true
            }
        };
        if !well {
            // The store is poisoned until all have closed it.
            self.close();
            self.open();
        }
        self.see();
    }

    fn end(mut self) -> Vec<String> {
        self.close();
        self.disk.look_away();
        let known = self.judge.ledger.known();
        let store = Store::open_in(Arc::clone(&self.disk) as Arc<_>, self.judge.options).unwrap();
        let mut wrong = std::mem::take(&mut *self.judge.wrong.lock());
        wrong.extend(self.judge.ledger.check(&all(&store), &known).err());
        wrong
    }
}

#[test]
fn whenever_the_power_fails_all_that_was_acknowledged_is_there_and_nothing_else() {
    let (seed, time) = (seed(), soak_time(SHARE));
    let (begun, enough) = (Instant::now(), if time.is_some() { SOAK_STATES } else { STATES });
    let (counts, lives) = (Counts::default(), AtomicU64::new(0));
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while counts.states.load(Ordering::SeqCst) < enough
            && time.is_none_or(|time| begun.elapsed() < time)
            && wrong.lock().is_empty()
        {
            let number = seed.wrapping_mul(1_000_003) + lives.fetch_add(1, Ordering::SeqCst);
            let mut life = Life::begin(number, &counts, enough);
            life.open();
            for _ in 0..life.rng.random_range(4..40) {
                if life.judge.has_enough() {
                    break;
                }
                life.step();
            }
            wrong.lock().extend(life.end());
        }
    };
    thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let states = counts.states.load(Ordering::SeqCst);
    let in_recovery = counts.in_recovery.load(Ordering::SeqCst);
    let before = counts.before.lock();
    println!(
        "{states} states after a power loss, {in_recovery} of them inside a recovery, in {} lives and {:.0?}; \
         before each kind of operation {before:?}",
        lives.load(Ordering::SeqCst),
        begun.elapsed(),
    );
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    assert!(states >= enough || time.is_some(), "{states}");
    assert!(in_recovery * 20 > states, "{in_recovery} of {states}");
    let all = [Create, Rename, Remove, SyncDirectory, Write, Preallocate, Truncate, Sync];
    assert!(
        all.iter().all(|operation| before.get(operation).is_some_and(|count| *count > 100)),
        "{before:?}"
    );
}
