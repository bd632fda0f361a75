//! A handle that only reads: it follows those who write, from what they say in the shared marks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::StorageError;
use crate::indexing;
use crate::processes::{Bell, Watch};
use crate::view::View;

/// How often the marks are looked at while somebody waits. Whoever cannot write cannot be counted among those who wait, and
/// is not woken.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Follows the log of a store that others write.
#[derive(Debug)]
pub(crate) struct Reader {
    watch: Watch,
    view: Arc<View>,
    /// The generation of index files that was last seen, and the one that is in use.
    seen: AtomicU64,
    used: AtomicU64,
}

impl Reader {
    pub(crate) fn new(watch: Watch, view: Arc<View>) -> Self {
        Self { watch, view, seen: AtomicU64::new(0), used: AtomicU64::new(0) }
    }

    /// Moves the head to what is durable now.
    pub(crate) fn refresh(&self) -> Result<(), StorageError> {
        let generation = self.watch.follow(&*self.view.sealer.storage, &self.view.marks)?;
        self.seen.store(generation, Ordering::Relaxed);
        Ok(())
    }

    /// Makes sure that the index holds every event up to `head`, which was seen. Tails that others have sealed are let go of.
    pub(crate) fn index_up_to(&self, head: u64) -> Result<(), StorageError> {
        let view = &self.view;
        if view.index.read().last_position() < head {
            let mut writer = view.writer.lock();
            let written = view.marks.written();
            if writer.reach() < written {
                writer.catch_up(written, |frame, end| {
                    let full = indexing::add(&mut view.index.write(), frame, end, &view.segments)?;
                    if full {
                        view.sealer.refresh(&view.index);
                    }
                    Ok(())
                })?;
            }
        }
        let seen = self.seen.load(Ordering::Relaxed);
        if self.used.swap(seen, Ordering::Relaxed) != seen && view.index.read().next_to_seal().is_some() {
            view.sealer.refresh(&view.index);
        }
        Ok(())
    }

    /// Waits until the head is past `after`, `timeout` has run out, or `give_up` says so.
    pub(crate) fn wait(
        &self,
        after: u64,
        timeout: Duration,
        give_up: impl Fn() -> bool,
    ) -> Result<(), StorageError> {
        let until = Instant::now().checked_add(timeout);
        let marks = &self.view.marks;
        loop {
            let rings = marks.rings(Bell::Head);
            self.refresh()?;
            if marks.durable().position > after || give_up() {
                return Ok(());
            }
            let left = until.map_or(BETWEEN_LOOKS, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(());
            }
            // Rung when this handle is closed.
            marks.wait(Bell::Head, rings, left.min(BETWEEN_LOOKS));
        }
    }
}
