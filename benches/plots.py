"""Plots of what `benches.table` and `benches.growth` measured: `python -m benches.plots`.

Reads `results.json` and `growth.json`, writes `growth.png`, `throughput.png` and `scaling.png`.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benches.family import ROOT
from benches.peers import OURS
from benches.results import LIMIT
from benches.table import DIRECTORY

PLOTS = ROOT / "docs" / "plots"
# Okabe and Ito's palette: told apart by everybody.
COLOURS = {
    OURS: "#0072B2",
    "sqlite": "#E69F00",
    "umadb": "#009E73",
    "eventsourcing": "#D55E00",
    LIMIT: "#777777",
}
LIMIT_TITLE = "bare loop of pwrite and fdatasync"
LIMIT_TITLES = defaultdict(str, {"per s": LIMIT_TITLE, "µs": "ten bare reads"})
"""By unit."""
LOGARITHMIC = ("ms", "MiB")
"""What may grow with the log is drawn to a scale that shows it at every size."""
PANELS: tuple[tuple[str, str, Sequence[tuple[str, str, str]]], ...] = (
    ("conditional append", "per s", (("append", "-", ""),)),
    (
        "one tag, 10 events",
        "µs",
        (("one_tag", "-", ""), ("one_tag.again", "--", "read before")),
    ),
    ("opening", "ms", (("open.clean", "-", "after a clean close"), ("open.killed", "--", "after kill -9"))),
    (
        "memory of a fresh process",
        "MiB",
        (
            ("memory.opened", "-", "idle"),
            ("memory.opened.anonymous", ":", "idle, anonymous"),
            ("memory.replayed", "--", "after a full read"),
        ),
    ),
    ("bytes on disk per event", "bytes", (("disk", "-", ""),)),
)
Series = Mapping[str, Sequence[tuple[float, float]]]
"""Points (x, y) by subject."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what is there."""
    parser = argparse.ArgumentParser(prog="python -m benches.plots", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="has the results")
    parser.add_argument("--plots", type=Path, default=PLOTS, help="gets the plots")
    options = parser.parse_args(arguments)
    plots: Path = options.plots
    plots.mkdir(parents=True, exist_ok=True)
    results, growth = (options.directory / name for name in ("results.json", "growth.json"))
    if results.exists():
        measured = json.loads(results.read_text())
        draw_throughput(measured, plots / "throughput.png")
        draw_scaling(measured, plots / "scaling.png")
    if growth.exists():
        draw_growth(json.loads(growth.read_text()), plots / "growth.png")
    return 0


def draw_growth(growth: Mapping[str, Any], file: Path) -> None:
    """Draw small multiples over the number of events: one panel for each thing that might grow."""
    titles = growth["titles"]
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True).flat
    ratios = {
        name: [(p["events"], p["of limit"][name]) for p in growth["points"] if p["of limit"].get(name)]
        for name in titles
    }
    panels: list[tuple[str, str, list[tuple[Series, str, str]]]] = [
        ("conditional append, of the limit", "x", [(ratios, "-", "")])
    ]
    panels += [
        (title, unit, [(_curve(growth, key), style, label) for key, style, label in curves])
        for title, unit, curves in PANELS
    ]
    for place, (title, unit, curves) in zip(axes, panels, strict=True):
        for series, style, label in curves:
            for name, points in series.items():
                text = ", ".join(filter(None, (titles.get(name, LIMIT_TITLES[unit]), label)))
                _line(place, points, name, text, style)
        place.set(title=title, ylabel=unit, xscale="log", xlabel="events")
        if unit in LOGARITHMIC:
            _logarithmic(place.yaxis, 10)
        else:
            place.set_ylim(bottom=0)
        place.grid(alpha=0.3)
        place.legend(fontsize="x-small")
    _save(figure, growth["facts"], file)


def _curve(growth: Mapping[str, Any], key: str) -> Series:
    names = (*growth["titles"], LIMIT)
    curves = {
        name: [
            (point["events"], point["median"][key][name])
            for point in growth["points"]
            if name in point["median"].get(key, {})
        ]
        for name in names
    }
    return {name: points for name, points in curves.items() if points}


def throughput(results: Mapping[str, Any], kind: str) -> Series:
    """Return conditional appends per second by how many threads (or processes) append, for each subject."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in results["rows"]:
        prefix, _, count = row["key"].rpartition(".")
        if row["key"] == "append" and kind == "threads":
            count = "1"
        elif prefix != ("append" if kind == "threads" else f"append.{kind}") or not count.isdigit():
            continue
        for name, median in row["median"].items():
            series.setdefault(name, []).append((int(count), median))
    return series


def draw_throughput(results: Mapping[str, Any], file: Path) -> None:
    """Draw conditional appends per second over threads and over processes."""
    titles = results["titles"]
    figure = Figure(figsize=(11, 5), layout="constrained")
    for place, kind in zip(figure.subplots(1, 2, sharey=True), ("threads", "processes"), strict=True):
        for name, points in throughput(results, kind).items():
            if name == LIMIT:
                place.axhline(points[0][1], color=COLOURS[LIMIT], linestyle=":", label=LIMIT_TITLE)
            else:
                _line(place, points, name, titles[name], "-")
        title = "threads of one process" if kind == "threads" else "processes with one thread each"
        place.set(title=f"conditional appends, {title}", xlabel=kind, ylabel="per s")
        _logarithmic(place.yaxis, 10)
        _logarithmic(place.xaxis, 2)
        place.grid(alpha=0.3)
        place.legend(fontsize="small")
    _save(figure, results["facts"], file)


def scaling(series: Series) -> Series:
    """Return each series in terms of its first point; one that does not begin at 1 is left out."""
    return {
        name: [(count, rate / points[0][1]) for count, rate in points]
        for name, points in series.items()
        if points and points[0][0] == 1
    }


def draw_scaling(results: Mapping[str, Any], file: Path) -> None:
    """Draw how many times the appends of one process several get done together."""
    figure = Figure(figsize=(6.5, 5), layout="constrained")
    place = figure.subplots()
    for name, points in scaling(throughput(results, "processes")).items():
        _line(place, points, name, results["titles"][name], "-")
    place.plot(8, 2.5, marker="*", markersize=12, linestyle="", color=COLOURS[LIMIT], label="target")
    place.set(title="conditional appends, one thread each", xlabel="processes", ylabel="times one process")
    _logarithmic(place.xaxis, 2)
    place.set_ylim(bottom=0)
    place.grid(alpha=0.3)
    place.legend(fontsize="small")
    _save(figure, results["facts"], file)


def _line(place: Any, points: Sequence[tuple[float, float]], name: str, label: str, style: str) -> None:
    x, y = zip(*points, strict=True)
    place.plot(x, y, style, marker="o", markersize=3.5, color=COLOURS.get(name), label=label)


def _logarithmic(axis: Any, base: int) -> None:
    # Labels as numbers, at 1, 2 and 5 of each decade.
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(base, subs=(1, 2, 5) if base == 10 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:,g}")


def _save(figure: Figure, facts: Mapping[str, str], file: Path) -> None:
    figure.supxlabel(
        f"{facts['processor']}, {facts['file system']}, {facts['kernel']}, {facts['date']}",
        fontsize="x-small",
        color=COLOURS[LIMIT],
    )
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
