//! A storage that is not changed: what is made or removed in it stays in memory, for this handle alone.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{LockFile, Memory, PAGE_WORDS, SharedPage, Storage, StorageFile};
use crate::threads::Mutex;

/// Files of the storage below, as far as none above has taken their names and they were not removed here. Locks and
/// shared pages are this handle's own: whoever cannot write has nothing to agree on with those who do.
#[derive(Debug)]
pub(crate) struct Overlay {
    below: Arc<dyn Storage>,
    above: Memory,
    removed: Mutex<HashSet<String>>,
}

impl Overlay {
    pub(crate) fn new(below: Arc<dyn Storage>) -> Self {
        Self { below, above: Memory::default(), removed: Mutex::default() }
    }
}

impl Storage for Overlay {
    fn list(&self) -> io::Result<Vec<String>> {
        let (below, removed) = (self.below.list()?, self.removed.lock());
        let mut names: HashSet<String> = below.into_iter().filter(|name| !removed.contains(name)).collect();
        names.extend(self.above.list()?);
        Ok(names.into_iter().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.above.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        match self.above.open(name) {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.removed.lock().contains(name) => {
                self.below.open(name)
            }
            opened => opened,
        }
    }

    /// Only of what was made here: nothing else needs a new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.above.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.removed.lock().insert(name.to_owned());
        match self.above.remove(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        self.above.lock_file(name)
    }

    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        self.above.shared_page(name)
    }

    fn look_at_page(&self, name: &str, copy: &[AtomicU64; PAGE_WORDS]) -> io::Result<bool> {
        self.below.look_at_page(name, copy)
    }

    fn holds(&self, path: &Path) -> io::Result<bool> {
        self.below.holds(path)
    }

    fn boot_id(&self) -> io::Result<u128> {
        self.below.boot_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
        let file = storage.open(name)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_exact_at(&mut bytes, 0).map(|()| bytes)
    }

    #[test]
    fn what_is_made_and_removed_above_leaves_what_is_below() {
        let below = Arc::new(Memory::default());
        for name in ["a", "b"] {
            below.create(name).unwrap().write_all_at(name.as_bytes(), 0).unwrap();
        }
        let overlay = Overlay::new(Arc::clone(&below) as Arc<dyn Storage>);
        overlay.remove("a").unwrap();
        assert_eq!(overlay.open("a").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(overlay.list().unwrap(), ["b"]);
        overlay.create("new.tmp").unwrap().write_all_at(b"new", 0).unwrap();
        overlay.rename("new.tmp", "a").unwrap();
        assert_eq!(content(&overlay, "a").unwrap(), b"new");
        overlay.create("b").unwrap();
        let mut names = overlay.list().unwrap();
        names.sort_unstable();
        assert_eq!(names, ["a", "b"]);

        assert_eq!(content(&*below, "a").unwrap(), b"a");
        assert_eq!(content(&*below, "b").unwrap(), b"b");
        assert_eq!(below.list().unwrap().len(), 2);
    }
}
