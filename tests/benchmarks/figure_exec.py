"""`exec("true")` in a running container."""

from __future__ import annotations

import os
from collections.abc import Callable

from benchmarks.bench import IMAGE, Bench
from benchmarks.measure import Row, Sample, compare, timed
from benchmarks.peers import Docker, Podman

NAME = f"containerlib-bench-{os.getpid()}-exec"


def measure(bench: Bench) -> list[Row]:
    undo: list[Callable[[], object]] = []

    def ours() -> Sample:
        container = bench.recipe.start("sleep", "1000")
        undo.append(lambda: container.remove(force=True))
        return timed(lambda: container.exec("true"))

    def low_level(name: str) -> Sample:
        peer = bench.low_level(name)
        peer.start(bench.bundle(f"{name}-exec", "sleep", "1000"), NAME)
        undo.append(lambda: peer.remove(NAME))
        return lambda: peer.execute(NAME)

    def engine(peer: Podman | Docker) -> Sample:
        peer.start(IMAGE, NAME)
        undo.append(lambda: peer.remove(NAME))
        return lambda: peer.execute(NAME)

    peers = {
        "crun exec": (lambda: low_level("crun"), 0.4),
        "runc exec": (lambda: low_level("runc"), None),
        "podman exec": (lambda: engine(bench.podman), None),
        "docker exec": (lambda: engine(bench.docker), None),
    }
    try:
        return compare('exec("true")', ours, peers, bench.rounds)
    finally:
        for step in reversed(undo):
            step()
