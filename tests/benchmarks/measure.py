"""Turns, medians, and rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Sample = Callable[[], float]
"""Does the thing once. Returns what it cost: seconds, or bytes; or how fast it was: bits a second."""


@dataclass(frozen=True)
class Row:
    """One line of the table. A ratio is `ours / theirs`; `limit` is what it should not be above, `least` not below."""

    figure: str
    peer: str
    ours: float | None = None
    theirs: float | None = None
    unit: str = "ms"
    limit: float | None = None
    note: str = ""
    least: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    def cells(self) -> list[str]:
        ratio, goal, reached = self.ratio, "", True
        if self.limit is not None:
            goal, reached = f"<= {self.limit:.3g}", ratio is None or ratio <= self.limit
        elif self.least is not None:
            goal, reached = f">= {self.least:.3g}", ratio is None or ratio >= self.least
        verdict = "" if ratio is None or not goal else "yes" if reached else "NO"
        return [
            self.figure,
            amount(self.ours, self.unit),
            self.peer,
            amount(self.theirs, self.unit),
            "" if ratio is None else f"{ratio:.3f}",
            goal,
            verdict,
            self.note,
        ]


HEADINGS = ["figure", "containerlib", "peer", "peer's", "ratio", "to reach", "reached", "note"]


class Skip(Exception):
    """This cannot be measured here; the text says why."""


def timed(do: Callable[[], object]) -> Sample:
    """A sample that is the wall-clock time of `do`, in seconds."""

    def sample() -> float:
        started = time.perf_counter()
        do()
        return time.perf_counter() - started

    return sample


def in_turns(samples: Mapping[str, Sample], rounds: int, *, warm_up: int = 2) -> dict[str, float]:
    """The median of each sample, taken in turns, after `warm_up` turns that do not count."""
    taken: dict[str, list[float]] = {name: [] for name in samples}
    for turn in range(-warm_up, rounds):
        for name, sample in samples.items():
            cost = sample()
            if turn >= 0:
                taken[name].append(cost)
    return {name: statistics.median(costs) for name, costs in taken.items()}


def compare(
    figure: str,
    ours: Callable[[], Sample],
    peers: Mapping[str, tuple[Callable[[], Sample], float | None]],
    rounds: int,
) -> list[Row]:
    """A row for each peer: `{name: (what makes its sample, the ratio to reach)}`. A Skip is a row's note."""
    samples: dict[str, Sample] = {}
    notes: dict[str, str] = {}
    for name, make in {"containerlib": ours, **{name: make for name, (make, _) in peers.items()}}.items():
        try:
            samples[name] = make()
        except Skip as skip:
            notes[name] = str(skip)
    medians = in_turns(samples, rounds)
    mine = medians.get("containerlib")
    return [
        Row(
            figure,
            name,
            mine,
            medians.get(name),
            limit=limit,
            note=notes.get(name, notes.get("containerlib", "")),
        )
        for name, (_, limit) in peers.items()
    ]


def amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    scaled = {
        "us": value * 1e6,
        "ms": value * 1e3,
        "s": value,
        "KiB": value / 1024,
        "Gbit/s": value / 1e9,
    }[unit]
    return f"{scaled:.0f} {unit}" if scaled >= 1000 else f"{scaled:.2f} {unit}"


def table(rows: list[list[str]]) -> str:
    """`rows`, the first of them headings, in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
