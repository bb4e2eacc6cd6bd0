"""A megabyte in and out of `exec("cat")`: as a whole, and what it adds to a command that moves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from benchmarks.bench import IMAGE, Bench
from benchmarks.measure import Row, Skip, in_turns, timed

SIZE = 1 << 20
LIMIT = SIZE / 500e6
"""Seconds: 500 MB/s."""
NAME = f"containerlib-bench-{os.getpid()}-streams"


def measure(bench: Bench) -> Iterator[Row]:
    data = os.urandom(SIZE)
    file = bench.directory / "megabyte"
    file.write_bytes(data)
    container = bench.recipe.start("sleep", "1000")
    undo: list[Callable[[], object]] = [lambda: container.remove(force=True)]
    samples = {
        "cat": timed(lambda: container.exec("cat", input=data)),
        "true": timed(lambda: container.exec("true", input=b"")),
    }
    notes = {}

    def crun() -> None:
        peer = bench.low_level("crun")
        peer.start(bench.bundle("crun-streams", "sleep", "1000"), NAME)
        undo.append(lambda: peer.remove(NAME))
        samples["crun exec"] = lambda: peer.pass_through(NAME, file)

    def podman() -> None:
        peer = bench.podman
        peer.start(IMAGE, NAME)
        undo.append(lambda: peer.remove(NAME))
        samples["podman exec"] = lambda: peer.pass_through(NAME, file)

    try:
        for name, add in {"crun exec": crun, "podman exec": podman}.items():
            try:
                add()
            except Skip as skip:
                notes[name] = str(skip)
        medians = in_turns(samples, bench.rounds)
    finally:
        for step in reversed(undo):
            step()
    figure = '1 MB through exec("cat")'
    yield Row(f"{figure}, beyond exec", "500 MB/s", medians["cat"] - medians["true"], LIMIT, limit=1.0)
    for name in ("crun exec", "podman exec"):
        yield Row(figure, name, medians["cat"], medians.get(name), note=notes.get(name, ""))
