"""Bugs that lose what was acknowledged, at a loss of power or after a failure. I3, I6, I9."""

# ruff: noqa: E501  the lines of the engine are longer

from tests.seeded.bug import Bug, Edit, bug

DURABILITY = [
    bug(
        "acknowledge before sync",
        "commit/sync.rs",
        "Durability::Fsync => self.make_durable(position),",
        "Durability::Fsync => Ok(()),",
        "faults a_power_loss_at_any_moment",
    ),
    Bug(
        "acknowledge before sync, and show it to readers",
        (
            Edit(
                "commit/sync.rs",
                "Durability::Fsync => self.make_durable(position),",
                "Durability::Fsync => Ok(()),",
            ),
            Edit(
                "commit/sync.rs",
                "Durability::Fsync => self.marks.durable(),",
                "Durability::Fsync => self.marks.written(),",
            ),
        ),
        ("faults a_power_loss_at_any_moment",),
    ),
    bug(
        "publish the durable mark before syncing",
        "commit/sync.rs",
        "            let synced = self.segments.get(written.segment)?.sync();\n",
        "            marks.publish_durable(written);\n            let synced = self.segments.get(written.segment)?.sync();\n",
        "faults",
    ),
    bug(
        "publish the written mark before writing",
        "commit/mod.rs",
        "        writer.flush()?;\n        marks.check_intact()?;\n        if writer.reach() == marks.written() {\n            return Ok(());\n        }\n        self.syncer.wrote(writer.reach());\n",
        "        if writer.reach() == marks.written() {\n            return Ok(());\n        }\n        self.syncer.wrote(writer.reach());\n        writer.flush()?;\n",
        "faults",
        "processes",
    ),
    bug(
        "forget to sync the directory of a new segment",
        "log/maker.rs",
        '        self.storage.sync_directory().map_err(StorageError::io("sync the directory of", &name))?;\n',
        "",
        "faults a_power_loss",
    ),
    bug(
        "forget to sync the directory at opening",
        "opening/mod.rs",
        '        storage.sync_directory().map_err(StorageError::io("sync", "the store directory"))?;\n',
        "",
        "faults a_store_whose_making_failed",
    ),
    bug(
        "forget to sync the directory after removing segments",
        "log/maker.rs",
        '        self.storage.sync_directory().map_err(StorageError::io("sync", "the store directory"))\n',
        "        Ok(())\n",
        "lib log::maker",
    ),
    bug(
        "forget to sync a new segment before it gets its name",
        "log/maker.rs",
        '        file.sync_all().map_err(StorageError::io("sync", &temporary))?;\n',
        "",
        "faults a_power_loss",
    ),
    bug(
        "forget to sync a full segment before the next one is written",
        "log/writer.rs",
        "        self.flush()?;\n        self.segment.sync()?;\n",
        "        self.flush()?;\n",
        "faults a_power_loss",
    ),
    bug(
        "end a segment before the next one is there",
        "log/writer.rs",
        "        let (segment, end) = self.maker.create(header, least)?;\n        self.flush()?;\n        self.segment.sync()?;\n",
        "        self.flush()?;\n        self.segment.sync()?;\n        let (segment, end) = self.maker.create(header, least)?;\n",
        "faults a_power_loss",
    ),
    bug(
        "forget the poison flag",
        "commit/sync.rs",
        "        self.marks.poison(&cause.to_string());\n",
        "        let _ = cause;\n",
        "faults after_a_failed_operation",
    ),
    bug(
        "do not look at the poison flag before appending",
        "commit/mod.rs",
        "        self.syncer.check()?;\n        let mut writer = self.view.writer.lock();",
        "        let mut writer = self.view.writer.lock();",
        "faults after_a_failed_operation",
        "processes a_failure_in_one_handle",
    ),
    bug(
        "sync a segment again after a failed sync",
        "log/segment.rs",
        "        if synced.is_ok() {\n",
        "        {\n",
        "lib log::segment",
    ),
    bug(
        "do not write the tail again at opening",
        "opening/mod.rs",
        "            tail.rewrite()?;\n",
        "            let _ = &tail;\n",
        "faults what_is_seen_or_acknowledged",
    ),
    bug(
        "leave the bytes of a torn batch where they are",
        "opening/scan.rs",
        "        tail.get_mut(kept..).unwrap_or_default().fill(0);\n",
        "        tail.truncate(kept);\n",
        "recovery opening_clears_a_torn_tail",
    ),
    bug(
        "replace the cursors without a sync",
        "storage/mod.rs",
        "    file.sync_all()?;\n",
        "",
        "faults cursors_survive",
    ),
]
