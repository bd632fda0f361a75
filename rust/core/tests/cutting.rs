//! A segment file that is shorter than it was: cut by whoever has gone on in the next one, or by somebody else.

mod common;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::failing::Operation;
use common::simulated::SimulatedDisk;
use common::{all, event};
use counterpoint::log::segment::file_name;
use counterpoint::{Event, Options, Query, ReadError, ReadOptions, StorageError, Store};
use parking_lot::Mutex;

#[test]
fn a_segment_that_is_cut_behind_its_end_while_another_handle_reads_it_is_no_error() {
    let disk = Arc::new(SimulatedDisk::default());
    let options = Options { segment_bytes: 4096, read_cache_bytes: 0, ..Options::default() };
    let open = || Store::open_in(Arc::clone(&disk) as Arc<_>, options).unwrap();
    let (writer, reader) = (open(), open());
    for known in 1..3 {
        writer.append(vec![event("A", &[])], vec![]).unwrap();
        // The second one is left for it to read later.
        assert!(known == 2 || all(&reader).len() == 1);
    }
    let (about_to_cut, reads) = (mpsc::channel(), mpsc::channel());
    let (cut, is_cut) = (Mutex::new(Some(reads.1)), Arc::new(AtomicBool::new(false)));
    let (has_cut, says, asks) = (Arc::clone(&is_cut), Mutex::new(about_to_cut.0), Mutex::new(Some(reads.0)));
    disk.observe(move |operation| match operation {
        Operation::Truncate => {
            // Not before the reader has measured the file.
            let waits = cut.lock().take();
            says.lock().send(()).unwrap();
            waits.inspect(|reads: &mpsc::Receiver<()>| reads.recv().unwrap());
        }
        // The writer's next operation: it has cut the file.
        Operation::Sync => has_cut.store(true, Ordering::SeqCst),
        Operation::Read => {
            if let Some(reads) = asks.lock().take() {
                reads.send(()).unwrap();
                while !has_cut.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            }
        }
        _ => {}
    });
    std::thread::scope(|scope| {
        let large = Event::new::<&str>("Large", &[], &[7; 4000], None, None).unwrap();
        scope.spawn(|| writer.append(vec![large], vec![]).unwrap());
        about_to_cut.1.recv().unwrap();
        is_cut.store(false, Ordering::SeqCst);
        assert_eq!(all(&reader).len(), 2);
    });
    disk.look_away();
    assert_eq!(all(&reader).len(), 3);
}

#[test]
fn a_log_that_is_cut_under_an_open_store_is_damage_and_no_panic() {
    for index_events in [4, 1 << 17] {
        let directory = tempfile::tempdir().unwrap();
        let options =
            Options { index_events, segment_bytes: 4096, read_cache_bytes: 0, ..Options::default() };
        let store = Store::open(directory.path(), options).unwrap();
        for _ in 0..8 {
            store.append(vec![Event::new("A", &["x"], &[7; 1000], None, None).unwrap()], vec![]).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(20);
        while index_events == 4 && store.stats().unwrap().index_files == 0 {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(1));
        }
        for length in [2000, 64, 0] {
            let log = File::options().write(true).open(directory.path().join(file_name(1))).unwrap();
            log.set_len(length).unwrap();
            let read = store.read(Query::All, ReadOptions::default()).unwrap().chunks().next_chunk();
            let Err(ReadError::Storage(StorageError::Corrupt(found))) = &read else { panic!("{read:?}") };
            assert_eq!(found.file, file_name(1), "cut to {length}");
        }
    }
}
