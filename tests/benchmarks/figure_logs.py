"""What a container writes on its way to its log: how fast, and how soon a follower has it; against the supervisors of
podman and of containerd, whose log has neither times nor streams.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.bench import IMAGE, Bench
from benchmarks.measure import Row, Sample, compare, timed
from benchmarks.peers_images import Containerd

NAME = f"containerlib-bench-{os.getpid()}-logs"
LINE = b"x" * 99 + b"\n"
SIZE = 128 << 20
WANTED = 200e6
"""Bytes a second."""
LATE = 0.005


def measure(bench: Bench) -> Iterator[Row]:
    yield from throughput(bench)
    yield from latency(bench)


def throughput(bench: Bench) -> Iterator[Row]:
    """What writing the lines adds to a container's life."""
    lines = bench.directory / "lines"
    lines.write_bytes(LINE * (SIZE // len(LINE)))
    empty = bench.directory / "empty"
    empty.touch()
    recipe = bench.recipe
    undo: list[Callable[[], object]] = []

    def our_life(source: Path) -> float:
        def live() -> None:
            with recipe.mount(source, at="/lines").start("cat", "/lines") as container:
                container.wait()

        return timed(live)()

    def conmon() -> Sample:
        podman = bench.podman

        def life(source: Path) -> float:
            taken = podman.start_logged(IMAGE, NAME, source, "cat", "/lines") + podman.wait(NAME)
            podman.remove(NAME)
            return taken

        return beyond_empty(life)

    def containerd_shim() -> Sample:
        peer = Containerd(bench.runner, bench.directory / "containerd")
        undo.append(peer.close)
        log = bench.directory / "containerd.log"

        def life(source: Path) -> float:
            log.unlink(missing_ok=True)
            return peer.life_logged(NAME, bench.rootfs, source, log, "/bin/cat", "/lines")

        life(empty)  # a Skip where it does not work
        return beyond_empty(life)

    def beyond_empty(life: Callable[[Path], float]) -> Sample:
        return lambda: life(lines) - life(empty)

    figure = f"log {SIZE >> 20} MiB of lines"
    try:
        rows = compare(
            figure,
            lambda: beyond_empty(our_life),
            {"conmon": (conmon, 1.0), "containerd-shim": (containerd_shim, None)},
            max(3, bench.rounds // 5),
        )
    finally:
        for step in undo:
            step()
    yield Row(figure, "200 MB/s", rows[0].ours, SIZE / WANTED, limit=1.0)
    yield from rows


def latency(bench: Bench) -> Iterator[Row]:
    """From the write of a line to the follower's next record; the container's `cat` is on the way."""
    undo: list[Callable[[], object]] = []

    def gate(name: str) -> Path:
        path = bench.directory / name
        os.mkfifo(path)
        return path

    def sample(path: Path, take: Callable[[], str]) -> Sample:
        writer = open(path, "w", buffering=1)  # noqa: SIM115 - `undo` closes it
        undo.append(writer.close)
        numbers = itertools.count()

        def one() -> None:
            line = f"{next(numbers):099}"
            writer.write(f"{line}\n")
            while take().rstrip() != line:
                continue

        return timed(one)

    def ours() -> Sample:
        path = gate("our-gate")
        container = bench.recipe.mount(path, at="/lines").start("cat", "/lines")
        undo.append(lambda: container.remove(force=True))
        records = container.logs(follow=True)
        return sample(path, lambda: next(records).text)

    def conmon() -> Sample:
        path = gate("their-gate")
        bench.podman.start_logged(IMAGE, NAME, path, "cat", "/lines")
        undo.append(lambda: bench.podman.remove(NAME))
        follower = subprocess.Popen(bench.podman.follow(NAME), stdout=subprocess.PIPE, text=True)
        undo.append(follower.communicate)
        undo.append(follower.kill)
        assert follower.stdout is not None
        return sample(path, follower.stdout.readline)

    figure = "a line to its follower"
    try:
        rows = compare(figure, ours, {"podman logs -f": (conmon, None)}, bench.rounds)
        yield Row(figure, "5 ms", rows[0].ours, LATE, limit=1.0)
        yield from rows
    finally:
        for step in reversed(undo):
            step()
