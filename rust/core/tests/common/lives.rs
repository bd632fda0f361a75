//! What was asked of a store and what it acknowledged, and whether a disk after a power loss is one that may come of it.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use counterpoint::{Event, Options, Query, ReadOptions, SequencedEvent, Store};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::failing::Operation;
use super::simulated::{Fate, SimulatedDisk};
use super::{all, condition, event, query, read, verified};

pub const CURSOR: &str = "follower";
/// So many tags are shared by all events.
pub const TAGS: u64 = 5;

/// What must hold of the store from some moment on.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last position of each batch that was acknowledged, and which batch it was.
    acknowledged: BTreeMap<u64, usize>,
    /// What is durable for certain: a head that was seen or acknowledged.
    floor: u64,
    /// The cursor stands here at least.
    cursor: u64,
}

/// What was asked of a store, and what is known since.
#[derive(Debug, Default)]
pub struct Ledger {
    batches: Mutex<Vec<Vec<Event>>>,
    known: Mutex<Known>,
    cursor_asked: AtomicU64,
}

impl Ledger {
    /// Makes a batch of events that say which they are, of so many bytes each.
    pub fn batch(&self, count: usize, bytes: usize) -> (usize, Vec<Event>) {
        let mut batches = self.batches.lock();
        let number = batches.len();
        let one = |index: usize| {
            let tags = [format!("t:{}", (number + index) as u64 % TAGS), format!("b:{number}")];
            let id = Uuid::from_u128((number as u128) << 32 | index as u128);
            let data = vec![number as u8 | 1; bytes];
            Event::new(["A", "B"][index % 2], &tags, &data, Some(b"m"), Some(id)).unwrap()
        };
        batches.push((0..count).map(one).collect());
        (number, batches[number].clone())
    }

    pub fn acknowledged(&self, last: u64, batch: usize, is_durable: bool) {
        let mut known = self.known.lock();
        known.acknowledged.insert(last, batch);
        if is_durable {
            known.floor = known.floor.max(last);
        }
    }

    /// Somebody has seen this head, where only what is durable is seen.
    pub fn seen(&self, head: u64) {
        let mut known = self.known.lock();
        known.floor = known.floor.max(head);
    }

    /// Sets the cursor to a place it never had.
    pub fn move_cursor(&self, store: &Store) {
        let position = self.cursor_asked.fetch_add(1, Ordering::SeqCst) + 1;
        if store.set_cursor(CURSOR, position, None).is_ok() {
            self.known.lock().cursor = position;
        }
    }

    pub fn known(&self) -> Known {
        self.known.lock().clone()
    }

    /// Whether these events may be all there are: batches that were asked for, whole and once, the acknowledged ones in
    /// their places.
    pub fn check(&self, events: &[SequencedEvent], known: &Known) -> Result<(), String> {
        let (batches, mut rest, mut met) = (self.batches.lock(), events, BTreeMap::new());
        while let Some(first) = rest.first() {
            let id = first.event.view().id.ok_or("an event without an id")?.as_u128();
            let number = (id >> 32) as usize;
            let batch = batches.get(number).ok_or_else(|| format!("batch {number} was never asked for"))?;
            let (found, after) = rest.split_at(batch.len().min(rest.len()));
            if !found.iter().map(|found| &found.event).eq(batch) {
                return Err(format!("batch {number} at {} is not whole or not as it was", first.position));
            }
            if met.insert(number, found.last().map_or(0, |last| last.position)).is_some() {
                return Err(format!("batch {number} is there twice"));
            }
            rest = after;
        }
        if !events.iter().zip(1..).all(|(event, position)| event.position == position) {
            return Err("positions are not those of the log".to_owned());
        }
        let head = events.len() as u64;
        if head < known.floor {
            return Err(format!("the log ends at {head}, but was durable up to {}", known.floor));
        }
        let displaced = known.acknowledged.range(..=head).find(|(last, batch)| met.get(batch) != Some(last));
        displaced.map_or(Ok(()), |(last, batch)| {
            Err(format!("batch {batch} was acknowledged at {last}, but is at {:?}", met.get(batch)))
        })
    }

    /// Opens a disk after a power loss, and says what is not as it must be. What can fail by a panic here does.
    fn open_and_check(
        &self,
        disk: &Arc<SimulatedDisk>,
        options: Options,
        known: &Known,
    ) -> Result<Store, String> {
        let opened = Store::open_in(Arc::clone(disk) as Arc<_>, options);
        let store = opened.map_err(|error| format!("does not open: {error}"))?;
        let events = all(&store);
        self.check(&events, known)?;
        let cursor = store.get_cursor(CURSOR).map_err(|error| format!("the cursor is lost: {error}"))?;
        let asked = self.cursor_asked.load(Ordering::SeqCst);
        if !(known.cursor..=asked).contains(&cursor) {
            return Err(format!("the cursor is at {cursor}, not {} to {asked}", known.cursor));
        }
        Ok(store)
    }

    /// Opens the disk, uses the store, verifies it, and opens it once more.
    fn examine(
        &self,
        disk: &Arc<SimulatedDisk>,
        options: Options,
        known: &Known,
        rng: &mut StdRng,
    ) -> Result<(), String> {
        let store = self.open_and_check(disk, options, known)?;
        let events = all(&store);
        let head = events.len() as u64;
        if rng.random_ratio(1, 4) {
            // What was seen after opening was durable then.
            let later = Arc::new(power_loss(disk, rng));
            let seen = Known { floor: known.floor.max(head), ..known.clone() };
            drop(
                self.open_and_check(&later, options, &seen)
                    .map_err(|what| format!("lost after opening: {what}"))?,
            );
        }
        let tag = format!("t:{}", rng.random_range(0..TAGS));
        let found = read(&store, query(&["A"], &[&tag]), ReadOptions::default());
        let expected = events.iter().filter(|one| query(&["A"], &[&tag]).matches(&one.event.view()));
        if !found.iter().eq(expected) {
            return Err(format!("the index does not find what has the tag {tag}"));
        }
        let appended = store.append(vec![event("After", &[])], vec![condition(Query::All, head)]);
        if appended.as_ref().ok() != Some(&(head + 1)) {
            return Err(format!("an append after opening came to {appended:?} at head {head}"));
        }
        let verification = verified(&store);
        if !verification.findings.is_empty() || verification.events != head + 1 {
            return Err(format!("verification found {:?}", verification.findings));
        }
        store.close().map_err(|error| format!("does not close: {error}"))
    }
}

/// Counts states of a disk after a power loss, and keeps what is wrong with them.
#[derive(Debug)]
pub struct Judge {
    pub ledger: Ledger,
    pub options: Options,
    pub states: Arc<AtomicU64>,
    /// How many of them were inside a recovery.
    pub in_recovery: Arc<AtomicU64>,
    /// How many there were before each kind of operation.
    pub before: Arc<Mutex<BTreeMap<Operation, u64>>>,
    pub wrong: Mutex<Vec<String>>,
    /// After so many states no more are looked at.
    pub enough: u64,
}

impl Judge {
    pub fn has_enough(&self) -> bool {
        self.states.load(Ordering::SeqCst) >= self.enough || !self.wrong.lock().is_empty()
    }

    /// Lets the power fail now, and again at every change that opening the disk makes, `depth` times deep.
    pub fn power_fails(self: &Arc<Self>, disk: &SimulatedDisk, name: &str, seed: u64, depth: u32) {
        if self.has_enough() {
            return;
        }
        let mut rng = StdRng::seed_from_u64(seed);
        // In this order: what is acknowledged while the disk is looked at may be missing there.
        let known = self.ledger.known();
        let image = Arc::new(power_loss(disk, &mut rng));
        self.states.fetch_add(1, Ordering::SeqCst);
        let name = format!("{name}, state {seed:#x}");
        if depth > 0 && rng.random_ratio(1, 40) {
            self.fail_inside_recovery(&image, &known, &name, seed, depth);
        }
        let examined = panic::catch_unwind(AssertUnwindSafe(|| {
            self.ledger.examine(&image, self.options, &known, &mut rng)
        }));
        match examined {
            Ok(Ok(())) => {}
            Ok(Err(what)) => self.wrong.lock().push(format!("{name}: {what}")),
            Err(_) => self.wrong.lock().push(format!("{name}: it panicked")),
        }
    }

    fn fail_inside_recovery(
        self: &Arc<Self>,
        image: &Arc<SimulatedDisk>,
        known: &Known,
        name: &str,
        seed: u64,
        depth: u32,
    ) {
        // The states come of another disk like this one, which is used no further.
        let twin = Arc::new(image.crash(|| true));
        let (judge, watched, known) = (Arc::clone(self), Arc::downgrade(&twin), known.clone());
        let (name, number) = (format!("{name}, then inside recovery"), AtomicU64::new(0));
        twin.observe(move |operation| {
            let Some(disk) = watched.upgrade().filter(|_| operation.changes()) else { return };
            let inner = Arc::new(Judge {
                ledger: Ledger {
                    batches: Mutex::new(judge.ledger.batches.lock().clone()),
                    known: Mutex::new(known.clone()),
                    cursor_asked: AtomicU64::new(judge.ledger.cursor_asked.load(Ordering::SeqCst)),
                },
                options: judge.options,
                states: Arc::clone(&judge.states),
                in_recovery: Arc::clone(&judge.in_recovery),
                before: Arc::clone(&judge.before),
                wrong: Mutex::default(),
                enough: judge.enough,
            });
            let seed = seed.wrapping_mul(31).wrapping_add(number.fetch_add(1, Ordering::SeqCst) + 1);
            judge.in_recovery.fetch_add(1, Ordering::SeqCst);
            inner.power_fails(&disk, &name, seed, depth - 1);
            judge.wrong.lock().append(&mut inner.wrong.lock());
        });
        let opened = Store::open_in(Arc::clone(&twin) as Arc<_>, self.options);
        twin.look_away();
        drop(opened);
    }
}

/// The disk after a power loss now, with fates of one mood.
pub fn power_loss(disk: &SimulatedDisk, rng: &mut StdRng) -> SimulatedDisk {
    if rng.random_ratio(1, 4) {
        disk.write_marks_back();
    }
    let mut fates = StdRng::seed_from_u64(rng.random());
    let mood = rng.random_range(0..7);
    let mut words = StdRng::seed_from_u64(rng.random());
    let word_mood = rng.random_range(0..4);
    let fate = move || match mood {
        0 => Fate::Lost,
        1 => Fate::Kept,
        2 if fates.random_ratio(1, 8) => Fate::Lost,
        2 => Fate::Kept,
        3 if fates.random_ratio(1, 8) => Fate::Kept,
        3 => Fate::Lost,
        _ => match fates.random_range(0..if mood == 4 { 2 } else { 4 }) {
            0 => Fate::Lost,
            1 => Fate::Kept,
            2 => Fate::Torn(fates.random_range(0..512)),
            _ => Fate::Garbage(fates.random()),
        },
    };
    let mut word = move || match word_mood {
        0 | 1 => Fate::Kept,
        2 => Fate::Lost,
        _ if words.random() => Fate::Kept,
        _ => Fate::Lost,
    };
    disk.crash_as(fate, &mut word)
}
