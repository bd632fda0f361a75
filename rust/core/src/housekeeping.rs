//! What is done off the append path. One thread prepares the next segment, seals an idle log, and syncs at intervals
//! where the caller does not wait for it; another one makes index files, which may take seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::commit::Committer;
use crate::error::StorageError;
use crate::log::{Next, SegmentMaker};
use crate::processes::{Marks, SharedLock};
use crate::store::Durability;
use crate::threads::{Condvar, Mutex};

/// A log that nobody has written to for this long is sealed.
const IDLE: Duration = Duration::from_secs(1);

/// How long a full tail of the index waits that could not be sealed at once.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The shortest time between two looks around, whatever interval is asked for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// What there is to do, told by the append path.
#[derive(Debug, Default)]
pub(crate) struct Work {
    todo: Mutex<Todo>,
    changed: Condvar,
    /// Whether the thread already knows that the log is being written to.
    awake: AtomicBool,
    /// Whether there may be something to do about index files.
    unsealed: Mutex<bool>,
    unsealed_changed: Condvar,
    /// Counts writes, so that the thread sees when they stop.
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct Todo {
    /// The segment to prepare.
    prepare: Option<Next>,
    stop: bool,
}

impl Work {
    /// Asks for the next segment.
    pub(crate) fn prepare(&self, next: Next) {
        if self.todo.lock().prepare.replace(next).is_none() {
            self.changed.notify_one();
        }
    }

    /// The log was written to. Costs a system call only after an idle time.
    pub(crate) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if !self.awake.swap(true, Ordering::AcqRel) {
            drop(self.todo.lock());
            self.changed.notify_one();
        }
    }

    /// A tail of the index is full.
    pub(crate) fn seal(&self) {
        *self.unsealed.lock() = true;
        self.unsealed_changed.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.todo.lock().stop = true;
        self.changed.notify_one();
        self.seal();
    }

    /// Sleeps until there may be something to seal.
    fn wait_for_unsealed(&self) {
        let mut unsealed = self.unsealed.lock();
        while !std::mem::take(&mut *unsealed) {
            unsealed = self.unsealed_changed.wait(unsealed);
        }
    }

    /// Sleeps until there is something to do. While the log is being written to, that is at least every `pause`.
    fn next(&self, pause: Duration) -> Task {
        let mut todo = self.todo.lock();
        loop {
            if todo.stop {
                return Task::Stop;
            }
            if let Some(next) = todo.prepare.take() {
                return Task::Prepare(next);
            }
            if !self.awake.load(Ordering::Acquire) {
                todo = self.changed.wait(todo);
                continue;
            }
            let (woken, timed_out) = self.changed.wait_for(todo, pause);
            if timed_out {
                return Task::LookAround;
            }
            todo = woken;
        }
    }
}

/// Makes the next segment ready, one handle at a time among all processes.
pub(crate) struct Preparer {
    pub(crate) maker: SegmentMaker,
    pub(crate) lock: SharedLock,
}

impl Preparer {
    /// Does nothing if the segment is ready, is needed no more, or somebody is at it: should they die, somebody else is
    /// told when the present segment is a little fuller.
    fn prepare(&self, next: Next, marks: &Marks) -> Result<(), StorageError> {
        marks.check_intact()?;
        let Some(_held) = self.lock.try_hold()? else { return Ok(()) };
        // In this order: a rollover takes the ready file after it has said that it begins, and before it moves the mark.
        if self.maker.is_ready()? || marks.is_rolling() || marks.written().segment != next.after {
            return Ok(());
        }
        self.maker.prepare(next.capacity)
    }
}

enum Task {
    Prepare(Next),
    LookAround,
    Stop,
}

/// Starts the threads. They end when told to stop.
pub(crate) fn start(
    committer: &Arc<Committer>,
    preparer: Preparer,
    durability: Durability,
) -> std::io::Result<[JoinHandle<()>; 2]> {
    let (housekeeper, indexer) = (Arc::clone(committer), Arc::clone(committer));
    let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
    let housekeeper = spawn("counterpoint").spawn(move || keep_house(&housekeeper, &preparer, durability))?;
    let indexer = spawn("counterpoint-index")
        .spawn(move || keep_index(&indexer))
        .inspect_err(|_| committer.work.stop())?;
    Ok([housekeeper, indexer])
}

fn keep_index(committer: &Committer) {
    let (view, work) = (&committer.view, &committer.work);
    let mut generation = view.marks.index_generation();
    loop {
        work.wait_for_unsealed();
        // What is full may not be durable yet, or another process may be at it.
        loop {
            if work.todo.lock().stop {
                return;
            }
            // Then nothing can be appended any more, and nothing is known to be durable.
            if view.marks.check_intact().is_err() {
                break;
            }
            // A failure costs memory now and time at the next opening, and nothing else.
            if let Ok(true) = view.sealer.tend(&view.index, &|| view.marks.durable().position) {
                view.marks.index_changed();
            }
            let now = view.marks.index_generation();
            if std::mem::replace(&mut generation, now) != now {
                view.sealer.refresh(&view.index);
            }
            if view.index.read().next_to_seal().is_none() {
                break;
            }
            thread::sleep(BETWEEN_TRIES);
        }
    }
}

fn keep_house(committer: &Committer, preparer: &Preparer, durability: Durability) {
    let work = &committer.work;
    let pause = match durability {
        Durability::Fsync => IDLE,
        Durability::Os { sync_interval } => sync_interval.max(SHORTEST_PAUSE),
    };
    let (mut seen, mut idle) = (0, Duration::ZERO);
    loop {
        match work.next(pause) {
            Task::Stop => return,
            // A failure here is not one of an append: the rollover tries again and reports what it finds.
            Task::Prepare(next) => drop(preparer.prepare(next, &committer.view.marks)),
            Task::LookAround => {
                let writes = work.writes.load(Ordering::Relaxed);
                idle = if writes == seen { idle + pause } else { Duration::ZERO };
                seen = writes;
                // A failed sync poisons the store, which is how the next append learns of it.
                if let Durability::Os { .. } = durability {
                    drop(committer.view.marks.check_intact().and_then(|()| committer.syncer.sync_now()));
                }
                if idle >= IDLE {
                    work.awake.store(false, Ordering::Release);
                    drop(committer.seal());
                }
            }
        }
    }
}
