//! Workload W, as `benches/workload.py` has it: a type of 12 characters, two tags of 20, 200 bytes of data.

use std::sync::atomic::{AtomicU64, Ordering};

const TYPE: &str = "ItemReserved";
pub const RARE_TYPE: &str = "StockCounted";
const DATA_BYTES: usize = 200;
/// So many events share an order.
pub const PER_ORDER: u64 = 10;
const DENSE: u64 = 10_000;

/// An event before an engine has made its own of it. The first tag is the one that conditions ask for.
pub struct Record {
    pub event_type: &'static str,
    pub tags: Vec<String>,
    pub data: Vec<u8>,
}

pub fn order_tag(number: u64) -> String {
    format!("order:{number:014}")
}

fn customer_tag(number: u64) -> String {
    format!("customer:{number:011}")
}

fn record(event_type: &'static str, order: u64, customer: u64) -> Record {
    let mut data =
        format!("{{\"order\":\"{order:014}\",\"customer\":\"{customer:011}\",\"note\":\"").into_bytes();
    data.resize(DATA_BYTES - 2, b'x');
    data.extend_from_slice(b"\"}");
    Record { event_type, tags: vec![order_tag(order), customer_tag(customer)], data }
}

/// An event whose order no other event has.
pub fn fresh() -> Record {
    static NEXT: AtomicU64 = AtomicU64::new(10_u64.pow(13));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    record(TYPE, number, 10 + number % 1000)
}

/// What an engine is filled with before it is read.
pub struct History {
    pub events: u64,
    pub orders: u64,
    stride: u64,
}

impl History {
    /// Plans `events` events, at least 400, in whole hundreds.
    pub fn new(events: u64) -> Self {
        let events = (events / 100 * 100).max(400);
        Self { events, orders: events / PER_ORDER, stride: (events / DENSE).max(4) }
    }

    /// Two tags of many events each, of which only ten carry both.
    pub fn both() -> [String; 2] {
        [customer_tag(0), customer_tag(1)]
    }

    /// The event with this number, from 0.
    pub fn event(&self, number: u64) -> Record {
        let (order, spot) = (number % self.orders, number % self.stride);
        match order {
            0 => {
                let mut record = record(TYPE, order, 0);
                record.tags.push(customer_tag(1));
                record
            }
            7 => record(RARE_TYPE, order, 7),
            _ if spot == 1 || spot == 2 => record(TYPE, order, spot - 1),
            _ => record(TYPE, order, 10 + number % 1000),
        }
    }
}
