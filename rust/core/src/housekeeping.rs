//! What is done off the append path, by one thread: preparing the next segment, sealing an idle log, and syncing at
//! intervals where the caller does not wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::commit::Committer;
use crate::log::SegmentMaker;
use crate::store::Durability;

/// A log that nobody has written to for this long is sealed.
const IDLE: Duration = Duration::from_secs(1);

/// The shortest time between two looks around, whatever interval is asked for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// What there is to do, told by the append path.
#[derive(Debug, Default)]
pub(crate) struct Work {
    todo: Mutex<Todo>,
    changed: Condvar,
    /// Whether the thread already knows that the log is being written to.
    awake: AtomicBool,
    /// Counts writes, so that the thread sees when they stop.
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct Todo {
    /// The capacity of the segment to prepare.
    prepare: Option<u64>,
    stop: bool,
}

impl Work {
    /// Asks for a segment file of `capacity` bytes.
    pub(crate) fn prepare(&self, capacity: u64) {
        if self.todo.lock().prepare.replace(capacity).is_none() {
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

    pub(crate) fn stop(&self) {
        self.todo.lock().stop = true;
        self.changed.notify_one();
    }

    /// Sleeps until there is something to do. While the log is being written to, that is at least every `pause`.
    fn next(&self, pause: Duration) -> Task {
        let mut todo = self.todo.lock();
        loop {
            if todo.stop {
                return Task::Stop;
            }
            if let Some(capacity) = todo.prepare.take() {
                return Task::Prepare(capacity);
            }
            if !self.awake.load(Ordering::Acquire) {
                self.changed.wait(&mut todo);
            } else if self.changed.wait_for(&mut todo, pause).timed_out() {
                return Task::LookAround;
            }
        }
    }
}

enum Task {
    Prepare(u64),
    LookAround,
    Stop,
}

/// Starts the thread. It ends when told to stop.
pub(crate) fn start(
    committer: Arc<Committer>,
    maker: SegmentMaker,
    durability: Durability,
) -> std::io::Result<JoinHandle<()>> {
    let keep_house = move || keep_house(&committer, &maker, durability);
    thread::Builder::new().name("counterpoint".to_owned()).spawn(keep_house)
}

fn keep_house(committer: &Committer, maker: &SegmentMaker, durability: Durability) {
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
            Task::Prepare(capacity) => drop(maker.prepare(capacity)),
            Task::LookAround => {
                let writes = work.writes.load(Ordering::Relaxed);
                idle = if writes == seen { idle + pause } else { Duration::ZERO };
                seen = writes;
                // A failed sync poisons the store, which is how the next append learns of it.
                if let Durability::Os { .. } = durability {
                    drop(committer.syncer.sync_now());
                }
                if idle >= IDLE {
                    work.awake.store(false, Ordering::Release);
                    drop(committer.seal());
                }
            }
        }
    }
}
