//! The engine without Python, beside the physical limits it cannot beat: `cargo bench`.
//!
//! Workload: event type of 12 characters, two tags of 20, 200 bytes of data. The store lies under `target`, on the disk
//! of the checkout: the temporary directory may be memory.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use counterpoint::{AppendCondition, Event, Options, Query, QueryItem, ReadOptions, Store};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

const STORED: u64 = 100_000;

fn directory() -> TempDir {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target");
    TempDir::with_prefix_in("bench-", target).unwrap()
}

fn tag(kind: &str, number: u64) -> String {
    format!("{kind}:{number:0width$}", width = 19 - kind.len())
}

fn event(number: u64) -> Event {
    let tags = [tag("order", number), tag("customer", number % 10_000)];
    Event::new("OrderPlacedX", &tags, &[b'x'; 200], None, None).unwrap()
}

fn query(tags: &[String]) -> Query {
    Query::items(vec![QueryItem::new::<&str, _>(&[], tags).unwrap()]).unwrap()
}

fn filled(directory: &TempDir) -> Store {
    let store = Store::open(directory.path(), Options::default()).unwrap();
    for start in (0..STORED).step_by(1000) {
        store.append((start..start + 1000).map(event).collect(), vec![]).unwrap();
    }
    store
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1)).sample_size(20);

    let place = directory();
    let raw = OpenOptions::new().create_new(true).write(true).open(place.path().join("raw")).unwrap();
    raw.write_all_at(&vec![0; 64 << 20], 0).unwrap();
    raw.sync_all().unwrap();
    let mut offset = 0;
    group.bench_function("limit: pwrite and fdatasync of 512 bytes", |bencher| {
        bencher.iter(|| {
            raw.write_all_at(&[7; 512], offset).unwrap();
            raw.sync_data().unwrap();
            offset = (offset + 512) % (64 << 20);
        });
    });

    let place = directory();
    let store = filled(&place);
    let mut number = STORED;
    group.bench_function("one thread, conditional, durable", |bencher| {
        bencher.iter(|| {
            number += 1;
            let condition = AppendCondition { query: query(&[tag("order", number)]), after: number - 1 };
            store.append(vec![event(number)], vec![condition]).unwrap()
        });
    });

    let memory = Store::open_memory(Options::default()).unwrap();
    group.bench_function("one thread, conditional, in memory", |bencher| {
        bencher.iter(|| {
            number += 1;
            let condition = AppendCondition { query: query(&[tag("order", number)]), after: 0 };
            memory.append(vec![event(number)], vec![condition]).unwrap()
        });
    });

    group.throughput(Throughput::Elements(1000));
    let batch: Vec<Event> = (0..1000).map(event).collect();
    group.bench_function("batches of 1,000, durable", |bencher| {
        bencher.iter_batched(
            || batch.clone(),
            |batch| store.append(batch, vec![]).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn count(store: &Store, query: &Query, options: ReadOptions) -> usize {
    let mut chunks = store.read(query.clone(), options).unwrap().chunks();
    let mut count = 0;
    loop {
        let chunk = chunks.next_chunk().unwrap();
        if chunk.is_empty() {
            return count;
        }
        count += black_box(chunk).len();
    }
}

fn reads(criterion: &mut Criterion) {
    let place = directory();
    let store = filled(&place);
    let mut group = criterion.benchmark_group("read");
    group.sample_size(20);
    let customer = query(&[tag("customer", 7)]);
    let both = query(&[tag("customer", 7), tag("order", 50_007)]);
    let typed = Query::items(vec![QueryItem::new::<_, &str>(&["OrderPlacedX"], &[]).unwrap()]).unwrap();
    let last = ReadOptions { reverse: true, limit: Some(1), ..ReadOptions::default() };
    for (name, query, options) in [
        ("one tag, 10 of 100,000 events", &customer, ReadOptions::default()),
        ("two tags, 1 of 100,000 events", &both, ReadOptions::default()),
        ("the last event of a tag", &customer, last),
        ("the last event of a type", &typed, last),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| count(&store, query, options)));
    }
    group.throughput(Throughput::Elements(STORED));
    group.bench_function("all events", |bencher| {
        bencher.iter(|| count(&store, &Query::All, ReadOptions::default()));
    });
    group.bench_function("all events of a type", |bencher| {
        bencher.iter(|| count(&store, &typed, ReadOptions::default()));
    });
    group.finish();
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
