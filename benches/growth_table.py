"""The results of `benches.growth` as Markdown: a table for each store, a line for each size."""

from collections.abc import Mapping
from typing import Any

from benches.report import figure, line
from benches.results import LIMIT

COLUMNS = (
    ("bulk, events/s", "bulk"),
    ("conditional append, per s", "append"),
    ("one tag, 10 events, µs", "one_tag"),
    ("the same, read before, µs", "one_tag.again"),
    ("open after a clean close, ms", "open.clean"),
    ("open after kill -9, ms", "open.killed"),
    ("idle, resident MiB", "memory.opened"),
    ("of it anonymous", "memory.opened.anonymous"),
    ("after a full read, resident MiB", "memory.replayed"),
    ("of it anonymous", "memory.replayed.anonymous"),
    ("bytes per event", "disk"),
    ("with what is preallocated", "disk.stored"),
)
NOTE = (
    "Memory is that of a fresh process that does nothing else, all of it; 'anonymous' is what no file backs. "
    "The limit is a bare loop of pwrite and fdatasync of the same bytes, measured in turn with the appends. "
    "Ten bare reads are positioned reads of as many bytes at known places all over our log, also in turn. "
    "Bytes per event include those of the single conditional appends of the smaller sizes."
)


def markdown(growth: Mapping[str, Any]) -> str:
    """Return the tables, and what they were measured on."""
    lines: list[str] = []
    for name, title in growth["titles"].items():
        header = (
            "events",
            *(column for column, _ in COLUMNS[:2]),
            "of the limit",
            "ten bare reads, µs",
            *(c for c, _ in COLUMNS[2:]),
        )
        lines += [f"{title}:", "", line(header), line(["---:"] * len(header))]
        lines += [_line(point, name) for point in growth["points"] if name in point["median"]["append"]]
        lines.append("")
    facts = "; ".join(f"{name}: {fact}" for name, fact in growth["facts"].items())
    limits = [point["median"]["append"][LIMIT] for point in growth["points"]]
    spread = f"The limit was {figure(min(limits))} to {figure(max(limits))} per second."
    return "\n".join([*lines, f"Measured on: {facts}.", "", f"{NOTE} {spread}", ""])


def _line(point: Mapping[str, Any], name: str) -> str:
    cells = [figure(point["median"].get(key, {}).get(name)) for _, key in COLUMNS]
    ratio = point["of limit"].get(name)
    cells.insert(2, "-" if ratio is None else f"{ratio:.2f} x")
    cells.insert(3, figure(point["median"]["one_tag"].get(LIMIT)))
    return line([f"{point['events']:,}", *cells])
