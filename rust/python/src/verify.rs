//! Verification, and why an event is in the log.

use counterpoint::{Finding, FindingKind, Query, Store, Verification};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::errors;
use crate::values::QueryItem;

/// The counts of a verification by name, and its findings: kind, file, offset, position and what.
pub type Verified<'py> = (Bound<'py, PyDict>, Vec<(&'static str, String, u64, Option<u64>, String)>);
/// First and last position, time, and conditions: items and position.
pub type Explained<'py> = (u64, u64, u64, Vec<(Option<Bound<'py, PyTuple>>, u64)>);

/// Verifies a store piece by piece. Between two of them signals are handled, and `progress` is called with the bytes that
/// are behind and all there are, if that has changed; what it raises ends the verification.
pub fn verify<'py>(
    py: Python<'py>,
    store: &Store,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Verified<'py>> {
    let mut under_way = py.detach(|| store.verify()).map_err(errors::read)?;
    let mut told = None;
    loop {
        let goes_on = py.detach(|| under_way.step()).map_err(errors::read)?;
        py.check_signals()?;
        let come = Some(under_way.progress());
        if let (Some(progress), Some(come)) = (progress, come.filter(|_| told != come)) {
            progress.call1(come)?;
        }
        told = come;
        if !goes_on {
            return verified(py, under_way.result());
        }
    }
}

/// A verification as Python takes it.
pub fn verified(py: Python<'_>, verification: Verification) -> PyResult<Verified<'_>> {
    let Verification { head, segments, batches, events, conditions, .. } = verification;
    let Verification { index_files, bytes, findings, finding_count, .. } = verification;
    let counts = PyDict::new(py);
    let named = [
        ("head", head),
        ("segments", segments),
        ("batches", batches),
        ("events", events),
        ("conditions", conditions),
        ("index_files", index_files),
        ("bytes", bytes),
        ("finding_count", finding_count),
    ];
    for (name, count) in named {
        counts.set_item(name, count)?;
    }
    let finding = |Finding { kind, file, offset, position, what }| {
        let kind = match kind {
            FindingKind::Log => "log",
            FindingKind::Condition => "condition",
            FindingKind::Index => "index",
        };
        (kind, file, offset, position, what)
    };
    Ok((counts, findings.into_iter().map(finding).collect()))
}

/// How the event at a position came to be in the log.
pub fn why<'py>(py: Python<'py>, store: &Store, position: u64) -> PyResult<Explained<'py>> {
    let why = py.detach(|| store.why(position)).map_err(errors::read)?;
    let mut conditions = Vec::with_capacity(why.conditions.len());
    for condition in why.conditions {
        let items = match &condition.query {
            Query::All => None,
            Query::Items(items) => Some(PyTuple::new(py, items.iter().cloned().map(QueryItem::from))?),
        };
        conditions.push((items, condition.after));
    }
    Ok((why.first, why.last, why.recorded_at, conditions))
}
