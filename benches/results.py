"""What a measurement gives: samples by row and subject, medians, ratios, and the verdict on a target."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["met", "met so far", "missed", ""]

LIMIT = "limit"
"""The subject that no store can beat."""

Measured = Mapping[str, float]
"""One sample for each of some rows, by the row's key."""
Samples = dict[str, dict[str, list[float]]]
"""Samples by row and subject. Those at the same place in two lists were taken in the same round."""


@dataclass(frozen=True)
class Target:
    """What ours should reach, against a reference of the same round."""

    text: str
    bound: float
    against: str | None = None
    """None: the figure itself; `LIMIT`: its ratio to the limit; else its ratio to our figure of that row."""
    events: int = 0
    """How many stored events the target speaks of: with fewer, meeting it proves little."""


@dataclass(frozen=True)
class Row:
    """One row of the table, before it is measured."""

    key: str
    title: str
    unit: str
    better: Literal["more", "less"]
    target: Target | None = None


@dataclass(frozen=True)
class Result:
    """One row of the table, measured. Medians, and medians of the ratios within each round."""

    row: Row
    samples: Mapping[str, list[float]]
    reached: float | None
    """Our figure in terms of the target."""
    verdict: Verdict

    def median(self, subject: str) -> float | None:
        """Return the median of a subject's samples, None if it was not measured."""
        samples = self.samples.get(subject)
        return statistics.median(samples) if samples else None

    def ratio(self, ours: str, subject: str) -> float | None:
        """Return ours in proportion to a limit; how many times better ours is than another store."""
        ratio = paired(self.samples.get(ours), self.samples.get(subject))
        if ratio is not None and subject != LIMIT and self.row.better == "less":
            # The median of the inverse is the inverse of the median but for even counts: near enough.
            return 1 / ratio if ratio else None
        return ratio

    def as_json(self, ours: str) -> dict[str, Any]:
        """Return everything about the row."""
        others = [subject for subject in self.samples if subject != ours]
        target = self.row.target
        return {
            "key": self.row.key,
            "title": self.row.title,
            "unit": self.row.unit,
            "better": self.row.better,
            "median": {subject: self.median(subject) for subject in self.samples},
            "samples": dict(self.samples),
            "ratio": {subject: self.ratio(ours, subject) for subject in others},
            "target": None if target is None else {"text": target.text, "bound": target.bound},
            "reached": self.reached,
            "verdict": self.verdict,
        }


def judge(rows: list[Row], samples: Samples, ours: str, events: int) -> list[Result]:
    """Return a result for each row; what was not measured has no figures."""
    results = []
    for row in rows:
        measured = samples.get(row.key, {})
        reached = _reached(row, samples, ours)
        verdict: Verdict = ""
        if row.target is not None and reached is not None:
            verdict = _verdict(row, row.target, reached, events)
        results.append(Result(row, measured, reached, verdict))
    return results


def _reached(row: Row, samples: Samples, ours: str) -> float | None:
    measured = samples.get(row.key, {})
    mine = measured.get(ours)
    if row.target is None or not mine:
        return None
    match row.target.against:
        case None:
            return statistics.median(mine)
        case "limit":
            return paired(mine, measured.get(LIMIT))
        case other:
            return paired(mine, samples.get(other, {}).get(ours))


def _verdict(row: Row, target: Target, reached: float, events: int) -> Verdict:
    if not (reached >= target.bound if row.better == "more" else reached <= target.bound):
        return "missed"
    return "met" if events >= target.events else "met so far"


def medians(samples: Samples) -> dict[str, dict[str, float]]:
    """Return the medians by row and subject."""
    return {
        key: {subject: statistics.median(values) for subject, values in subjects.items()}
        for key, subjects in samples.items()
    }


def paired(ours: list[float] | None, theirs: list[float] | None) -> float | None:
    """Return the median of the ratios within each round."""
    if not ours or not theirs:
        return None
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
    return statistics.median(ratios) if ratios else None


@dataclass(frozen=True)
class Latencies:
    """How long each call of a loop took."""

    nanoseconds: list[int]
    seconds: float

    @classmethod
    def of(cls, call: Callable[[], object], seconds: float) -> "Latencies":
        """Call again and again for so long, at least once."""
        clock, times = time.perf_counter_ns, list[int]()
        start = now = clock()
        end = start + int(seconds * 1e9)
        while now < end or not times:
            before = now
            call()
            now = clock()
            times.append(now - before)
        return cls(times, (now - start) / 1e9)

    @property
    def per_second(self) -> float:
        """Calls per second."""
        return len(self.nanoseconds) / self.seconds

    @property
    def median(self) -> float:
        """Microseconds of the call in the middle."""
        return statistics.median(self.nanoseconds) / 1000
