//! The files of a store as bytes that can be changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use counterpoint::storage::{Memory, PAGE_WORDS, Storage};

/// The page of the shared marks, which is no file in memory.
pub const MARKS: &str = "marks";

pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of a store as they are now.
pub fn files_of(storage: &Memory) -> Files {
    let mut files = Files::new();
    for name in storage.list().unwrap() {
        let bytes = if name == MARKS {
            let page = storage.shared_page(MARKS).unwrap();
            page.words().iter().flat_map(|word| word.load(Ordering::SeqCst).to_le_bytes()).collect()
        } else {
            storage.open(&name).unwrap().map().unwrap().bytes().to_vec()
        };
        files.insert(name, bytes);
    }
    files
}

/// A storage with these files.
pub fn storage_of(files: &Files) -> Arc<Memory> {
    let storage = Arc::new(Memory::default());
    for (name, bytes) in files {
        if name == MARKS {
            let page = storage.shared_page(MARKS).unwrap();
            let mut whole = bytes.clone();
            whole.resize(PAGE_WORDS * 8, 0);
            for (word, bytes) in page.words().iter().zip(whole.chunks_exact(8)) {
                word.store(u64::from_le_bytes(bytes.try_into().unwrap()), Ordering::SeqCst);
            }
        } else {
            storage.create(name).unwrap().write_all_at(bytes, 0).unwrap();
        }
    }
    storage
}
