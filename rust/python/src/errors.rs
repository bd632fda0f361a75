//! The exceptions of the engine, and which one each error of the core becomes.

use std::io;
use std::path::Path;

use counterpoint::{AppendError, CopyError, InvalidInput, OpenError, ReadError};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyFileExistsError, PyFileNotFoundError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::conditions::Given;

/// The numbers of the errors that a file exists, and that it does not.
const EEXIST: i32 = 17;
const ENOENT: i32 = 2;

create_exception!(
    counterpoint,
    Error,
    PyException,
    "Base of every error of the library. Bad arguments are ValueError or TypeError, paths the OSError family."
);
create_exception!(
    counterpoint,
    StorageError,
    Error,
    "The storage under the log failed. errno is the operating system's error number, None if there is none."
);
create_exception!(
    counterpoint,
    CorruptionError,
    StorageError,
    "Acknowledged bytes are not what was written: file, within the store, and offset say where. Nothing was changed."
);
create_exception!(
    counterpoint,
    PoisonedError,
    StorageError,
    "A write failed earlier: nothing can be appended until the store is closed and opened again."
);
create_exception!(counterpoint, StoreClosed, Error, "The store is closed.");
create_exception!(
    counterpoint,
    StoreLocked,
    Error,
    "The store is open elsewhere: in the process pid, which may be this one, or None if it cannot be told."
);

/// Gives every exception its attributes, also one that was not raised here.
pub fn add_defaults(py: Python<'_>) -> PyResult<()> {
    py.get_type::<StorageError>().setattr("errno", py.None())?;
    py.get_type::<CorruptionError>().setattr("file", "")?;
    py.get_type::<CorruptionError>().setattr("offset", 0)?;
    py.get_type::<StoreLocked>().setattr("pid", py.None())
}

pub fn invalid(error: InvalidInput) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub fn closed() -> PyErr {
    StoreClosed::new_err("the store is closed")
}

/// A store that came here through a fork.
pub fn inherited() -> PyErr {
    StorageError::new_err("the store was opened before fork: open stores after forking")
}

/// A store that was opened to be read only: what Python's files raise when they are not writable, which is an OSError and a
/// ValueError. Nothing is wrong with the storage.
pub fn read_only(attempt: &str) -> PyErr {
    let text = format!("the store was opened with read_only=True: to {attempt}, open it without");
    let make = |py: Python<'_>| -> PyResult<PyErr> {
        Ok(PyErr::from_value(py.import("io")?.getattr("UnsupportedOperation")?.call1((text,))?))
    };
    Python::attach(make).unwrap_or_else(|error| error)
}

/// What became of an append under the given conditions.
pub fn append(py: Python<'_>, error: AppendError, given: &Given) -> PyErr {
    match error {
        AppendError::Conflict(conflict) => given.refused(py, conflict).unwrap_or_else(|trouble| trouble),
        AppendError::Invalid(error) => invalid(error),
        AppendError::Closed => closed(),
        AppendError::ReadOnly => read_only("append"),
        AppendError::Storage(error) => storage(error),
    }
}

pub fn read(error: ReadError) -> PyErr {
    match error {
        ReadError::Invalid(error) => invalid(error),
        ReadError::Closed => closed(),
        ReadError::ReadOnly => read_only("set a cursor"),
        ReadError::Storage(error) => storage(error),
    }
}

pub fn storage(error: counterpoint::StorageError) -> PyErr {
    let text = error.to_string();
    storage_with(text, error)
}

fn storage_with(text: String, error: counterpoint::StorageError) -> PyErr {
    match error {
        counterpoint::StorageError::Io { source, .. } => {
            with_attribute(StorageError::new_err(text), "errno", source.raw_os_error())
        }
        counterpoint::StorageError::Corrupt(at) => corrupt(text, at),
        counterpoint::StorageError::Poisoned { .. } => PoisonedError::new_err(text),
    }
}

fn corrupt(text: String, at: counterpoint::Corruption) -> PyErr {
    let error = with_attribute(CorruptionError::new_err(text), "file", at.file);
    with_attribute(error, "offset", at.offset)
}

/// What went wrong at opening `directory`, None for a store in memory.
pub fn open(directory: Option<&Path>, error: OpenError) -> PyErr {
    let text = match directory {
        Some(directory) => format!("{}: {error}", directory.display()),
        None => error.to_string(),
    };
    match error {
        OpenError::Path { path, source } => Python::attach(|py| path_error(py, &path, &source)),
        OpenError::Locked { pid, .. } => with_attribute(StoreLocked::new_err(text), "pid", pid),
        OpenError::Unfinished => StorageError::new_err(text),
        OpenError::InvalidOption(text) => PyValueError::new_err(text),
        OpenError::NoStore => Python::attach(|py| no_store(py, directory)),
        OpenError::Storage(error) => storage_with(text, error),
    }
}

/// The OSError family's word for what is not there.
fn no_store(py: Python<'_>, directory: Option<&Path>) -> PyErr {
    let text = "there is no store in this directory, and read_only=True makes none";
    let arguments = (libc::ENOENT, text, directory.map(Path::as_os_str));
    match py.get_type::<PyOSError>().call1(arguments) {
        Ok(error) => PyErr::from_value(error),
        Err(trouble) => trouble,
    }
}

/// What went wrong at making or looking at a copy in `directory`.
pub fn copy(directory: &Path, error: CopyError) -> PyErr {
    let said = error.to_string();
    let text = format!("{}: {said}", directory.display());
    let named = |errno: i32| (errno, said.clone(), directory.as_os_str().to_owned());
    match error {
        CopyError::Path { path, source } => Python::attach(|py| path_error(py, &path, &source)),
        CopyError::Inside { .. } => PyValueError::new_err(said),
        CopyError::NotEmpty { .. } => PyFileExistsError::new_err(named(EEXIST)),
        CopyError::NoStore => PyFileNotFoundError::new_err(named(ENOENT)),
        CopyError::InUse | CopyError::SourceOpen => StoreLocked::new_err(text),
        CopyError::Closed => closed(),
        CopyError::BrokenOff => StorageError::new_err(text),
        CopyError::Unverified { first, .. } => corrupt(text, first),
        // Which of the two stores it is about is in the text.
        CopyError::Storage(error) => storage_with(said, error),
    }
}

/// The member of the OSError family that stands for the error number; without a number, for the kind of error.
fn path_error(py: Python<'_>, path: &Path, source: &io::Error) -> PyErr {
    let Some(errno) = source.raw_os_error() else {
        return match source.kind() {
            io::ErrorKind::InvalidInput => PyValueError::new_err(format!("path: {source}")),
            kind => io::Error::new(kind, format!("{}: {source}", path.display())).into(),
        };
    };
    let make = |family: Bound<'_, PyType>| -> PyResult<PyErr> {
        let text = py.import("os")?.call_method1("strerror", (errno,))?;
        Ok(PyErr::from_value(family.call1((errno, text, path.as_os_str()))?))
    };
    make(py.get_type::<PyOSError>()).unwrap_or_else(|error| error)
}

fn with_attribute<T>(error: PyErr, name: &str, value: T) -> PyErr
where
    T: for<'py> IntoPyObject<'py>,
{
    Python::attach(|py| match error.value(py).setattr(name, value) {
        Ok(()) => error,
        Err(trouble) => trouble,
    })
}
