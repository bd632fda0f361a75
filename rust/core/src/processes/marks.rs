//! The shared marks: how far the log is written and how far it is durable.
//!
//! They live in a page that other processes can map. They are never the truth (I7): every open rebuilds them from
//! the log. One thing outlives the process: after a clean close the page says, under a checksum, where the log
//! ended, so that a log that has lost its end since then is noticed.
//!
//! ```text
//! word 0 magic and version | 1, 2 store id | 3, 4 boot id | 5 epoch | 6 clean close
//!      8 written | 16 durable | 24 poisoned | 32 wake counter        (each on a cache line of its own)
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::MARKS_FILE;
use crate::error::{Corruption, StorageError};
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
    CleanClose = 6,
    Written = 8,
    Durable = 16,
    Poisoned = 24,
    Wakes = 32,
}

#[derive(Debug)]
pub(crate) struct Marks {
    page: Arc<dyn SharedPage>,
}

impl Marks {
    /// Maps the page and rebuilds it for a log that recovery found to end at `head`.
    pub(crate) fn rebuild(storage: &dyn Storage, store: Uuid, head: u64) -> Result<Self, StorageError> {
        let failed = |error| StorageError::io("map", MARKS_FILE)(error);
        let marks = Self { page: storage.shared_page(MARKS_FILE).map_err(failed)? };
        if let Some(closed_at) = marks.clean_close(store).filter(|closed_at| *closed_at > head) {
            return Err(StorageError::Corrupt(Corruption {
                file: MARKS_FILE.to_owned(),
                offset: 0,
                what: format!("the store was closed at position {closed_at}, but its log now ends at {head}"),
            }));
        }
        let boot = storage.boot_id().map_err(failed)?;
        let (store_high, store_low) = store.as_u64_pair();
        marks.set(Word::CleanClose, 0);
        marks.set(Word::Magic, MAGIC);
        marks.set(Word::StoreHigh, store_high);
        marks.set(Word::StoreLow, store_low);
        marks.set(Word::BootHigh, (boot >> 64) as u64);
        marks.set(Word::BootLow, boot as u64);
        marks.set(Word::Written, head);
        marks.set(Word::Durable, head);
        marks.set(Word::Poisoned, 0);
        marks.word(Word::Epoch).fetch_add(1, Ordering::AcqRel);
        Ok(marks)
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
        self.word(Word::Durable).fetch_max(position, Ordering::AcqRel);
        self.word(Word::Wakes).fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn poison(&self) {
        self.set(Word::Poisoned, 1);
    }

    /// Notes that the log was closed in order and ends at the durable mark.
    pub(crate) fn close_cleanly(&self, store: Uuid) {
        self.set(Word::CleanClose, clean_close_mark(store, self.durable()));
    }

    fn clean_close(&self, store: Uuid) -> Option<u64> {
        let head = self.durable();
        let is_ours = self.get(Word::Magic) == MAGIC;
        (is_ours && self.get(Word::CleanClose) == clean_close_mark(store, head)).then_some(head)
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

/// Two checksums side by side, so that a page that was never closed cleanly has no chance of looking as if.
fn clean_close_mark(store: Uuid, head: u64) -> u64 {
    let low = crc32c::crc32c_append(crc32c::crc32c(store.as_bytes()), &head.to_le_bytes());
    let high = crc32c::crc32c_append(low, b"closed");
    u64::from(high) << 32 | u64::from(low)
}
