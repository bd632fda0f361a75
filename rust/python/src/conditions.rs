//! Append conditions, from Python and back: the class is Python's, what is checked is the core's.

use counterpoint::{AppendCondition, Conflict, MAX_CONDITIONS};
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use crate::arguments;

static CONDITION: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static REFUSED: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The conditions of one append, as the core takes them and as they were given.
pub struct Conditions {
    pub core: Vec<AppendCondition>,
    pub given: Given,
}

/// The conditions as they were given, for the exception that names the broken one.
pub struct Given(Option<Py<PyAny>>);

impl Conditions {
    /// From nothing, one condition, or an iterable of them.
    pub fn from_python(given: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(given) = given else { return Ok(Self { core: Vec::new(), given: Given(None) }) };
        let class = CONDITION.import(given.py(), "counterpoint.query", "AppendCondition")?;
        if given.is_instance(class)? {
            return Ok(Self { core: vec![one(given)?], given: Given(Some(given.clone().unbind())) });
        }
        let mut elements = Vec::new();
        let core =
            arguments::collect("condition", "AppendCondition", MAX_CONDITIONS, given, |_, element| {
                if !element.is_instance(class)? {
                    let found = arguments::type_name(&element);
                    return Err(PyTypeError::new_err(format!(
                        "a condition must be an AppendCondition, not {found}"
                    )));
                }
                let condition = one(&element)?;
                elements.push(element);
                Ok(condition)
            })?;
        let given = PyTuple::new(given.py(), elements)?.into_any().unbind();
        Ok(Self { core, given: Given(Some(given)) })
    }
}

impl Given {
    /// The exception for an append that was refused.
    pub fn refused(&self, py: Python<'_>, conflict: Conflict) -> PyResult<PyErr> {
        let class = REFUSED.import(py, "counterpoint.errors", "AppendConditionFailed")?;
        let broken = match &self.0 {
            Some(given) => match given.bind(py).cast::<PyTuple>() {
                Ok(several) => several.get_item(conflict.condition)?,
                Err(_) => given.bind(py).clone(),
            },
            None => py.None().into_bound(py),
        };
        Ok(PyErr::from_value(class.call1((conflict.position, broken))?))
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// A condition whose parts its own class has checked.
fn one(condition: &Bound<'_, PyAny>) -> PyResult<AppendCondition> {
    let py = condition.py();
    let query = condition.getattr(intern!(py, "query"))?;
    let items = query.getattr(intern!(py, "_items"))?;
    let after = condition.getattr(intern!(py, "after"))?;
    Ok(AppendCondition {
        query: arguments::named_query("condition.items", &items)?,
        after: arguments::natural("condition.after", &after)?,
    })
}
