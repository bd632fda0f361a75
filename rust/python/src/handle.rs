//! One open store as the Python objects share it.

use std::sync::Arc;

use counterpoint::Store;
use pyo3::prelude::*;

use crate::errors;
use crate::fork;

/// Keeps the store open for an engine and its reads and subscriptions, and refuses to use it in a forked child.
pub struct Handle {
    store: Arc<Store>,
    generation: u64,
}

impl Handle {
    pub fn new(store: Store) -> Self {
        Self { store: Arc::new(store), generation: fork::generation() }
    }

    /// The store, unless it belongs to a parent process.
    pub fn store(&self) -> PyResult<&Store> {
        self.check_process()?;
        Ok(&self.store)
    }

    /// Refuses what cannot work in a forked child. Cheap enough for every event.
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
