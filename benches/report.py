"""The table in its three forms: for the terminal, for the README, for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benches.peers import OURS
from benches.results import LIMIT, Result

COLOURS = {"met": "green", "met so far": "yellow", "missed": "red", "": ""}
NOTES = (
    "Medians; ratios are medians of the ratios within each round. A round measures the stores and the limit "
    "in turn. Every append is durable when it returns.",
    "The limit is: for appends a bare loop of pwrite and fdatasync of the same bytes on a preallocated file; "
    "for full reads a copy of as many bytes in memory; for bytes on disk the payload. Reads find the page "
    "cache warm.",
    "Peers with a server have it on loopback, with its defaults; to open them is to start it, and their "
    "memory is that of server and client.",
    "'met so far': the target speaks of a larger store than this one. '-': does not apply. "
    "SQLite's memory includes the pages of its file that it maps.",
)


class Report:
    """The results of one run, to be shown."""

    def __init__(
        self,
        results: Sequence[Result],
        titles: Mapping[str, str],
        facts: Mapping[str, str],
        left_out: Sequence[str] = (),
    ) -> None:
        """Take what was measured, of whom, where, and a line for each thing that could not be."""
        self._results = results
        self._facts = facts
        self._left_out = left_out
        self._titles = dict(titles)
        self._others = {name: title for name, title in titles.items() if name != OURS}
        self._header = (
            "",
            "unit",
            titles[OURS],
            *self._others.values(),
            "limit",
            *(f"better than {title}" for title in self._others.values()),
            "of limit",
            "target",
            "reached",
            "",
        )

    def _cells(self, result: Result) -> list[str]:
        target = result.row.target
        return [
            result.row.title,
            result.row.unit,
            *(figure(result.median(name)) for name in (OURS, *self._others, LIMIT)),
            *(_times(result.ratio(OURS, name)) for name in (*self._others, LIMIT)),
            target.text if target else "",
            "" if target is None or target.against is None else _times(result.reached),
            result.verdict,
        ]

    def table(self) -> Table:
        """Return the table for a terminal."""
        title = f"{self._facts['machine']}, {self._facts['file system']}, {self._facts['date']}"
        table = Table(title=title, title_justify="left", pad_edge=False)
        for place, name in enumerate(self._header):
            left = name in ("", "unit", "target")
            table.add_column(name, justify="left" if left else "right", no_wrap=place == 0)
        for result in self._results:
            *cells, verdict = self._cells(result)
            colour = COLOURS[result.verdict]
            table.add_row(*cells, f"[{colour}]{verdict}" if colour else verdict)
        return table

    def markdown(self) -> str:
        """Return the table, what it was measured on, and how to read it."""
        lines = [
            line(self._header),
            line(["---", "---", *["---:"] * (len(self._header) - 5), *["---"] * 3]),
        ]
        lines += [line(self._cells(result)) for result in self._results]
        facts = "; ".join(f"{name}: {fact}" for name, fact in self._facts.items())
        lines += ["", f"Measured on: {facts}.", ""]
        for note in NOTES:
            lines += [note, ""]
        if self._left_out:
            lines += ["Left out:", "", *(f"- {reason}" for reason in self._left_out), ""]
        return "\n".join(lines)

    def short(self) -> str:
        """Return the table for the README: each of the others with how many times better ours is."""
        header = ("", "unit", self._header[2], *self._others.values(), "target")
        lines = [line(header), line(["---", "---", *["---:"] * (len(header) - 3), "---"])]
        for result in self._results:
            cells = [result.row.title, result.row.unit, figure(result.median(OURS))]
            for name in self._others:
                median, ratio = result.median(name), result.ratio(OURS, name)
                cells.append(figure(median) + ("" if ratio is None else f" ({_times(ratio)})"))
            target = result.row.target
            verdict = f"{target.text}: {result.verdict or 'not measured'}" if target else ""
            lines.append(line([*cells, verdict]))
        return "\n".join([*lines, ""])

    def json(self) -> str:
        """Return everything, every sample included."""
        everything: dict[str, Any] = {
            "facts": dict(self._facts),
            "ours": OURS,
            "left out": list(self._left_out),
            "titles": self._titles,
            "rows": [result.as_json(OURS) for result in self._results],
        }
        return json.dumps(everything, indent=1) + "\n"


def line(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cell.replace('  ', '&emsp;') for cell in cells)} |"


def figure(value: float | None) -> str:
    """Return a figure with three digits, or more before the point."""
    if value is None:
        return "-"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{digits}f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{figure(value)} x"
