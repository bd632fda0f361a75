"""Bugs of what is decided when events are appended. I4."""

# ruff: noqa: E501  the lines of the engine are longer

from tests.seeded.bug import Bug, Edit, bug

CONDITIONS = [
    bug(
        "a condition overlooks the event right after its position",
        "commit/mod.rs",
        "read::first_match(&self.view, query, *after + 1..=last)?",
        "read::first_match(&self.view, query, *after + 2..=last)?",
        "store a_condition_refuses",
        "model",
    ),
    bug(
        "a condition is broken by the event at its position",
        "commit/mod.rs",
        "            if *after < last\n                && let Some(position) = read::first_match(&self.view, query, *after + 1..=last)?",
        "            if *after <= last\n                && let Some(position) = read::first_match(&self.view, query, (*after).max(1)..=last)?",
        "store a_condition_refuses",
        "model",
    ),
    bug(
        "a condition overlooks the last event",
        "commit/mod.rs",
        "            if *after < last\n",
        "            if *after + 1 < last\n",
        "store a_condition_refuses",
        "model",
    ),
    bug(
        "drop the last of several conditions",
        "commit/mod.rs",
        "in conditions.iter().enumerate() {",
        "in conditions.iter().enumerate().take(1.max(conditions.len().saturating_sub(1))) {",
        "model",
    ),
    bug(
        "check conditions against the durable log and not the written one",
        "commit/mod.rs",
        "        let last = self.view.index.read().last_position();\n",
        "        let last = self.syncer.visible();\n",
        "concurrency of_fifty_racers",
        "processes handles_that_race",
    ),
    bug(
        "do not catch up with other processes before deciding",
        "commit/mod.rs",
        "        let done = self.go_to_end(&mut writer).and_then(|()| work(&mut writer));\n",
        "        let done = work(&mut writer);\n",
        "processes what_one_handle_appends",
    ),
    Bug(
        "release the append lock before writing",
        (
            Edit(
                "commit/mod.rs",
                "        let _held = held.inspect_err(",
                "        let held = held.inspect_err(",
            ),
            Edit(
                "commit/mod.rs",
                "        let done = self.go_to_end(&mut writer).and_then(|()| work(&mut writer));\n",
                "        let gone = self.go_to_end(&mut writer);\n        drop(held);\n        let done = gone.and_then(|()| work(&mut writer));\n",
            ),
        ),
        ("processes handles",),
    ),
    bug(
        "do not wait for who was killed while it opened the store",
        "processes/member.rs",
        "            if self.exclusive || pid.is_some() || Instant::now() >= until {\n",
        "            if self.exclusive || pid.is_some() || Instant::now() <= until {\n",
        "processes who_was_killed",
    ),
    bug(
        "keep only the first condition in the log",
        "commit/mod.rs",
        "        let guards = if self.record_conditions { encoded } else { Vec::new() };\n",
        "        let kept = condition::encode(conditions.get(..1).unwrap_or_default())?;\n"
        "        let guards = if self.record_conditions { if encoded.is_empty() { encoded } else { kept } } else { Vec::new() };\n",
        "lib verify::tests",
        "recovery the_conditions_of_an_append",
    ),
    bug(
        "the time of the log goes back with the clock",
        "commit/mod.rs",
        "        let recorded_at = now().max(writer.recorded_at());\n",
        "        let recorded_at = now();\n",
        "lib opening",
    ),
    bug(
        "set a cursor whatever was expected",
        "cursors.rs",
        "        if expected.is_some_and(|expected| expected != positions.get(name).copied().unwrap_or_default()) {\n",
        "        if expected == Some(u64::MAX) {\n",
        "store cursors",
    ),
]
