"""The rows of the table, in its order, and what each should reach."""

from benches.results import LIMIT, Row, Target
from benches.run import Settings
from benches.workload import PAYLOAD_BYTES, PER_ORDER, History

TEN_MILLION = 10_000_000
MILLION = 1_000_000
AGAIN = "  the same, read before"


def rows(history: History, settings: Settings) -> list[Row]:
    """Return all rows for a store of so many events."""
    events, dense = f"{history.events:,}", f"{history.dense:,}"
    few = f"{PER_ORDER} of {events} events"
    return [
        Row(
            "append", "conditional append, 1 thread", "per s", "more",
            Target(">= 0.85 x the limit", 0.85, LIMIT),
        ),
        Row("append.p50", "  half of them within", "µs", "less"),
        Row(
            "append.full", f"conditional append, {events} events stored", "per s", "more",
            Target(">= 0.95 x empty", 0.95, "append", MILLION),
        ),
        Row("append.full.p50", "  half of them within", "µs", "less"),
        *(_threads(count) for count in settings.threads),
        Row(
            "append.tasks", f"conditional append, {settings.tasks:,} asyncio tasks",
            "per s", "more",
            Target(">= 80,000", 80_000),
        ),
        *(_processes(count) for count in settings.processes),
        Row(
            "command", "command: read 10, decide, append", "per s", "more",
            Target(">= 0.8 x the append above", 0.8, "append.full"),
        ),
        Row(
            "bulk", "unconditional, 1,000 events per append", "events/s", "more",
            Target(">= 700,000", 700_000),
        ),
        Row("bulk.made", "  making the events included", "events/s", "more"),
        Row(
            "replay", f"full read of {events} events, touching nothing", "events/s", "more",
            Target(">= 2,000,000", 2_000_000),
        ),
        Row(
            "replay.fields", "full read, touching every field", "events/s", "more",
            Target(">= 1,000,000", 1_000_000),
        ),
        Row("replay.first", "full read, first event within", "µs", "less", Target("<= 1 ms", 1000)),
        Row("one_tag", f"one tag, {few}", "µs", "less", Target("<= 10 µs", 10, events=MILLION)),
        Row("one_tag.again", AGAIN, "µs", "less", Target("<= 10 µs", 10, events=MILLION)),
        Row(
            "two_tags", f"two tags ANDed, {dense} each, 10 in both", "µs", "less",
            Target("<= 40 µs", 40, events=MILLION),
        ),
        Row("two_tags.again", AGAIN, "µs", "less", Target("<= 40 µs", 40, events=MILLION)),
        Row("type", f"type only, {few}", "µs", "less", Target("<= 20 µs", 20, events=MILLION)),
        Row("type.again", AGAIN, "µs", "less", Target("<= 20 µs", 20, events=MILLION)),
        Row("last", "last event of a tag", "µs", "less", Target("<= 5 µs", 5)),
        Row("last.again", AGAIN, "µs", "less", Target("<= 5 µs", 5)),
        Row(
            "disk.bulk", f"bytes on disk per event of {PAYLOAD_BYTES} bytes, bulk", "bytes", "less",
            Target("<= 1.3 x payload", 1.3, LIMIT),
        ),
        Row("disk.bulk.stored", "  with what is preallocated", "bytes", "less"),
        Row(
            "disk.single", "bytes on disk per event, conditional appends", "bytes", "less",
            Target("<= 1.6 x payload", 1.6, LIMIT),
        ),
        Row("disk.single.stored", "  with what is preallocated", "bytes", "less"),
        Row(
            "disk.written", "bytes the disk writes per conditional append, journal included", "bytes", "less",
            Target("<= 4,096 + the event", 4096 + PAYLOAD_BYTES),
        ),
        Row(
            "open.clean", f"open {events} events after a clean close", "ms", "less",
            Target("<= 50 ms at 10M", 50, events=TEN_MILLION),
        ),
        Row(
            "open.killed", "open after kill -9", "ms", "less",
            Target("<= 1 s at 10M", 1000, events=TEN_MILLION),
        ),
        Row(
            "subscription", "subscription, delay after the acknowledgement", "µs", "less",
            Target("<= 50 µs", 50),
        ),
        Row(
            "subscription.processes", "  in another process", "µs", "less",
            Target("<= 200 µs", 200),
        ),
        Row(
            "memory.idle", f"resident memory, {events} events stored, idle", "MiB", "less",
            Target("<= 100 MiB at 10M", 100, events=TEN_MILLION),
        ),
        Row("memory.replay", "  more during a full read", "MiB", "less", Target("<= 50 MiB", 50)),
    ]  # fmt: skip


def _threads(count: int) -> Row:
    bound = 25_000 if count == 8 else 50_000
    target = Target(f">= {bound:,}", bound) if count in (8, 32, 128) else None
    return Row(f"append.{count}", f"conditional append, {count} threads", "per s", "more", target)


def _processes(count: int) -> Row:
    title = f"conditional append, {count} process{'es' if count > 1 else ''}, 1 thread each"
    target = Target(">= 2.5 x one process", 2.5, "append.processes.1") if count == 8 else None
    return Row(f"append.processes.{count}", title, "per s", "more", target)
