//! The shared marks: how far the log is written and how far it is durable.
//!
//! They live in a page that other processes can map. They are never the truth (I7): every open rebuilds them from
//! the log. But they bear witness: the durable mark moves only after a sync, and has a checksum beside it, so a log
//! that ends before it has lost its end.
//!
//! ```text
//! word 0 magic and version | 1, 2 store id | 3, 4 boot id | 5 epoch
//!      8 written | 16 durable, 17 its checksum | 24 poisoned | 32 wake counter        (each on a cache line of its own)
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::MARKS_FILE;
use crate::error::StorageError;
use crate::log::Reach;
use crate::storage::{PAGE_WORDS, SharedPage, Storage};

const MAGIC: u64 = u64::from_le_bytes(*b"cpmarks\x01");

#[repr(usize)]
#[derive(Clone, Copy)]
enum Word {
    Magic = 0,
    StoreHigh = 1,
    StoreLow = 2,
    BootHigh = 3,
    BootLow = 4,
    Epoch = 5,
    Written = 8,
    Durable = 16,
    DurableChecksum = 17,
    Poisoned = 24,
    Wakes = 32,
}

#[derive(Debug)]
pub(crate) struct Marks {
    page: Arc<dyn SharedPage>,
    store: Uuid,
}

impl Marks {
    /// Maps the page as it was left.
    pub(crate) fn map(storage: &dyn Storage, store: Uuid) -> Result<Self, StorageError> {
        let page = storage.shared_page(MARKS_FILE).map_err(StorageError::io("map", MARKS_FILE))?;
        Ok(Self { page, store })
    }

    /// Refuses a log that ends before what the page knows to be durable.
    pub(crate) fn check(&self, found: &Reach) -> Result<(), StorageError> {
        let Some(durable) = self.witnessed().filter(|durable| *durable > found.position) else {
            return Ok(());
        };
        let head = found.position;
        let what = format!("the log ends at position {head}, but it was durable up to {durable}");
        Err(found.segment.corrupt(found.end, what))
    }

    /// Makes the page that of a log which is durable up to `head`.
    pub(crate) fn rebuild(&self, storage: &dyn Storage, head: u64) -> Result<(), StorageError> {
        let boot = storage.boot_id().map_err(StorageError::io("identify the boot for", MARKS_FILE))?;
        let (store_high, store_low) = self.store.as_u64_pair();
        self.set(Word::Magic, MAGIC);
        self.set(Word::StoreHigh, store_high);
        self.set(Word::StoreLow, store_low);
        self.set(Word::BootHigh, (boot >> 64) as u64);
        self.set(Word::BootLow, boot as u64);
        self.set(Word::Written, head);
        self.set_durable(head);
        self.set(Word::Poisoned, 0);
        self.word(Word::Epoch).fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// The last position written to the log: what conditions are checked against.
    pub(crate) fn written(&self) -> u64 {
        self.get(Word::Written)
    }

    /// The last position that survives a power loss.
    pub(crate) fn durable(&self) -> u64 {
        self.get(Word::Durable)
    }

    /// Both marks only ever move forward.
    pub(crate) fn publish_written(&self, position: u64) {
        self.word(Word::Written).fetch_max(position, Ordering::AcqRel);
    }

    pub(crate) fn publish_durable(&self, position: u64) {
        self.set_durable(position.max(self.durable()));
        self.word(Word::Wakes).fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn poison(&self) {
        self.set(Word::Poisoned, 1);
    }

    fn set_durable(&self, position: u64) {
        self.set(Word::Durable, position);
        self.set(Word::DurableChecksum, durable_checksum(self.store, position));
    }

    /// The durable mark that was left in the page, if it is of this store and whole.
    fn witnessed(&self) -> Option<u64> {
        let durable = self.durable();
        let whole = self.get(Word::DurableChecksum) == durable_checksum(self.store, durable);
        (whole && self.get(Word::Magic) == MAGIC).then_some(durable)
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        const { assert!((Word::Wakes as usize) < PAGE_WORDS) };
        self.page.words().get(word as usize).expect("every word is inside the page")
    }

    fn get(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    fn set(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Release);
    }
}

/// Never 0, so that an empty page has no valid mark.
fn durable_checksum(store: Uuid, durable: u64) -> u64 {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(store.as_bytes()), &durable.to_le_bytes());
    u64::from(checksum) | 1 << 32
}
