//! Which operations of a simulated disk fail, and who looks at them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

/// The errors that disks give.
pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// What a disk can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    List,
    Create,
    Open,
    Rename,
    Remove,
    Link,
    SyncDirectory,
    /// A lock is opened or taken.
    Lock,
    /// The page of the shared marks is mapped.
    Page,
    Read,
    Write,
    Preallocate,
    Truncate,
    Sync,
    Map,
}

impl Operation {
    /// Whether the disk is not the same after it.
    pub fn changes(self) -> bool {
        !matches!(self, Self::List | Self::Open | Self::Lock | Self::Page | Self::Read | Self::Map)
    }
}

/// Which operations fail, and how.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Only those of this kind; without one all but those on locks and the page of the marks.
    pub only: Option<Operation>,
    /// The first that fails, counted from 1 and from now on.
    pub number: u64,
    /// How many fail from there on.
    pub count: u64,
    /// The system's number of the error.
    pub error: i32,
    /// What part of a write is done before it fails, in halves.
    pub halves: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self { only: None, number: 1, count: 1, error: EIO, halves: 1 }
    }
}

impl Order {
    fn is_about(&self, operation: Operation) -> bool {
        self.only.map_or(!matches!(operation, Operation::Lock | Operation::Page), |only| only == operation)
    }
}

type Observer = Arc<dyn Fn(Operation) + Send + Sync>;

#[derive(Default)]
pub(super) struct Faults {
    observer: Mutex<Option<Observer>>,
    operations: AtomicU64,
    counts: Mutex<BTreeMap<Operation, u64>>,
    /// The order, and how many operations that it is about there were since.
    order: Mutex<(Option<Order>, u64)>,
    /// Held while an operation changes the disk, so that a crash is between two.
    pub(super) world: RwLock<()>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.lock().fmt(f)
    }
}

impl Faults {
    pub(super) fn give(&self, order: Option<Order>) {
        *self.order.lock() = (order, 0);
    }

    pub(super) fn observe(&self, observer: Option<Observer>) {
        *self.observer.lock() = observer;
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::SeqCst)
    }

    pub(super) fn counts(&self) -> BTreeMap<Operation, u64> {
        self.counts.lock().clone()
    }

    /// Counts an operation, and fails it if that is ordered. While the answer is held, no crash happens.
    pub(super) fn operation(&self, operation: Operation) -> io::Result<RwLockReadGuard<'_, ()>> {
        let observer = self.observer.lock().clone();
        observer.inspect(|observer| observer(operation));
        *self.counts.lock().entry(operation).or_default() += 1;
        if !matches!(operation, Operation::Lock | Operation::Page) {
            self.operations.fetch_add(1, Ordering::SeqCst);
        }
        let mut given = self.order.lock();
        let (order, seen) = &mut *given;
        if let Some(order) = order.filter(|order| order.is_about(operation)) {
            *seen += 1;
            if *seen >= order.number && *seen - order.number < order.count {
                return Err(io::Error::from_raw_os_error(order.error));
            }
        }
        drop(given);
        Ok(self.world.read())
    }

    /// How much of so many bytes a failing write gets done.
    pub(super) fn part_of(&self, bytes: usize) -> usize {
        let halves = self.order.lock().0.map_or(1, |order| order.halves);
        bytes * halves.min(2) / 2
    }
}
