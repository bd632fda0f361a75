"""Bugs of what readers see. I5."""

# ruff: noqa: E501  the lines of the engine are longer

from tests.seeded.bug import bug

READS = [
    bug(
        "lose the last entry of a list in memory",
        "index/postings.rs",
        "            Self::Many(list) => list,\n",
        "            Self::Many(list) => list.split_last().map_or(&[], |(_, rest)| rest),\n",
        "store",
    ),
    bug(
        "lose the last event of an index file",
        "index/sealed/search.rs",
        "u64::from(*range.end()) + 1, direction)",
        "u64::from(*range.end()), direction)",
        "lib index::sealed::tests",
    ),
    bug(
        "a merge drops the last event of a tag",
        "index/sealed/merge.rs",
        "                parts.iter_mut().try_for_each(|part| part.for_each(|event| list.push(event)))\n",
        "                let count = parts.len().saturating_sub(1).max(1);\n"
        "                parts.iter_mut().take(count).try_for_each(|part| part.for_each(|event| list.push(event)))\n",
        "lib index::sealed::tests::differential",
    ),
    bug(
        "a filter says no wrongly, of one tag in a hundred",
        "index/sealed/filter.rs",
        "    words.iter().zip(bits(hash)).all(",
        "    !hash.is_multiple_of(100) && words.iter().zip(bits(hash)).all(",
        "lib index::sealed::tests::differential",
    ),
    bug(
        "take a tag's hash for the tag",
        "read/mod.rs",
        "            if found.iter().any(|found| found.unconfirmed) {\n",
        "            if false {\n",
        "lib verify::tests::conditions::reads_and_appends",
    ),
    bug(
        "take a tag's hash for the tag in a condition",
        "read/search.rs",
        "            && (!found.unconfirmed || query.matches(&load::one(view, found)?.event.view()))\n",
        "            && (true || query.matches(&load::one(view, found)?.event.view()))\n",
        "lib verify::tests::conditions::reads_and_appends",
    ),
    bug(
        "a read overlooks the event right after its position",
        "read/mod.rs",
        "low: self.options.after.saturating_add(1),",
        "low: self.options.after.saturating_add(2),",
        "store",
    ),
    bug(
        "a read gives the event at its position",
        "read/mod.rs",
        "low: self.options.after.saturating_add(1),",
        "low: self.options.after.max(1),",
        "model",
    ),
    bug(
        "a read leaves out its last position",
        "read/mod.rs",
        "high: self.options.until.unwrap_or(u64::MAX).min(self.head),",
        "high: self.options.until.map_or(u64::MAX, |until| until.saturating_sub(1)).min(self.head),",
        "model",
    ),
    bug(
        "a reverse read leaves out an event between two chunks",
        "read/mod.rs",
        "Direction::Backward => self.high = searched.saturating_sub(1),",
        "Direction::Backward => self.high = searched.saturating_sub(2),",
        "lib read",
    ),
    bug(
        "a read gives one event more than its limit",
        "read/mod.rs",
        "left: self.options.limit.unwrap_or(u64::MAX),",
        "left: self.options.limit.map_or(u64::MAX, |limit| limit.saturating_add(1)),",
        "model",
    ),
    bug(
        "a read of several chunks forgets how much it has given",
        "read/mod.rs",
        "            self.rest.left -= new.len() as u64;\n",
        "            self.rest.left -= u64::from(!new.is_empty());\n",
        "model",
    ),
    bug(
        "a read sees what was appended after it",
        "read/mod.rs",
        ".unwrap_or(u64::MAX).min(self.head),",
        ".unwrap_or(u64::MAX),",
        "store a_read_is_a_snapshot",
    ),
    bug(
        "a known answer is given past the end of what is asked for",
        "read/mod.rs",
        "let (from, to) = (*low, known.covered.min(*high));",
        "let (from, to) = (*low, known.covered);",
        "read_cache",
    ),
    bug(
        "a known answer counts for one position more than was searched",
        "read/mod.rs",
        "self.known.as_deref(), self.rest.low - 1);",
        "self.known.as_deref(), self.rest.low);",
        "read_cache",
    ),
    bug(
        "a backup is taken for whole before it is",
        "copies/target.rs",
        "    names.iter().any(|name| name == MARKER)\n}\n\npub(super) fn list",
        "    names.len() == 1 && names.iter().any(|name| name == MARKER)\n}\n\npub(super) fn list",
        "backup",
    ),
    bug(
        "a backup links the segment that recovery writes to",
        "copies/backup.rs",
        "            (None, 1) => self.share(&name, &[Sharing::Clone])?,\n",
        "            (None, 1) => self.share(&name, &[Sharing::Clone, Sharing::Link])?,\n",
        "backup",
    ),
    bug(
        "a subscription skips what came between two polls",
        "subscribe.rs",
        "            self.position = read.head();\n",
        "            self.position = read.head() + 1;\n",
        "store a_subscription",
        "processes a_subscription",
    ),
]
