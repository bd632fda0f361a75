//! All that a store answers, as text that is the same for ever.

use std::fmt::Write;

use counterpoint::{Query, ReadOptions, Store};

use super::{all, query, read};

/// What is asked beside the events: types, tags, and how.
pub fn questions() -> Vec<(&'static [&'static str], &'static [&'static str], ReadOptions)> {
    let plain = ReadOptions::default();
    vec![
        (&["Plain"], &[], plain),
        (&["Plain", "Ünï🦀"], &[], plain),
        (&[], &["n:1"], plain),
        (&[], &["n:1", "all"], ReadOptions { reverse: true, limit: Some(3), ..plain }),
        (&["Plain"], &["n:2"], ReadOptions { after: 20, until: Some(50), ..plain }),
        (&[], &["cafe\u{301}"], plain),
        (&[], &["caf\u{e9}"], plain),
        (&[], &["nul\0and\ttab"], plain),
        (&["Absent"], &[], plain),
        (&[], &["tag 63"], plain),
    ]
}

/// Names of cursors that the store may have.
pub const CURSORS: [&str; 4] = ["orders", "Ünï🦀 follower", "zero", "absent"];

/// JSON, written by hand so that nothing decides its form but this.
pub fn listing(store: &Store) -> String {
    let mut out = String::from("{\n\"events\": [\n");
    for (number, found) in all(store).iter().enumerate() {
        let view = found.event.view();
        let tags: Vec<String> = view.tags.iter().map(text).collect();
        write!(
            out,
            "{}{{\"position\": {}, \"type\": {}, \"tags\": [{}], \"data\": \"{}\", \"metadata\": {}, \"id\": {}, \"recorded_at\": {}}}",
            if number == 0 { "" } else { ",\n" },
            found.position,
            text(view.event_type),
            tags.join(", "),
            hex(view.data),
            view.metadata.map_or("null".to_owned(), |metadata| format!("\"{}\"", hex(metadata))),
            view.id.map_or("null".to_owned(), |id| format!("\"{id}\"")),
            found.recorded_at,
        )
        .unwrap();
    }
    out += "\n],\n\"reads\": [\n";
    let lines = questions().into_iter().map(|(types, tags, options)| {
        let found = read(store, query(types, tags), options);
        let positions: Vec<String> = found.iter().map(|found| found.position.to_string()).collect();
        format!(
            "{{\"types\": [{}], \"tags\": [{}], \"after\": {}, \"until\": {}, \"reverse\": {}, \"limit\": {}, \"positions\": [{}]}}",
            texts(types),
            texts(tags),
            options.after,
            number(options.until),
            options.reverse,
            number(options.limit),
            positions.join(", "),
        )
    });
    out += &lines.collect::<Vec<_>>().join(",\n");
    out += "\n],\n\"why\": [\n";
    out += &(1..=store.head().unwrap())
        .map(|position| explanation(store, position))
        .collect::<Vec<_>>()
        .join(",\n");
    out += "\n],\n\"cursors\": {";
    let cursors = CURSORS.map(|name| format!("{}: {}", text(name), store.get_cursor(name).unwrap()));
    out += &cursors.join(", ");
    out += "}\n}\n";
    out
}

fn explanation(store: &Store, position: u64) -> String {
    let why = store.why(position).unwrap();
    let conditions = why.conditions.iter().map(|condition| {
        let items = match &condition.query {
            Query::All => "null".to_owned(),
            Query::Items(items) => {
                let items = items.iter().map(|item| {
                    let (types, tags) = (texts(item.types()), texts(item.tags()));
                    format!("{{\"types\": [{types}], \"tags\": [{tags}]}}")
                });
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
        };
        format!("{{\"after\": {}, \"items\": {items}}}", condition.after)
    });
    format!(
        "{{\"position\": {position}, \"first\": {}, \"last\": {}, \"conditions\": [{}]}}",
        why.first,
        why.last,
        conditions.collect::<Vec<_>>().join(", ")
    )
}

fn texts<T: AsRef<str>>(all: &[T]) -> String {
    all.iter().map(|one| text(one.as_ref())).collect::<Vec<_>>().join(", ")
}

fn text(text: &str) -> String {
    let mut out = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => out.extend(['\\', byte as char]),
            Ok(byte @ b' '..=b'~') => out.push(byte as char),
            _ => write!(out, "\\u{unit:04x}").unwrap(),
        }
    }
    out + "\""
}

fn number(number: Option<u64>) -> String {
    number.map_or("null".to_owned(), |number| number.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
