//! Backups, and what can be had of a store that cannot be opened.

use std::path::{Path, PathBuf};

use counterpoint::{Backup, BackupOptions, Damage, Inspect, Inspection, Salvage, Store};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::verify::{Verified, verified};
use crate::{arguments, errors};

/// The counts of a backup by name, and its verification.
pub type BackedUp<'py> = (Bound<'py, PyDict>, Option<Verified<'py>>);
/// What an inspection found by name, and the damages: file, offset, position and what.
pub type Inspected<'py> = (Bound<'py, PyDict>, Vec<(String, u64, Option<u64>, String)>);
/// An inspection, the cursors that were set back, and the verification of what was written.
pub type Salvaged<'py> = (Inspected<'py>, Vec<String>, Verified<'py>);

/// Backs a store up, a piece at a time. Between two of them signals are handled; what a handler raises ends the backup.
pub fn backup<'py>(
    py: Python<'py>,
    store: &Store,
    path: &Path,
    options: BackupOptions,
) -> PyResult<BackedUp<'py>> {
    let told = |error| errors::copy(path, error);
    let mut under_way = py.detach(|| store.backup(path, options)).map_err(told)?;
    let come_to = loop {
        if let Some(come_to) = py.detach(|| Backup::step(&mut under_way)).map_err(told)? {
            break come_to;
        }
        py.check_signals()?;
    };
    let counts = PyDict::new(py);
    let named = [
        ("head", come_to.head),
        ("segments", come_to.segments),
        ("index_files", come_to.index_files),
        ("copied_bytes", come_to.copied_bytes),
        ("cloned_bytes", come_to.cloned_bytes),
        ("linked_bytes", come_to.linked_bytes),
    ];
    for (name, count) in named {
        counts.set_item(name, count)?;
    }
    Ok((counts, come_to.verification.map(|verification| verified(py, verification)).transpose()?))
}

/// Look at the store in a directory without opening it; return what it holds by name, and damages as (file, offset,
/// position, what).
///
/// The callable progress gets the bytes that are behind and all there are, again and again.
#[pyfunction]
#[pyo3(signature = (path, progress=None))]
pub fn inspect<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = arguments::path)] path: PathBuf,
    #[pyo3(from_py_with = arguments::progress)] progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Inspected<'py>> {
    let told = |error| errors::copy(&path, error);
    let mut under_way = py.detach(|| Inspect::at(&path)).map_err(told)?;
    while py.detach(|| under_way.step()).map_err(told)? {
        tell(py, progress.as_ref(), under_way.progress())?;
    }
    inspected(py, under_way.result())
}

/// Write the events up to the first that is lost to a new store; return the inspection, the cursors set back, and the
/// verification of the new store.
#[pyfunction]
#[pyo3(signature = (path, new, progress=None))]
pub fn salvage<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = arguments::path)] path: PathBuf,
    #[pyo3(from_py_with = arguments::new_path)] new: PathBuf,
    #[pyo3(from_py_with = arguments::progress)] progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Salvaged<'py>> {
    let inspect = py.detach(|| Inspect::at(&path)).map_err(|error| errors::copy(&path, error))?;
    let told = |error| errors::copy(&new, error);
    let mut under_way = py.detach(|| Salvage::begin(inspect, &new)).map_err(told)?;
    let come_to = loop {
        if let Some(come_to) = py.detach(|| under_way.step()).map_err(told)? {
            break come_to;
        }
        match under_way.progress() {
            Some(come) => tell(py, progress.as_ref(), come)?,
            None => py.check_signals()?,
        }
    };
    let verification = verified(py, come_to.verification)?;
    Ok((inspected(py, come_to.inspection)?, come_to.cursors_set_back, verification))
}

fn tell(py: Python<'_>, progress: Option<&Bound<'_, PyAny>>, come: (u64, u64)) -> PyResult<()> {
    py.check_signals()?;
    progress.map_or(Ok(()), |progress| progress.call1(come).map(drop))
}

fn inspected(py: Python<'_>, inspection: Inspection) -> PyResult<Inspected<'_>> {
    let found = PyDict::new(py);
    found.set_item("segments", PyTuple::new(py, inspection.segments)?)?;
    found.set_item("cursors", inspection.cursors)?;
    found.set_item("durable", inspection.durable)?;
    found.set_item("loses_events", inspection.loses_events)?;
    found.set_item("unfinished", inspection.is_unfinished)?;
    let named = [
        ("log_bytes", inspection.log_bytes),
        ("head", inspection.head),
        ("batches", inspection.batches),
        ("readable_after", inspection.readable_after),
        ("last_readable", inspection.last_readable),
        ("damage_count", inspection.damage_count),
    ];
    for (name, count) in named {
        found.set_item(name, count)?;
    }
    let damage = |Damage { file, offset, position, what }| (file, offset, position, what);
    Ok((found, inspection.damages.into_iter().map(damage).collect()))
}
