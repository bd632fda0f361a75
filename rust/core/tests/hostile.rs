//! Bytes of any kind, given to everything that reads bytes from disk: the fuzz targets, driven by a mutator of our own
//! (F6 in `docs/testing.md`). Beside what the targets assert, no allocation may be out of proportion.

mod common;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{seed, soak_time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The longest allocation so far.
static LONGEST: AtomicUsize = AtomicUsize::new(0);
/// No input is longer than 64 KiB, and the log is read a mebibyte at a time.
const MOST_BYTES: usize = 4 << 20;
/// What all targets take together.
const TIME: Duration = Duration::from_secs(20);
/// The share of a soak that they may take.
const SHARE: f64 = 0.1;
/// So many inputs are kept to be changed further.
const KEPT: usize = 2048;

struct Watching;

// SAFETY: everything is left to the system's allocator; only lengths are noted.
#[expect(unsafe_code, reason = "an allocator cannot be watched without it")]
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LONGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LONGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LONGEST.fetch_max(size, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Changes an input in a few places: bits, numbers, ranges, lengths, and parts of another input.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    if let Some(first) = bytes.first_mut() {
        // For most targets it says whether checksums are made right.
        *first = if rng.random() { *first ^ 1 } else { *first };
    }
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..bytes.len().max(1)).min(bytes.len());
        let end = (at + rng.random_range(1..24)).min(bytes.len());
        match rng.random_range(0..10) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 if at < bytes.len() => bytes[at] = rng.random(),
            3 | 4 => {
                let odd =
                    [0, 1, 2, 7, 8, 63, 64, 127, 128, 255, 256, 4096, u64::MAX, 1 << 31, 1 << 32, 1 << 63];
                let number: u64 = odd[rng.random_range(0..odd.len())];
                let width = [1, 2, 4, 8][rng.random_range(0..4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..end)),
            7 => {
                let copied = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, copied);
            }
            8 if !other.is_empty() => {
                let from = rng.random_range(0..other.len());
                let to = (from + rng.random_range(1..64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => bytes[at..end].fill(rng.random()),
        }
    }
    bytes.truncate(1 << 16);
}

/// Drives one target for so long; returns how many inputs it got.
fn drive((name, target): targets::Target, seed: u64, time: Duration) -> u64 {
    let seeds = targets::seeds(name);
    assert!(!seeds.is_empty(), "{name}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut kept, mut inputs, begun) = (seeds.clone(), 0, Instant::now());
    for input in seeds {
        run(name, target, &input, seed);
    }
    while begun.elapsed() < time {
        let mut input = kept[rng.random_range(0..kept.len())].clone();
        let other = &kept[rng.random_range(0..kept.len())];
        mutate(&mut input, other, &mut rng);
        run(name, target, &input, seed);
        inputs += 1;
        // Changes upon changes, beside what is valid.
        if rng.random_ratio(1, 16) && kept.len() < KEPT {
            kept.push(input);
        } else if rng.random_ratio(1, 64) && kept.len() >= KEPT {
            let place = rng.random_range(KEPT / 2..KEPT);
            kept[place] = input;
        }
    }
    inputs
}

fn run(name: &str, target: fn(&[u8]), input: &[u8], seed: u64) {
    LONGEST.store(0, Ordering::Relaxed);
    let ran = panic::catch_unwind(AssertUnwindSafe(|| target(input)));
    let longest = LONGEST.load(Ordering::Relaxed);
    if ran.is_err() || longest > MOST_BYTES {
        let path = std::env::temp_dir().join(format!("counterpoint-{name}-{seed}"));
        std::fs::write(&path, input).unwrap();
        panic!(
            "{name}, seed {seed}: see above; longest allocation {longest} bytes; the input is in {path:?}"
        );
    }
}

/// Inputs that once were too much.
#[test]
fn what_was_found_once_is_not_found_again() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/kept");
    let mut inputs = 0;
    for path in std::fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().path()) {
        let file = path.file_name().unwrap().to_str().unwrap();
        let named = targets::TARGETS.into_iter().find(|(name, _)| file.starts_with(&format!("{name}-")));
        let (name, target) = named.unwrap_or_else(|| panic!("{file} is of no target"));
        run(name, target, &std::fs::read(&path).unwrap(), 0);
        inputs += 1;
    }
    assert!(inputs > 0);
}

#[test]
fn no_bytes_make_a_decoder_panic_believe_nonsense_or_take_much_memory() {
    let (seed, time) = (seed(), soak_time(SHARE).unwrap_or(TIME));
    let shares = targets::TARGETS.map(|(name, _)| match name {
        // A whole store at a time.
        "directory" => 10,
        "marks" => 3,
        "index" | "recovery" => 3,
        _ => 1,
    });
    for (target, share) in targets::TARGETS.into_iter().zip(shares) {
        let each = time * share / shares.iter().sum::<u32>();
        let inputs = drive(target, seed, each);
        println!("{}: {inputs} inputs in {each:.1?}", target.0);
        assert!(inputs > 100, "{}", target.0);
    }
}
