//! Appends that nobody waits for: each is answered once, whatever happens.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{panic, thread};

use common::simulated::SimulatedDisk;
use common::{all, condition, event, query};
use counterpoint::{AppendError, Event, Inbox, Options, StorageError, Store};
use parking_lot::{Condvar, Mutex};

const PATIENCE: Duration = Duration::from_secs(60);

type Answer = Result<u64, AppendError>;

/// Keeps each delivery. A request numbered `PANIC` or higher makes it panic.
#[derive(Debug, Default)]
struct Kept {
    deliveries: Mutex<Vec<Vec<(u64, Answer)>>>,
    delivered: Condvar,
}

const PANIC: u64 = 1_000_000;

impl Inbox for Kept {
    fn deliver(&self, answers: Vec<(u64, Answer)>) {
        let panics = answers.iter().any(|(id, _)| *id >= PANIC);
        self.deliveries.lock().push(answers);
        self.delivered.notify_all();
        if panics {
            panic::resume_unwind(Box::new("a panic of the inbox"));
        }
    }
}

impl Kept {
    /// The answers by request, once there are as many; none of them may come twice.
    fn wait(&self, count: usize) -> BTreeMap<u64, Answer> {
        let mut deliveries = self.deliveries.lock();
        loop {
            let answers: Vec<_> = deliveries.iter().flatten().cloned().collect();
            if answers.len() >= count {
                let by_request: BTreeMap<_, _> = answers.iter().cloned().collect();
                assert_eq!((by_request.len(), answers.len()), (count, count), "an answer came twice");
                return by_request;
            }
            let late = self.delivered.wait_for(&mut deliveries, PATIENCE).timed_out();
            assert!(!late, "{} answers of {count}", answers.len());
        }
    }

    fn in_order(&self) -> Vec<u64> {
        self.deliveries.lock().iter().flatten().map(|(id, _)| *id).collect()
    }
}

/// An inbox, and the same as the store takes it.
fn inbox() -> (Arc<Kept>, Arc<dyn Inbox>) {
    let kept = Arc::new(Kept::default());
    (Arc::clone(&kept), kept)
}

fn open(disk: &Arc<SimulatedDisk>) -> Store {
    Store::open_in(Arc::clone(disk) as Arc<_>, Options { segment_bytes: 4096, ..Options::default() }).unwrap()
}

/// Holds up the first sync until the returned function is called. What is appended meanwhile is one group.
fn hold_up_the_sync(disk: &SimulatedDisk, then: impl Fn() + Send + Sync + 'static) -> impl FnOnce() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    disk.before_sync(move || match released.lock().recv_timeout(PATIENCE) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => then(),
        Err(error) => panic!("{error}"),
    });
    move || drop(release)
}

fn is_poisoned(answer: &Answer) -> bool {
    matches!(answer, Err(AppendError::Storage(StorageError::Poisoned { .. })))
}

#[test]
fn submitted_appends_are_answered_once_and_stored_in_the_order_of_submission() {
    let store = Store::open_memory(Options::default()).unwrap();
    let (kept, inbox) = inbox();
    for id in 0..5000 {
        store.submit(vec![event("A", &[&id.to_string()])], vec![], &inbox, id).unwrap();
    }
    let answers = kept.wait(5000);
    assert!(answers.into_iter().all(|(id, answer)| answer.unwrap() == id + 1));
    let tags = all(&store).into_iter().map(|found| found.event.view().tags.iter().next().unwrap().to_owned());
    assert!(tags.eq((0..5000).map(|id| id.to_string())));
}

#[test]
fn a_refused_submission_is_answered_with_its_conflict() {
    let store = Store::open_memory(Options::default()).unwrap();
    let (kept, inbox) = inbox();
    let free = || vec![condition(query(&["A"], &[]), 0)];
    store.submit(vec![event("A", &[])], free(), &inbox, 0).unwrap();
    store.submit(vec![event("A", &[])], free(), &inbox, 1).unwrap();
    let answers = kept.wait(2);
    assert_eq!(*answers[&0].as_ref().unwrap(), 1);
    assert!(matches!(&answers[&1], Err(AppendError::Conflict(conflict)) if conflict.position == 1));
    assert_eq!(store.head().unwrap(), 1);
}

#[test]
fn what_is_refused_at_once_is_not_delivered_too() {
    let store = Store::open_memory(Options::default()).unwrap();
    let (kept, inbox) = inbox();
    assert!(matches!(store.submit(vec![], vec![], &inbox, 0), Err(AppendError::Invalid(_))));
    store.submit(vec![event("A", &[])], vec![], &inbox, 1).unwrap();
    store.close().unwrap();
    assert!(matches!(store.submit(vec![event("A", &[])], vec![], &inbox, 2), Err(AppendError::Closed)));
    assert!(kept.wait(1).contains_key(&1));
}

#[test]
fn closing_answers_what_was_submitted_first() {
    for count in 0..50 {
        let store = Store::open_memory(Options::default()).unwrap();
        let (kept, inbox) = inbox();
        for id in 0..count {
            store.submit(vec![event("A", &[])], vec![], &inbox, id).unwrap();
        }
        store.close().unwrap();
        // Without waiting.
        assert_eq!(kept.in_order(), (0..count).collect::<Vec<_>>());
        let answers = kept.wait(usize::try_from(count).unwrap());
        assert!(answers.into_iter().all(|(id, answer)| answer.unwrap() == id + 1));
    }
}

#[test]
fn those_who_wait_and_those_who_do_not_share_groups_and_race_fairly() {
    let store = Store::open_memory(Options::default()).unwrap();
    let (rounds, claims) = (200, || vec![event("Claimed", &[])]);
    let free = |after| vec![condition(query(&["Claimed"], &[]), after)];
    for round in 0..rounds {
        let (kept, inbox) = inbox();
        let waited: u64 = thread::scope(|scope| {
            let submits = |first| {
                let (store, inbox) = (&store, &inbox);
                move || {
                    (first..first + 10).for_each(|id| store.submit(claims(), free(round), inbox, id).unwrap())
                }
            };
            scope.spawn(submits(0));
            scope.spawn(submits(10));
            let waits = || scope.spawn(|| u64::from(store.append(claims(), free(round)).is_ok()));
            [waits(), waits(), waits()].into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let answers = kept.wait(20);
        let won = answers.values().filter(|answer| answer.is_ok()).count() as u64;
        assert_eq!(waited + won, 1, "round {round}");
        for answer in answers.values() {
            assert!(matches!(answer, Ok(_) | Err(AppendError::Conflict(_))), "{answer:?}");
        }
    }
    assert_eq!(store.head().unwrap(), rounds);
}

#[test]
fn a_group_stays_small_however_much_is_submitted() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = Store::open_in(Arc::clone(&disk) as Arc<_>, Options::default()).unwrap();
    let (kept, inbox) = inbox();
    let large = Event::new::<&str>("Large", &[], &vec![7; 3 << 20], None, None).unwrap();
    let release = hold_up_the_sync(&disk, || {});
    store.submit(vec![large.clone()], vec![], &inbox, 0).unwrap();
    for id in 1..10 {
        store.submit(vec![large.clone()], vec![], &inbox, id).unwrap();
        store.submit(vec![event("A", &[])], vec![], &inbox, 10 + id).unwrap();
    }
    release();
    let answers = kept.wait(19);
    assert!(answers.values().all(Result::is_ok));
    let expected: Vec<u64> = std::iter::once(0).chain((1..10).flat_map(|id| [id, 10 + id])).collect();
    assert_eq!(kept.in_order(), expected);
    for delivery in kept.deliveries.lock().iter() {
        let large = delivery.iter().filter(|(id, _)| *id < 10).count();
        assert!(large <= 2, "{large} batches of 3 MiB in a group of 8");
    }
}

#[test]
fn an_inbox_that_panics_harms_nobody() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk);
    let ((kept, inbox), (others_kept, others)) = (inbox(), inbox());
    let release = hold_up_the_sync(&disk, || {});
    // The appender leads the first group.
    store.submit(vec![event("A", &[])], vec![], &inbox, PANIC).unwrap();
    thread::scope(|scope| {
        let waits = || scope.spawn(|| store.append(vec![event("A", &[])], vec![]).unwrap());
        let first = waits();
        thread::sleep(Duration::from_millis(50));
        // A caller that waits leads the second group, of which these are a part.
        for id in 0..10 {
            store
                .submit(vec![event("A", &[])], vec![], &inbox, if id == 5 { PANIC + 1 } else { id })
                .unwrap();
            store.submit(vec![event("A", &[])], vec![], &others, id).unwrap();
        }
        let last = waits();
        release();
        assert_eq!(first.join().unwrap(), 2);
        last.join().unwrap();
    });
    assert!(kept.wait(11).values().all(Result::is_ok));
    assert!(others_kept.wait(10).values().all(Result::is_ok));
    assert_eq!(store.append(vec![event("A", &[])], vec![]).unwrap(), 24);
    store.close().unwrap();
}

#[test]
fn after_a_failed_sync_everything_submitted_is_answered_with_the_failure() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk);
    let (kept, inbox) = inbox();
    disk.fail(2, 1);
    store.submit(vec![event("A", &[])], vec![], &inbox, 0).unwrap();
    assert!(kept.wait(1)[&0].is_err());
    store.submit(vec![event("A", &[])], vec![], &inbox, 1).unwrap();
    assert!(is_poisoned(&kept.wait(2)[&1]));
    store.close().unwrap();
}

#[test]
fn an_appender_that_panics_leaves_a_poisoned_store_that_answers_and_closes() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk);
    let (kept, inbox) = inbox();
    let release = hold_up_the_sync(&disk, || panic::resume_unwind(Box::new("a panic of the leader")));
    let large = Event::new::<&str>("Large", &[], &[7; 4096], None, None).unwrap();
    store.submit(vec![large], vec![], &inbox, 0).unwrap();
    for id in 1..10 {
        store.submit(vec![event("A", &[])], vec![], &inbox, id).unwrap();
    }
    release();
    assert!(kept.wait(10).values().all(is_poisoned));
    store.submit(vec![event("A", &[])], vec![], &inbox, 10).unwrap();
    assert!(is_poisoned(&kept.wait(11)[&10]));
    assert!(is_poisoned(&store.append(vec![event("A", &[])], vec![])));
    store.close().unwrap();
    assert_eq!(kept.wait(11).len(), 11);
}
