//! One open store as the Python objects share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use counterpoint::{StorageError, Store};
use pyo3::prelude::*;

use crate::errors;
use crate::fork;

/// Keeps the store open for an engine and its reads and subscriptions, and refuses to use it in a forked child.
pub struct Handle {
    store: Arc<Store>,
    generation: u64,
    /// Known here too, since the store's own answer costs more than an event does.
    closed: AtomicBool,
}

impl Handle {
    pub fn new(store: Store) -> Self {
        Self { store: Arc::new(store), generation: fork::generation(), closed: AtomicBool::new(false) }
    }

    /// The store, unless it belongs to a parent process.
    pub fn store(&self) -> PyResult<&Store> {
        self.check_process()?;
        Ok(&self.store)
    }

    /// Closes the store.
    pub fn close(&self) -> Result<(), StorageError> {
        self.closed.store(true, Ordering::Release);
        self.store.close()
    }

    /// Refuses to go on with a store that is closed or of a parent process. Cheap enough for every event.
    pub fn check_open(&self) -> PyResult<()> {
        self.check_process()?;
        if self.closed.load(Ordering::Acquire) { Err(errors::closed()) } else { Ok(()) }
    }

    /// Refuses what cannot work in a forked child.
    pub fn check_process(&self) -> PyResult<()> {
        if self.is_inherited() { Err(errors::inherited()) } else { Ok(()) }
    }

    /// Whether the store was opened before a fork that made this process.
    pub fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_inherited() {
            // The store is the parent's. Closing it here would wait for a thread that this process does not have, and
            // write to the log behind the parent's back.
            std::mem::forget(Arc::clone(&self.store));
            return;
        }
        // Closing syncs. While the interpreter shuts down there is nobody to let run meanwhile: then the store closes
        // itself right after this.
        Python::try_attach(|py| py.detach(|| drop(self.store.close())));
    }
}
