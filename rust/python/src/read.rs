//! Reads and the passes over them.

use std::sync::Arc;

use counterpoint::{Chunks, ReadError};
use pyo3::prelude::*;

use crate::feed::{Feed, Source};
use crate::handle::Handle;
use crate::values::SequencedEvent;

/// One read: iterable any number of times, always over the same snapshot. It keeps its store open.
#[pyclass(frozen, module = "counterpoint._engine")]
pub struct Read {
    handle: Arc<Handle>,
    read: counterpoint::Read,
}

impl Read {
    pub fn new(handle: Arc<Handle>, read: counterpoint::Read) -> Self {
        Self { handle, read }
    }
}

#[pymethods]
impl Read {
    /// The last position of the snapshot: nothing that this read does not see can appear at or below it.
    #[getter]
    fn head(&self) -> u64 {
        self.read.head()
    }

    fn __iter__(&self) -> PyResult<ReadIterator> {
        self.handle.check_process()?;
        Ok(ReadIterator { feed: Feed::new(Arc::clone(&self.handle), self.read.chunks()) })
    }
}

/// One pass over a read. Threads may share it: each event goes to one of them.
#[pyclass(frozen, module = "counterpoint._engine")]
pub struct ReadIterator {
    feed: Feed<Chunks>,
}

#[pymethods]
impl ReadIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<SequencedEvent>> {
        Ok(self.feed.next(py)?.map(SequencedEvent::from))
    }
}

impl Source for Chunks {
    fn next_chunk(&mut self) -> Result<Vec<counterpoint::SequencedEvent>, ReadError> {
        Chunks::next_chunk(self)
    }

    fn is_over(&self) -> bool {
        Chunks::is_over(self)
    }
}
