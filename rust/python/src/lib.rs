//! `counterpoint._engine`: the engine as a Python extension module. What it offers is written down in
//! `python/counterpoint/_engine.pyi`; the public package re-exports the values and the errors from here.
//!
//! Each call converts its arguments, lets go of the interpreter for whatever may block, and converts the outcome.

mod answers;
mod arguments;
mod conditions;
mod copies;
mod engine;
mod errors;
mod feed;
mod fork;
mod handle;
mod read;
mod subscription;
mod values;
mod verify;

/// Why a lock is to be had: nothing panics with one held, short of a bug.
const UNPOISONED: &str = "nobody panicked with the lock held";

/// The engine behind counterpoint. Private: import the public names from counterpoint.
#[pyo3::pymodule(gil_used = false)]
mod _engine {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::answers::Answers;
    #[pymodule_export]
    use crate::copies::{inspect, salvage};
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::errors::{CorruptionError, Error, PoisonedError, StorageError, StoreClosed, StoreLocked};
    #[pymodule_export]
    use crate::read::{Read, ReadIterator};
    #[pymodule_export]
    use crate::subscription::Subscription;
    #[pymodule_export]
    use crate::values::{QueryItem, RawEvent, SequencedEvent};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python gives it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    const MAX_BATCH_BYTES: usize = counterpoint::MAX_BATCH_BYTES;
    #[pymodule_export]
    const MAX_BATCH_EVENTS: usize = counterpoint::MAX_BATCH_EVENTS;
    #[pymodule_export]
    const MAX_CONDITIONS: usize = counterpoint::MAX_CONDITIONS;
    #[pymodule_export]
    const MAX_DATA_BYTES: usize = counterpoint::MAX_DATA_BYTES;
    #[pymodule_export]
    const MAX_QUERY_ITEMS: usize = counterpoint::MAX_QUERY_ITEMS;
    #[pymodule_export]
    const MAX_TAGS: usize = counterpoint::MAX_TAGS;
    #[pymodule_export]
    const MAX_TEXT_BYTES: usize = counterpoint::MAX_TEXT_BYTES;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::fork::watch()?;
        crate::errors::add_defaults(module.py())
    }
}
