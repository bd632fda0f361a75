"""Bugs that take damaged or foreign bytes for what was written, or the other way round. I8, I10."""

# ruff: noqa: E501  the lines of the engine are longer

from tests.seeded.bug import bug

CHECKSUMS = [
    bug(
        "skip the checksum of a record",
        "log/frame.rs",
        "        let valid = crc32c::crc32c_append(seed.record(position, recorded_at), event) == checksum;\n",
        "        let _ = (checksum, seed.record(position, recorded_at));\n        let valid = true;\n",
        "store a_damaged_event",
    ),
    bug(
        "skip the checksum of a frame",
        "log/frame.rs",
        "        if crc32c::crc32c_append(header_checksum, body) != checksum {\n",
        "        let _ = header_checksum;\n        if false {\n",
        "recovery every_flipped_bit",
    ),
    bug(
        "skip the checksum of a frame's header",
        "log/frame.rs",
        "        if crc32c::crc32c_append(seed.frame(segment, offset, header.previous), fields) != header_checksum {\n",
        "        let _ = (segment, offset, seed);\n        if false {\n",
        "recovery no_field_of_a_frame",
        "recovery",
    ),
    bug(
        "skip the checksum of a segment's header",
        "log/segment.rs",
        "        if crc32c::crc32c(fields) != checksum {\n",
        "        if false {\n",
        "recovery every_flipped_bit",
    ),
    bug(
        "skip the checksum of an index page",
        "index/sealed/pages.rs",
        "        if expected.is_none() || expected != found {\n",
        "        if expected.is_none() || found.is_none() {\n",
        "lib index::sealed::tests::damage",
    ),
    bug(
        "skip the checksum of an index file's checksums",
        "index/sealed/pages.rs",
        "        if crc32c::crc32c(table) != header.checksums {\n            return Err(damaged(",
        "        if false {\n            return Err(damaged(",
        "lib index::sealed::tests::damage",
        "lib verify::tests::index",
        escapes="Harmless: a page that is read does not match a checksum that was damaged, so the damage shows there.",
    ),
    bug(
        "do not verify an index file's checksums themselves",
        "index/sealed/pages.rs",
        "            if crc32c::crc32c(table) != header.checksums {\n                return Err(self.damaged(",
        "            if false {\n                return Err(self.damaged(",
        "lib verify::tests::index",
    ),
    bug(
        "skip the checksum of an index file's header",
        "index/sealed/layout.rs",
        "        if crc32c::crc32c(fields) != u32::from_le_bytes(*checksum) {\n",
        "        let _ = checksum;\n        if false {\n",
        "lib index::sealed::tests::damage",
    ),
    bug(
        "skip the checksum of the marks",
        "processes/mark.rs",
        "        (sum == checksum(store, reach)).then_some(reach)\n",
        "        let _ = (sum, store);\n        Some(reach)\n",
        "lib processes::mark",
        "lost_end damaged_marks",
    ),
    bug(
        "skip the checksum of the cursors",
        "cursors.rs",
        "    let valid = crc32c::crc32c(fields) == u32::from_le_bytes(*checksum)\n        && ",
        "    let _ = checksum;\n    let valid = ",
        "store every_flipped_bit_of_the_cursors",
    ),
    bug(
        "do not ask the marks whether the log has lost its end",
        "opening/mod.rs",
        "        marks.check(&writer.reach())?;\n",
        "",
        "lost_end",
    ),
    bug(
        "skip the link of a frame to the one before it",
        "log/recovery.rs",
        "        if frame.header.previous != end.previous {\n",
        "        if false {\n",
        "recovery a_frame_that_follows_another_history",
    ),
    bug(
        "skip the link of a segment to the one before it",
        "log/recovery.rs",
        "    if header.previous != start.previous || start.store",
        "    if start.store",
        "recovery a_segment_of_another_place",
    ),
    bug(
        "skip the position of a frame",
        "log/recovery.rs",
        "        if frame.header.first_position != end.next_position {\n",
        "        if false {\n",
        "lib log::recovery",
    ),
    bug(
        "take damage for a torn tail",
        "log/recovery.rs",
        "    if proves_durable(rest, seed, end.header.first_position, end.offset) {\n",
        "    if false && proves_durable(rest, seed, end.header.first_position, end.offset) {\n",
        "recovery a_batch_that_a_later_frame",
    ),
    bug(
        "take a torn tail for damage",
        "log/recovery.rs",
        ".is_ok_and(|frame| frame.header.durable_end > bad)",
        ".is_ok()",
        "lib log::recovery",
    ),
]
