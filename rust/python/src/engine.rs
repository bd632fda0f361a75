//! The store handle: every verb of the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use counterpoint::{BackupOptions, Durability, OpenError, Options, Query, ReadOptions, Store};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

use crate::answers::Answers;
use crate::arguments;
use crate::conditions::Conditions;
use crate::copies;
use crate::errors;
use crate::handle::Handle;
use crate::read::Read;
use crate::subscription::Subscription;
use crate::verify;

/// The longest that a wait keeps a signal, such as that of Ctrl-C, from its handler.
const WAIT_SLICE: Duration = Duration::from_millis(100);
/// How long the log may stay unsynced with durability "os".
const SYNC_INTERVAL: Duration = Duration::from_millis(50);

/// One open store, for any number of threads. It closes when the last of it, its reads and its subscriptions goes.
#[pyclass(frozen, module = "counterpoint._engine")]
pub struct Engine {
    handle: Arc<Handle>,
}

#[pymethods]
impl Engine {
    /// Open the store in a directory, which is made if need be.
    #[staticmethod]
    #[pyo3(
        signature = (
            path, *, durability="fsync", sync_interval=SYNC_INTERVAL, record_conditions=true, segment_bytes=None,
            read_cache_bytes=None, exclusive=false
        ),
        text_signature = "(path, *, durability='fsync', sync_interval=0.05, record_conditions=True, segment_bytes=None, read_cache_bytes=None, exclusive=False)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::path)] path: PathBuf,
        #[pyo3(from_py_with = arguments::durability)] durability: &str,
        #[pyo3(from_py_with = arguments::sync_interval)] sync_interval: Duration,
        record_conditions: bool,
        #[pyo3(from_py_with = arguments::segment_bytes)] segment_bytes: Option<u64>,
        #[pyo3(from_py_with = arguments::read_cache_bytes)] read_cache_bytes: Option<u64>,
        exclusive: bool,
    ) -> PyResult<Self> {
        let options = options(durability, sync_interval, record_conditions, segment_bytes, read_cache_bytes)?;
        let options = Options { exclusive, ..options };
        Self::new(py.detach(|| Store::open(&path, options)), Some(&path))
    }

    /// Open the store in a directory to read and follow it, changing nothing.
    #[staticmethod]
    #[pyo3(
        signature = (path, *, read_cache_bytes=None),
        text_signature = "(path, *, read_cache_bytes=None)"
    )]
    fn open_read_only(
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::path)] path: PathBuf,
        #[pyo3(from_py_with = arguments::read_cache_bytes)] read_cache_bytes: Option<u64>,
    ) -> PyResult<Self> {
        let options = Options {
            read_only: true,
            read_cache_bytes: cache_bytes(read_cache_bytes),
            ..Options::default()
        };
        Self::new(py.detach(|| Store::open(&path, options)), Some(&path))
    }

    /// Open a new store in memory. It is the same engine, and takes the same options.
    #[staticmethod]
    #[pyo3(
        signature = (
            *, durability="fsync", sync_interval=SYNC_INTERVAL, record_conditions=true, segment_bytes=None,
            read_cache_bytes=None
        ),
        text_signature = "(*, durability='fsync', sync_interval=0.05, record_conditions=True, segment_bytes=None, read_cache_bytes=None)"
    )]
    fn open_memory(
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::durability)] durability: &str,
        #[pyo3(from_py_with = arguments::sync_interval)] sync_interval: Duration,
        record_conditions: bool,
        #[pyo3(from_py_with = arguments::segment_bytes)] segment_bytes: Option<u64>,
        #[pyo3(from_py_with = arguments::read_cache_bytes)] read_cache_bytes: Option<u64>,
    ) -> PyResult<Self> {
        let options = options(durability, sync_interval, record_conditions, segment_bytes, read_cache_bytes)?;
        Self::new(py.detach(|| Store::open_memory(options)), None)
    }

    /// Append the events as one batch, all or nothing, unless an event matches one of the conditions.
    ///
    /// Return the last position, durable as the store promises.
    #[pyo3(signature = (events, condition=None), text_signature = "($self, events, condition=None)")]
    fn append(
        &self,
        py: Python<'_>,
        events: &Bound<'_, PyAny>,
        condition: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let Conditions { core, given } = Conditions::from_python(condition)?;
        // Before an iterable is consumed for nothing.
        let store = self.store_to_append_to()?;
        let events = arguments::events(events)?;
        let appended = py.detach(|| store.append(events, core));
        appended.map_err(|error| errors::append(py, error, &given))
    }

    /// Queue the events as append does, and return at once. Answers resolve the future, which is of their loop: with the
    /// position, or with an exception for whatever is not raised here.
    fn submit(
        &self,
        py: Python<'_>,
        events: &Bound<'_, PyAny>,
        condition: Option<&Bound<'_, PyAny>>,
        answers: &Bound<'_, Answers>,
        future: Py<PyAny>,
    ) -> PyResult<()> {
        let Conditions { core, given } = Conditions::from_python(condition)?;
        let store = self.store_to_append_to()?;
        let answers = answers.get();
        answers.check_process()?;
        let events = arguments::events(events)?;
        answers.expect(py, future, given, |inbox, id| store.submit(events, core, inbox, id))
    }

    /// Take a snapshot and read what matches one of the items, None for everything, from it.
    #[pyo3(
        signature = (items=Query::All, *, after=0, until=None, reverse=false, limit=None),
        text_signature = "($self, items=None, *, after=0, until=None, reverse=False, limit=None)"
    )]
    fn read(
        &self,
        #[pyo3(from_py_with = arguments::query)] items: Query,
        #[pyo3(from_py_with = arguments::after)] after: u64,
        #[pyo3(from_py_with = arguments::until)] until: Option<u64>,
        reverse: bool,
        #[pyo3(from_py_with = arguments::limit)] limit: Option<u64>,
    ) -> PyResult<Read> {
        let options = ReadOptions { after, until, reverse, limit };
        let read = self.handle.store()?.read(items, options).map_err(errors::read)?;
        Ok(Read::new(Arc::clone(&self.handle), read))
    }

    /// Take the matching events past a position as they come.
    #[pyo3(
        signature = (items=Query::All, *, after=0),
        text_signature = "($self, items=None, *, after=0)"
    )]
    fn subscribe(
        &self,
        #[pyo3(from_py_with = arguments::query)] items: Query,
        #[pyo3(from_py_with = arguments::after)] after: u64,
    ) -> PyResult<Subscription> {
        let subscription = self.handle.store()?.subscribe(items, after).map_err(errors::read)?;
        Ok(Subscription::new(Arc::clone(&self.handle), subscription))
    }

    /// Return the last position, 0 for an empty store.
    fn head(&self) -> PyResult<u64> {
        self.handle.store()?.head().map_err(errors::read)
    }

    /// Wait until the head is past a position, and return it; at most after if the time ran out.
    #[pyo3(signature = (after, timeout=None))]
    fn wait(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::after)] after: u64,
        #[pyo3(from_py_with = arguments::timeout)] timeout: Option<Duration>,
    ) -> PyResult<u64> {
        let store = self.handle.store()?;
        // What a clock cannot hold is as good as for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let slice = left.map_or(WAIT_SLICE, |left| left.min(WAIT_SLICE));
            let head = py.detach(|| store.wait(after, slice)).map_err(errors::read)?;
            py.check_signals()?;
            if head > after || left == Some(slice) {
                return Ok(head);
            }
        }
    }

    /// Return the position of a cursor, 0 if it was never set.
    fn get_cursor(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::cursor_name)] name: &str,
    ) -> PyResult<u64> {
        let store = self.handle.store()?;
        py.detach(|| store.get_cursor(name)).map_err(errors::read)
    }

    /// Set a cursor, durably, if nothing is expected or it stands there; return whether it was set.
    #[pyo3(signature = (name, position, expected=None))]
    fn set_cursor(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::cursor_name)] name: &str,
        #[pyo3(from_py_with = arguments::position)] position: u64,
        #[pyo3(from_py_with = arguments::expected)] expected: Option<u64>,
    ) -> PyResult<bool> {
        let store = self.handle.store()?;
        py.detach(|| store.set_cursor(name, position, expected)).map_err(errors::read)
    }

    /// Return figures about the store: head, segments, log_bytes, index_files, index_bytes, types.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let store = self.handle.store()?;
        let stats = py.detach(|| store.stats()).map_err(errors::read)?;
        [
            ("head", stats.head),
            ("segments", stats.segments),
            ("log_bytes", stats.log_bytes),
            ("types", stats.types),
            ("index_files", stats.index_files),
            ("index_bytes", stats.index_bytes),
        ]
        .into_py_dict(py)
    }

    /// Verify the store up to its head; return counts by name and findings as (kind, file, offset, position, what).
    ///
    /// The callable progress gets the bytes that are behind and all there are, again and again.
    #[pyo3(signature = (progress=None))]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = arguments::progress)] progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<verify::Verified<'py>> {
        verify::verify(py, self.open_store()?, progress.as_ref())
    }

    /// Return first and last position of the batch that holds an event, its time, and its conditions as (items, after).
    fn why<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = arguments::position)] position: u64,
    ) -> PyResult<verify::Explained<'py>> {
        verify::why(py, self.handle.store()?, position)
    }

    /// Copy the store to a new directory, up to its head; return counts by name, and the verification of the copy if wanted.
    #[pyo3(signature = (path, *, copy=false, verify=false))]
    fn backup<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = arguments::path)] path: PathBuf,
        copy: bool,
        verify: bool,
    ) -> PyResult<copies::BackedUp<'py>> {
        copies::backup(py, self.open_store()?, &path, BackupOptions { copy, verify })
    }

    /// Close the store. Closing again does nothing, nor does closing what a parent process opened.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.handle.is_inherited() {
            return Ok(());
        }
        py.detach(|| self.handle.close()).map_err(errors::storage)
    }

    /// Whether the store can no longer be used in this process.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.store().map_or(true, Store::is_closed)
    }
}

impl Engine {
    fn new(opened: Result<Store, OpenError>, directory: Option<&Path>) -> PyResult<Self> {
        let store = opened.map_err(|error| errors::open(directory, error))?;
        Ok(Self { handle: Arc::new(Handle::new(store)) })
    }

    fn store_to_append_to(&self) -> PyResult<&Store> {
        let store = self.open_store()?;
        if store.is_read_only() { Err(errors::read_only("append")) } else { Ok(store) }
    }

    fn open_store(&self) -> PyResult<&Store> {
        let store = self.handle.store()?;
        if store.is_closed() { Err(errors::closed()) } else { Ok(store) }
    }
}

fn options(
    durability: &str,
    sync_interval: Duration,
    record_conditions: bool,
    segment_bytes: Option<u64>,
    read_cache_bytes: Option<u64>,
) -> PyResult<Options> {
    let durability = match durability {
        "fsync" => Durability::Fsync,
        "os" => Durability::Os { sync_interval },
        other => {
            let text = format!("durability must be \"fsync\" or \"os\", not {other:?}");
            return Err(PyValueError::new_err(text));
        }
    };
    let segment_bytes = segment_bytes.unwrap_or(Options::default().segment_bytes);
    let read_cache_bytes = cache_bytes(read_cache_bytes);
    Ok(Options { durability, record_conditions, segment_bytes, read_cache_bytes, ..Options::default() })
}

fn cache_bytes(given: Option<u64>) -> usize {
    given.map_or(Options::default().read_cache_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}
