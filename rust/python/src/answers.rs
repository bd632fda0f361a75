//! Brings the answers to asynchronous appends into an event loop.
//!
//! Threads of the engine put answers into an inbox and make a socket readable. The loop watches the socket and then
//! calls back, in its own thread, to resolve the futures. So the engine's threads never ask for the interpreter, which
//! would cost them up to its switch interval (5 ms) each time, and cannot be caught by its end.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use counterpoint::{AppendError, Inbox};
use pyo3::exceptions::asyncio::InvalidStateError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::conditions::Given;
use crate::errors;
use crate::{UNPOISONED, fork};

type Answer = (u64, Result<u64, AppendError>);

/// The answers for one event loop, which watches fileno() and calls resolve() when it is readable.
#[pyclass(frozen, weakref, module = "counterpoint._engine")]
pub struct Answers {
    inbox: Arc<dyn Inbox>,
    arrived: Arc<Arrived>,
    waiting: Mutex<Waiting>,
    generation: u64,
}

/// What has been answered and not been resolved yet. Outlives the loop for as long as requests are under way.
#[derive(Debug)]
struct Arrived {
    answers: Mutex<Vec<Answer>>,
    /// Has a byte to read whenever there are answers.
    readable: UnixStream,
    signal: UnixStream,
}

/// The futures of the requests under way, by number.
#[derive(Default)]
struct Waiting {
    slots: Vec<Option<Waiter>>,
    free: Vec<u64>,
}

struct Waiter {
    future: Py<PyAny>,
    given: Given,
}

#[pymethods]
impl Answers {
    #[new]
    fn new() -> io::Result<Self> {
        let (readable, signal) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        signal.set_nonblocking(true)?;
        let arrived = Arc::new(Arrived { answers: Mutex::default(), readable, signal });
        Ok(Self {
            inbox: Arc::clone(&arrived) as Arc<dyn Inbox>,
            arrived,
            waiting: Mutex::default(),
            generation: fork::generation(),
        })
    }

    /// Return the descriptor that is readable when there are answers.
    fn fileno(&self) -> i32 {
        self.arrived.readable.as_raw_fd()
    }

    /// Resolve the futures whose answers have arrived. To be called in the thread of their loop.
    fn resolve(&self, py: Python<'_>) -> PyResult<()> {
        if self.check_process().is_err() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for (id, answer) in self.arrived.take()? {
            // The lock is not held while Python code runs, which may append.
            let waiter = self.waiting.lock().expect(UNPOISONED).remove(id);
            let resolved = waiter.map_or(Ok(()), |waiter| self.resolve_one(py, &waiter, answer));
            // The others are resolved all the same.
            outcome = outcome.and(resolved);
        }
        outcome
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(waiting) = self.waiting.try_lock() else { return Ok(()) };
        for waiter in waiting.slots.iter().flatten() {
            visit.call(&waiter.future)?;
            waiter.given.traverse(&visit)?;
        }
        Ok(())
    }
}

impl Answers {
    /// Makes a request of the future: calls `submit` with the inbox and number of its answer.
    pub fn expect(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        given: Given,
        submit: impl FnOnce(&Arc<dyn Inbox>, u64) -> Result<(), AppendError>,
    ) -> PyResult<()> {
        let id = self.waiting.lock().expect(UNPOISONED).add(Waiter { future, given });
        submit(&self.inbox, id).map_err(|error| {
            let waiter =
                self.waiting.lock().expect(UNPOISONED).remove(id).expect("it was added and has no answer");
            errors::append(py, error, &waiter.given)
        })
    }

    /// Refuses the loop of a parent process, whose socket this is too.
    pub fn check_process(&self) -> PyResult<()> {
        if self.generation == fork::generation() { Ok(()) } else { Err(errors::inherited()) }
    }

    fn resolve_one(&self, py: Python<'_>, waiter: &Waiter, answer: Result<u64, AppendError>) -> PyResult<()> {
        let future = waiter.future.bind(py);
        let resolved = match answer {
            Ok(position) => future.call_method1(intern!(py, "set_result"), (position,)),
            Err(error) => {
                let error = errors::append(py, error, &waiter.given).into_value(py);
                future.call_method1(intern!(py, "set_exception"), (error,))
            }
        };
        match resolved {
            // It was cancelled.
            Err(error) if error.is_instance_of::<InvalidStateError>(py) => Ok(()),
            resolved => resolved.map(drop),
        }
    }
}

impl Inbox for Arrived {
    fn deliver(&self, mut answers: Vec<Answer>) {
        let mut arrived = self.answers.lock().expect(UNPOISONED);
        if !arrived.is_empty() {
            arrived.append(&mut answers);
            return;
        }
        *arrived = answers;
        drop(arrived);
        // One byte until it is read, so there is room; both ends are open for as long as this is.
        drop((&self.signal).write(&[1]));
    }
}

impl Arrived {
    fn take(&self) -> io::Result<Vec<Answer>> {
        // Before taking: what arrives after that makes it readable again.
        match (&self.readable).read(&mut [0; 8]) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        Ok(mem::take(&mut *self.answers.lock().expect(UNPOISONED)))
    }
}

impl Waiting {
    fn add(&mut self, waiter: Waiter) -> u64 {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = Some(waiter);
            return id;
        }
        self.slots.push(Some(waiter));
        self.slots.len() as u64 - 1
    }

    fn remove(&mut self, id: u64) -> Option<Waiter> {
        let waiter = self.slots.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(waiter)
    }
}
