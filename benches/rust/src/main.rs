//! One round of one engine without Python: `engines counterpoint|tephra DIRECTORY EVENTS SECONDS THREADS`.
//!
//! DIRECTORY is new and on the disk that is measured, THREADS are numbers with commas between. Prints one JSON object, keys
//! as in `benches/engines.py`: rates per second, latencies (the middle one) in microseconds, opening in milliseconds, bytes
//! per event. Making the engine's own events is part of every append.

#![expect(clippy::disallowed_methods, reason = "only the library has one place for the file system")]

mod engine;
mod workload;

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use engine::{Counterpoint, Engine, Tephra};
use serde_json::{Map, Value};
use workload::{History, PER_ORDER, RARE_TYPE, Record, fresh, order_tag};

const BATCH: u64 = 1000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, directory, events, seconds, threads] = arguments.as_slice() else {
        panic!("expected: engines counterpoint|tephra DIRECTORY EVENTS SECONDS THREADS");
    };
    let directory = Path::new(directory);
    let history = History::new(events.parse().expect("a number of events"));
    let seconds = Duration::from_secs_f64(seconds.parse().expect("a number of seconds"));
    let threads: Vec<usize> =
        threads.split(',').map(|count| count.parse().expect("a number of threads")).collect();
    let rows = match name.as_str() {
        "counterpoint" => measure::<Counterpoint>(directory, &history, seconds, &threads),
        "tephra" => measure::<Tephra>(directory, &history, seconds, &threads),
        other => panic!("there is no engine {other}"),
    };
    println!("{}", Value::Object(rows));
}

fn measure<E: Engine>(
    directory: &Path,
    history: &History,
    seconds: Duration,
    threads: &[usize],
) -> Map<String, Value> {
    let mut rows = Map::new();
    let mut say = |key: &str, value: f64| {
        rows.insert(key.to_owned(), value.into());
    };
    let store = E::open(directory);
    say("bulk", fill(&store, history));
    store.close();
    say("disk.bulk", used_bytes(directory) as f64 / history.events as f64);

    let start = Instant::now();
    let store = E::open(directory);
    assert_eq!(store.head(), history.events, "everything is still there");
    say("open.clean", start.elapsed().as_secs_f64() * 1e3);

    let start = Instant::now();
    assert_eq!(store.replay(), history.events, "everything is read");
    say("replay", history.events as f64 / start.elapsed().as_secs_f64());

    // A stride that is no divisor, so that the orders come in no order.
    let mut orders = (0..).map(|turn: u64| order_tag(turn * 7919 % history.orders));
    let mut next = || [orders.next().expect("it has no end")];
    let both = History::both();
    say("one_tag", middle(seconds, || expect(PER_ORDER, store.read(None, &next(), false))));
    say("two_tags", middle(seconds, || expect(PER_ORDER, store.read(None, &both, false))));
    say("type", middle(seconds, || expect(PER_ORDER, store.read(Some(RARE_TYPE), &[], false))));
    say("last", middle(seconds, || expect(1, store.read(None, &next(), true))));

    for &count in threads {
        say(&format!("append.{count}"), append(&store, count, seconds));
    }
    store.close();
    rows
}

/// Appends a history in batches; returns events per second.
fn fill(store: &impl Engine, history: &History) -> f64 {
    let mut spent = Duration::ZERO;
    let mut first = 0;
    while first < history.events {
        let end = (first + BATCH).min(history.events);
        let batch: Vec<Record> = (first..end).map(|number| history.event(number)).collect();
        let start = Instant::now();
        store.append(&batch, None);
        spent += start.elapsed();
        first = end;
    }
    history.events as f64 / spent.as_secs_f64()
}

/// Appends one event after the other from each thread, on the condition that its order is new; returns appends per second.
fn append(store: &impl Engine, threads: usize, seconds: Duration) -> f64 {
    let ready = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let work = || {
            let (mut head, mut done) = (store.head(), 0_u64);
            ready.wait();
            let start = Instant::now();
            while start.elapsed() < seconds {
                head = store.append(&[fresh()], Some(head));
                done += 1;
            }
            done
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        ready.wait();
        let start = Instant::now();
        let done: u64 = workers.into_iter().map(|worker| worker.join().expect("a thread ends well")).sum();
        done as f64 / start.elapsed().as_secs_f64()
    })
}

/// Calls for so long, at least once; returns the microseconds of the call in the middle.
fn middle(seconds: Duration, mut call: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.is_empty() || start.elapsed() < seconds {
        let before = Instant::now();
        call();
        times.push(before.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn expect(expected: u64, found: u64) {
    assert_eq!(found, expected, "a read finds what is there");
}

/// The bytes of a directory's files, without the zeros at their ends, which are only preallocated.
fn used_bytes(directory: &Path) -> usize {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        bytes += if path.is_dir() {
            used_bytes(&path)
        } else {
            let content = std::fs::read(&path).expect("a file");
            content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
        };
    }
    bytes
}
