//! Events and query items as Python values: immutable, comparable, hashable, picklable.

use counterpoint::{Event, EventView};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};
use uuid::Uuid;

use crate::arguments;
use crate::errors;

/// Data longer than this is left out of a repr, in bytes.
const MAX_SHOWN_BYTES: usize = 256;

/// An event to append, as bytes: type, data, tags, and optionally metadata and an id.
///
/// Type and tags have 1 to 255 bytes of UTF-8, data and metadata at most 16 MiB, and there are at most 64 tags, of
/// which repeated ones are dropped. Raises ValueError for what is beyond, TypeError for what is no str or bytes.
#[pyclass(frozen, eq, hash, module = "counterpoint")]
#[derive(PartialEq, Eq, Hash)]
pub struct RawEvent(Event);

/// An event of the log: a RawEvent's parts, its position, and when it was recorded.
///
/// recorded_at is in microseconds since the Unix epoch, UTC.
#[pyclass(frozen, eq, hash, module = "counterpoint")]
#[derive(PartialEq, Eq, Hash)]
pub struct SequencedEvent(counterpoint::SequencedEvent);

/// One alternative of a query: any of the types, and all of the tags; an empty side does not restrict.
///
/// Raises ValueError if both are empty.
#[pyclass(frozen, eq, hash, module = "counterpoint")]
#[derive(PartialEq, Eq, Hash)]
pub struct QueryItem(counterpoint::QueryItem);

/// A refused append: the position of one conflicting event, and the index of the condition it breaks.
#[pyclass(frozen, get_all, module = "counterpoint._engine")]
pub struct Conflict {
    position: u64,
    condition: usize,
}

#[pymethods]
impl RawEvent {
    #[new]
    #[pyo3(
        signature = (r#type, data, tags=Vec::new(), metadata=None, id=None),
        text_signature = "(type, data, tags=(), metadata=None, id=None)"
    )]
    fn new(
        r#type: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = arguments::data)] data: &[u8],
        #[pyo3(from_py_with = arguments::tags)] tags: Vec<PyBackedStr>,
        #[pyo3(from_py_with = arguments::metadata)] metadata: Option<&[u8]>,
        #[pyo3(from_py_with = arguments::id)] id: Option<Uuid>,
    ) -> PyResult<Self> {
        let event_type = arguments::event_type(r#type)?;
        Event::new(event_type, &tags, data, metadata, id).map(Self).map_err(errors::invalid)
    }

    /// The event type.
    #[getter]
    fn r#type(&self) -> &str {
        self.0.view().event_type
    }

    /// The payload.
    #[getter]
    fn data(&self) -> &[u8] {
        self.0.view().data
    }

    /// The tags in the order first given, without repetitions.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.view().tags.iter())
    }

    /// What is stored beside the payload, None if nothing was given.
    #[getter]
    fn metadata(&self) -> Option<&[u8]> {
        self.0.view().metadata
    }

    /// The identifier of the event, None if none was given.
    #[getter]
    fn id(&self) -> Option<Uuid> {
        self.0.view().id
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("RawEvent({})", shown(py, &self.0.view())?))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let EventView { event_type, tags, data, metadata, id } = self.0.view();
        let arguments = (event_type, data, PyTuple::new(py, tags.iter())?, metadata, id);
        Ok((py.get_type::<Self>(), arguments.into_pyobject(py)?))
    }
}

#[pymethods]
impl SequencedEvent {
    #[new]
    #[pyo3(
        signature = (position, r#type, data, tags=Vec::new(), metadata=None, id=None, recorded_at=0),
        text_signature = "(position, type, data, tags=(), metadata=None, id=None, recorded_at=0)"
    )]
    fn new(
        #[pyo3(from_py_with = arguments::position)] position: u64,
        r#type: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = arguments::data)] data: &[u8],
        #[pyo3(from_py_with = arguments::tags)] tags: Vec<PyBackedStr>,
        #[pyo3(from_py_with = arguments::metadata)] metadata: Option<&[u8]>,
        #[pyo3(from_py_with = arguments::id)] id: Option<Uuid>,
        #[pyo3(from_py_with = arguments::recorded_at)] recorded_at: u64,
    ) -> PyResult<Self> {
        let event_type = arguments::event_type(r#type)?;
        let event = Event::new(event_type, &tags, data, metadata, id).map_err(errors::invalid)?;
        Ok(Self(counterpoint::SequencedEvent { position, recorded_at, event }))
    }

    /// The place in the log: above that of every event before it.
    #[getter]
    fn position(&self) -> u64 {
        self.0.position
    }

    /// The event type.
    #[getter]
    fn r#type(&self) -> &str {
        self.0.event.view().event_type
    }

    /// The payload.
    #[getter]
    fn data(&self) -> &[u8] {
        self.0.event.view().data
    }

    /// The tags in the order first given, without repetitions.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.event.view().tags.iter())
    }

    /// What is stored beside the payload, None if nothing was given.
    #[getter]
    fn metadata(&self) -> Option<&[u8]> {
        self.0.event.view().metadata
    }

    /// The identifier of the event, None if none was given.
    #[getter]
    fn id(&self) -> Option<Uuid> {
        self.0.event.view().id
    }

    /// Microseconds since the Unix epoch, UTC; the same for all events of one append.
    #[getter]
    fn recorded_at(&self) -> u64 {
        self.0.recorded_at
    }

    /// Return position, type, data, tags, recorded_at, metadata and id, looking into the event once.
    fn _parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let counterpoint::SequencedEvent { position, recorded_at, event } = &self.0;
        let EventView { event_type, tags, data, metadata, id } = event.view();
        let tags = PyTuple::new(py, tags.iter())?;
        (*position, event_type, data, tags, *recorded_at, metadata, id).into_pyobject(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let counterpoint::SequencedEvent { position, recorded_at, event } = &self.0;
        let parts = shown(py, &event.view())?;
        Ok(format!("SequencedEvent(position={position}, {parts}, recorded_at={recorded_at})"))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let counterpoint::SequencedEvent { position, recorded_at, event } = &self.0;
        let EventView { event_type, tags, data, metadata, id } = event.view();
        let tags = PyTuple::new(py, tags.iter())?;
        let arguments = (*position, event_type, data, tags, metadata, id, *recorded_at);
        Ok((py.get_type::<Self>(), arguments.into_pyobject(py)?))
    }
}

#[pymethods]
impl QueryItem {
    #[new]
    #[pyo3(signature = (types=Vec::new(), tags=Vec::new()), text_signature = "(types=(), tags=())")]
    fn new(
        #[pyo3(from_py_with = arguments::types)] types: Vec<PyBackedStr>,
        #[pyo3(from_py_with = arguments::tags)] tags: Vec<PyBackedStr>,
    ) -> PyResult<Self> {
        counterpoint::QueryItem::new(&types, &tags).map(Self).map_err(errors::invalid)
    }

    /// The types, any of which will do; empty for every type.
    #[getter]
    fn types<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        texts(py, self.0.types())
    }

    /// The tags, all of which an event must have; empty for any tags.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        texts(py, self.0.tags())
    }

    /// Say whether an event of this type with these tags matches.
    fn matches(
        &self,
        r#type: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = arguments::tags)] tags: Vec<PyBackedStr>,
    ) -> PyResult<bool> {
        let event_type = arguments::event_type(r#type)?;
        // As the core's own predicate, which takes encoded events only.
        let type_matches = self.0.types().is_empty() || self.0.types().iter().any(|own| **own == *event_type);
        Ok(type_matches && self.0.tags().iter().all(|own| tags.iter().any(|tag| **own == **tag)))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (types, tags) = (texts(py, self.0.types())?, texts(py, self.0.tags())?);
        Ok(format!("QueryItem(types={}, tags={})", types.repr()?, tags.repr()?))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let arguments = (texts(py, self.0.types())?, texts(py, self.0.tags())?);
        Ok((py.get_type::<Self>(), arguments.into_pyobject(py)?))
    }
}

#[pymethods]
impl Conflict {
    fn __repr__(&self) -> String {
        format!("Conflict(position={}, condition={})", self.position, self.condition)
    }
}

impl RawEvent {
    pub fn event(&self) -> &Event {
        &self.0
    }
}

impl QueryItem {
    pub fn item(&self) -> &counterpoint::QueryItem {
        &self.0
    }
}

impl From<counterpoint::SequencedEvent> for SequencedEvent {
    fn from(event: counterpoint::SequencedEvent) -> Self {
        Self(event)
    }
}

impl From<counterpoint::Conflict> for Conflict {
    fn from(conflict: counterpoint::Conflict) -> Self {
        Self { position: conflict.position, condition: conflict.condition }
    }
}

fn texts<'py>(py: Python<'py>, texts: &[Box<str>]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, texts.iter().map(|text| &**text))
}

/// The parts of an event as the arguments of a repr; long bytes as their length.
fn shown(py: Python<'_>, event: &EventView<'_>) -> PyResult<String> {
    let bytes = |bytes: &[u8]| match bytes.len() {
        0..=MAX_SHOWN_BYTES => Ok(PyBytes::new(py, bytes).repr()?.to_string()),
        length => PyResult::Ok(format!("<{length} bytes>")),
    };
    let r#type = PyString::new(py, event.event_type).repr()?;
    let tags = PyTuple::new(py, event.tags.iter())?.repr()?;
    let mut shown = format!("type={type}, data={}, tags={tags}", bytes(event.data)?);
    if let Some(metadata) = event.metadata {
        shown += &format!(", metadata={}", bytes(metadata)?);
    }
    if let Some(id) = event.id {
        shown += &format!(", id={}", id.into_pyobject(py)?.repr()?);
    }
    Ok(shown)
}
