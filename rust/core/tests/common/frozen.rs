//! A storage that must not be changed: whoever tries panics.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use counterpoint::storage::{LockFile, MappedFile, PAGE_WORDS, SharedPage, Storage, StorageFile};

#[derive(Debug)]
pub struct Frozen(pub Arc<dyn Storage>);

#[derive(Debug)]
struct FrozenFile(Arc<dyn StorageFile>);

impl Storage for Frozen {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        panic!("{name} was created")
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(FrozenFile(self.0.open(name)?)))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        panic!("{from} was renamed to {to}")
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        panic!("{name} was removed")
    }
    fn sync_directory(&self) -> io::Result<()> {
        panic!("the directory was synced")
    }
    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        self.0.lock_file(name)
    }
    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        panic!("{name} was mapped to be written")
    }
    fn look_at_page(&self, name: &str, copy: &[AtomicU64; PAGE_WORDS]) -> io::Result<bool> {
        self.0.look_at_page(name, copy)
    }
    fn boot_id(&self) -> io::Result<u128> {
        self.0.boot_id()
    }
}

impl StorageFile for FrozenFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, _: &[u8], offset: u64) -> io::Result<()> {
        panic!("bytes were written at {offset}")
    }
    fn preallocate(&self, _: u64, length: u64) -> io::Result<()> {
        panic!("a file was made {length} bytes long")
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        panic!("a file was cut to {length} bytes")
    }
    fn sync_data(&self) -> io::Result<()> {
        panic!("a file was synced")
    }
    fn sync_all(&self) -> io::Result<()> {
        panic!("a file was synced")
    }
    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        self.0.map()
    }
}
