"""Fifty containers started one after the other, then all removed."""

from __future__ import annotations

import os
import statistics
import time
from typing import Protocol

import containerlib as cl
from benchmarks.bench import Bench
from benchmarks.measure import Row, Skip

COUNT = 50
NAME = f"containerlib-bench-{os.getpid()}"
Times = tuple[float, float]


class Fleet(Protocol):
    def start(self, number: int, /) -> None: ...
    def remove(self, number: int, /) -> None: ...


class Ours:
    def __init__(self, bench: Bench) -> None:
        self._recipe = bench.recipe
        self._started: list[cl.Container] = []

    def start(self, _number: int) -> None:
        self._started.append(self._recipe.start("sleep", "1000", detach=True))

    def remove(self, number: int) -> None:
        self._started[number].remove(force=True)


class Crun:
    def __init__(self, bench: Bench) -> None:
        self._crun = bench.low_level("crun")
        self._bundles = [bench.bundle(f"crun-{number}", "sleep", "1000") for number in range(COUNT)]

    def start(self, number: int) -> None:
        self._crun.start(self._bundles[number], f"{NAME}-{number}")

    def remove(self, number: int) -> None:
        self._crun.remove(f"{NAME}-{number}")


def measure(bench: Bench) -> list[Row]:
    times: dict[type[Fleet], list[Times]] = {Ours: [], Crun: []}
    notes: dict[type[Fleet], str] = {}
    for _ in range(max(1, bench.rounds // 5)):
        for kind in (Ours, Crun):
            try:
                times[kind].append(fifty(kind(bench)))
            except Skip as skip:
                notes[kind] = str(skip)
    note = " ".join(notes.values())
    return [
        Row(
            figure,
            "crun",
            median(times[Ours], step),
            median(times[Crun], step),
            unit="s",
            limit=0.2,
            note=note,
        )
        for step, figure in enumerate((f"start {COUNT}", f"remove {COUNT}"))
    ]


def fifty(fleet: Fleet) -> Times:
    """The seconds of starting all of them, and of removing all of them."""
    before = time.perf_counter()
    for number in range(COUNT):
        fleet.start(number)
    between = time.perf_counter()
    for number in range(COUNT):
        fleet.remove(number)
    return between - before, time.perf_counter() - between


def median(times: list[Times], step: int) -> float | None:
    return statistics.median(pair[step] for pair in times) if times else None
