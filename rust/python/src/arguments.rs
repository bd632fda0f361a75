//! From Python arguments to values of the core. Every error names the argument.

#![expect(
    clippy::needless_lifetimes,
    reason = "one macro makes the converters that borrow and those that do not"
)]

use std::path::PathBuf;
use std::time::Duration;

use counterpoint::{Event, InvalidInput, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_QUERY_ITEMS, Query};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};
use uuid::Uuid;

use crate::errors;
use crate::values::{QueryItem, RawEvent};

type Any<'py> = Bound<'py, PyAny>;

/// Longest `sync_interval`, in seconds.
const MAX_SYNC_INTERVAL: f64 = 3600.0;

/// Makes a converter for `from_py_with` of each argument, which cannot pass on the argument's name.
macro_rules! arguments {
    ($($function:ident = $convert:ident($name:literal) -> $value:ty;)*) => {
        $(pub fn $function<'a>(given: &'a Any<'_>) -> PyResult<$value> {
            $convert($name, given)
        })*
    };
}

arguments! {
    event_type = text("type") -> &'a str;
    data = bytes("data") -> &'a [u8];
    metadata = optional_bytes("metadata") -> Option<&'a [u8]>;
    tags = texts("tags") -> Vec<PyBackedStr>;
    types = texts("types") -> Vec<PyBackedStr>;
    id = optional_uuid("id") -> Option<Uuid>;
    position = natural("position") -> u64;
    recorded_at = natural("recorded_at") -> u64;
    after = natural("after") -> u64;
    until = optional_natural("until") -> Option<u64>;
    expected = optional_natural("expected") -> Option<u64>;
    limit = optional_positive("limit") -> Option<u64>;
    segment_bytes = optional_natural("segment_bytes") -> Option<u64>;
    read_cache_bytes = optional_natural("read_cache_bytes") -> Option<u64>;
    durability = text("durability") -> &'a str;
    cursor_name = text("name") -> &'a str;
}

/// A list of query items, or None for the query that matches every event.
pub fn query(given: &Any<'_>) -> PyResult<Query> {
    named_query("items", given)
}

/// The events of one batch, from any iterable. Stops at the first that would make the batch too large.
pub fn events(given: &Any<'_>) -> PyResult<Vec<Event>> {
    // Nearly always a list, which saves looking for a method.
    let iterable =
        given.is_instance_of::<PyList>() || given.hasattr("__iter__")? || given.hasattr("__getitem__")?;
    if given.is_instance_of::<RawEvent>() || !iterable {
        return Err(wrong_type(
            "events",
            "an iterable of RawEvent (typed events go to a ReadAppender)",
            given,
        ));
    }
    let mut bytes = 0;
    collect("events", "RawEvent", MAX_BATCH_EVENTS, given, |index, element| {
        let Ok(event) = element.cast::<RawEvent>() else {
            return Err(not_raw(&element_name("events", index), &element));
        };
        let event = event.get().event();
        bytes += event.encoded().len();
        if bytes > MAX_BATCH_BYTES {
            let (what, value, limit) = ("bytes of a batch", bytes, MAX_BATCH_BYTES);
            return Err(errors::invalid(InvalidInput::AboveLimit { what, value, limit }));
        }
        Ok(event.clone())
    })
}

fn not_raw(name: &str, given: &Any<'_>) -> PyErr {
    let found = type_name(given);
    PyTypeError::new_err(format!(
        "append takes RawEvent, but {name} is {found}: append typed events with ReadAppender.append_event"
    ))
}

/// A path as Python takes it, of str.
pub fn path(given: &Any<'_>) -> PyResult<PathBuf> {
    given.extract().map_err(|error| refused("path", "a str or os.PathLike of str", given, error))
}

/// The path of what is to be made, in the same form.
pub fn new_path(given: &Any<'_>) -> PyResult<PathBuf> {
    given.extract().map_err(|error| refused("new", "a str or os.PathLike of str", given, error))
}

/// What is called with how far something has come; None for nobody.
pub fn progress<'py>(given: &Any<'py>) -> PyResult<Option<Any<'py>>> {
    match given {
        given if given.is_none() => Ok(None),
        given if given.is_callable() => Ok(Some(given.clone())),
        given => Err(wrong_type("progress", "a callable or None", given)),
    }
}

/// Seconds to wait; None for ever.
pub fn timeout(given: &Any<'_>) -> PyResult<Option<Duration>> {
    if given.is_none() {
        return Ok(None);
    }
    let seconds = seconds("timeout", given)?;
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("timeout must be 0 or more seconds, not {given}")));
    }
    // What does not fit is longer than anybody waits.
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// Seconds between two syncs.
pub fn sync_interval(given: &Any<'_>) -> PyResult<Duration> {
    let seconds = seconds("sync_interval", given)?;
    let refused = || {
        let text =
            format!("sync_interval must be above 0 and at most {MAX_SYNC_INTERVAL} seconds, not {given}");
        PyValueError::new_err(text)
    };
    if !(seconds > 0.0 && seconds <= MAX_SYNC_INTERVAL) {
        return Err(refused());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

pub fn named_query(name: &str, given: &Any<'_>) -> PyResult<Query> {
    if given.is_none() {
        return Ok(Query::All);
    }
    let items = collect(name, "QueryItem", MAX_QUERY_ITEMS, given, |index, element| {
        match element.cast::<QueryItem>() {
            Ok(item) => Ok(item.get().item().clone()),
            Err(_) => Err(wrong_type(&element_name(name, index), "a QueryItem", &element)),
        }
    })?;
    Query::items(items).map_err(errors::invalid)
}

/// Converts each element of an iterable, at most `limit` of them, so that an endless one ends too.
pub fn collect<'py, T>(
    name: &str,
    of: &str,
    limit: usize,
    given: &Any<'py>,
    mut convert: impl FnMut(usize, Any<'py>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let iterable = || format!("an iterable of {of}");
    // A string is an iterable of strings: "ab" would quietly become "a" and "b".
    if given.is_instance_of::<PyString>() {
        return Err(wrong_type(name, &iterable(), given));
    }
    let length = given.len();
    let mut values = Vec::with_capacity(*length.as_ref().unwrap_or(&0).min(&limit));
    let mut add = |element| {
        if values.len() == limit {
            let count = length.as_ref().map_or_else(|_| format!("more than {limit}"), ToString::to_string);
            let text = format!("{name} has {count} elements: the limit is {limit}");
            return Err(PyValueError::new_err(text));
        }
        values.push(convert(values.len(), element)?);
        Ok(())
    };
    // The usual two without an iterator, which costs more than the elements do.
    if let Ok(list) = given.cast_exact::<PyList>() {
        list.iter().try_for_each(add)?;
    } else if let Ok(tuple) = given.cast_exact::<PyTuple>() {
        tuple.iter().try_for_each(add)?;
    } else {
        let elements = given.try_iter().map_err(|error| refused(name, &iterable(), given, error))?;
        for element in elements {
            add(element?)?;
        }
    }
    Ok(values)
}

fn texts(name: &str, given: &Any<'_>) -> PyResult<Vec<PyBackedStr>> {
    collect(name, "str", MAX_QUERY_ITEMS, given, |index, element| match element.extract::<PyBackedStr>() {
        Ok(text) => Ok(text),
        Err(error) => Err(text_error(&element_name(name, index), &element, error)),
    })
}

fn text<'a>(name: &str, given: &'a Any<'_>) -> PyResult<&'a str> {
    given.extract::<&str>().map_err(|error| text_error(name, given, error))
}

fn text_error(name: &str, given: &Any<'_>, error: PyErr) -> PyErr {
    if !given.is_instance_of::<PyString>() {
        return wrong_type(name, "a str", given);
    }
    let shown = given.repr().map_or_else(|_| String::new(), |repr| repr.to_string());
    let refused =
        PyValueError::new_err(format!("{name} cannot be stored as UTF-8: {shown} has a lone surrogate"));
    refused.set_cause(given.py(), Some(error));
    refused
}

fn bytes<'a>(name: &str, given: &'a Any<'_>) -> PyResult<&'a [u8]> {
    match given.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) if given.is_instance_of::<PyString>() => {
            Err(PyTypeError::new_err(format!("{name} must be bytes, not str: encode it, as with .encode()")))
        }
        Err(_) => {
            let found = type_name(given);
            let binary = given.is_instance_of::<PyByteArray>() || given.is_instance_of::<PyMemoryView>();
            let way = if binary {
                "convert it with bytes(...)"
            } else {
                "encode it, as with json.dumps(...).encode()"
            };
            Err(PyTypeError::new_err(format!("{name} must be bytes, not {found}: {way}")))
        }
    }
}

fn optional_bytes<'a>(name: &str, given: &'a Any<'_>) -> PyResult<Option<&'a [u8]>> {
    optional(given, |given| bytes(name, given))
}

fn optional_uuid(name: &str, given: &Any<'_>) -> PyResult<Option<Uuid>> {
    optional(given, |given| given.extract().map_err(|_| wrong_type(name, "a uuid.UUID or None", given)))
}

/// An int from 0; what is above 64 bits is as good as the largest position.
pub fn natural(name: &str, given: &Any<'_>) -> PyResult<u64> {
    at_least(0, name, given)
}

fn optional_natural(name: &str, given: &Any<'_>) -> PyResult<Option<u64>> {
    optional(given, |given| at_least(0, name, given))
}

fn optional_positive(name: &str, given: &Any<'_>) -> PyResult<Option<u64>> {
    optional(given, |given| at_least(1, name, given))
}

fn at_least(least: u64, name: &str, given: &Any<'_>) -> PyResult<u64> {
    if !given.is_instance_of::<PyInt>() || given.is_instance_of::<PyBool>() {
        return Err(wrong_type(name, "an int", given));
    }
    match given.extract::<u64>() {
        Ok(value) if value >= least => Ok(value),
        Err(_) if given.gt(least)? => Ok(u64::MAX),
        _ => Err(PyValueError::new_err(format!("{name} must be {least} or more, not {given}"))),
    }
}

fn seconds(name: &str, given: &Any<'_>) -> PyResult<f64> {
    let number = given.is_instance_of::<PyFloat>() || given.is_instance_of::<PyInt>();
    if !number || given.is_instance_of::<PyBool>() {
        return Err(wrong_type(name, "a number of seconds", given));
    }
    match given.extract() {
        Ok(seconds) => Ok(seconds),
        // An int beyond all floats.
        Err(_) => Ok(if given.gt(0)? { f64::INFINITY } else { f64::NEG_INFINITY }),
    }
}

fn optional<'a, 'py, T>(
    given: &'a Any<'py>,
    convert: impl FnOnce(&'a Any<'py>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    if given.is_none() { Ok(None) } else { convert(given).map(Some) }
}

fn element_name(name: &str, index: usize) -> String {
    format!("{name}[{index}]")
}

fn wrong_type(name: &str, expected: &str, given: &Any<'_>) -> PyErr {
    PyTypeError::new_err(format!("{name} must be {expected}, not {}", type_name(given)))
}

/// The same with the cause; an error of another kind, which the argument's own code raised, stays as it is.
fn refused(name: &str, expected: &str, given: &Any<'_>, cause: PyErr) -> PyErr {
    let py = given.py();
    if !cause.is_instance_of::<PyTypeError>(py) {
        return cause;
    }
    let error = wrong_type(name, expected, given);
    error.set_cause(py, Some(cause));
    error
}

pub fn type_name(given: &Any<'_>) -> String {
    given.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}
