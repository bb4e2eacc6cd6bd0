"""In-process `run("true")`: snapshot, log and removal included, against one command line of each peer."""

from __future__ import annotations

from benchmarks.bench import IMAGE, Bench
from benchmarks.measure import Row, Sample, compare, timed


def measure(bench: Bench) -> list[Row]:
    def ours() -> Sample:
        recipe = bench.recipe
        return timed(lambda: recipe.run("true"))

    def floor(variant: str) -> Sample:
        program = bench.floor
        return lambda: program.sample(variant)

    def podman() -> Sample:
        peer = bench.podman
        return lambda: peer.run(IMAGE)

    def docker() -> Sample:
        peer = bench.docker
        return lambda: peer.run(IMAGE)

    peers = {
        "crun run": (lambda: bench.low_level("crun").run, 0.4),
        "floor, docker-like": (lambda: floor("docker"), 2.0),
        "floor, three mounts": (lambda: floor("three"), None),
        "runc run": (lambda: bench.low_level("runc").run, None),
        "podman run --rm": (podman, 1 / 30),
        "docker run --rm": (docker, None),
    }
    return compare('run("true")', ours, peers, bench.rounds)
