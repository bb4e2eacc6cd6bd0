"""A container with 100 MB of memory: dumped, made an image, restored, and copied alive.

The pause that its clients see is in the first: the processes stand still for most of it.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import containerlib as cl
from benchmarks.bench import IMAGE, Bench
from benchmarks.ending import prefix
from benchmarks.measure import Row, Sample, Skip, compare, in_turns
from benchmarks.peers import LowLevel, Podman
from containerlib.engine.checkpoints import capture
from containerlib.errors import Unsupported
from containerlib.runtime.checkpoint import Options, find_criu

MEGABYTES = 100
MARK = "/dev/shm/held"
HOLD = (
    "sh",
    "-c",
    f"x=$(head -c {MEGABYTES}000000 /dev/zero | tr '\\0' a); echo held; : >{MARK}; while :; do sleep 1000; done",
)
"""What it holds is a variable of the shell's."""
_numbers = itertools.count()


def measure(bench: Bench) -> list[Row]:
    try:
        find_criu()
    except Unsupported as error:
        raise Skip(str(error)) from error
    rounds = min(bench.rounds, 7)
    with Held(bench) as held:
        peers = {"runc checkpoint": (held.runc_dump, 1.0)}
        rows = compare(f"dump of {MEGABYTES} MB", lambda: held.dump, peers, rounds)
        peers = {"podman checkpoint --export, zstd": (held.podman_checkpoint, 1.0)}
        rows += compare("the same as an image", lambda: held.checkpoint, peers, rounds)
        peers = {"runc restore": (held.runc_restore, 1.0), "podman restore": (held.podman_restore, 1.0)}
        rows += compare("restore of that", lambda: held.restore, peers, rounds)
        samples = {
            "one": lambda: held.fork(1),
            "five": lambda: held.fork(5),
            "lazy": lambda: held.fork(1, lazy=True),
        }
        medians = in_turns(samples, rounds)
    further = (medians["five"] - medians["one"]) / 4
    rows.append(Row("fork, the first copy", "150 ms", medians["one"], 0.150, limit=1.0))
    rows.append(Row("fork, lazy, the first copy", "150 ms", medians["lazy"], 0.150, limit=1.0))
    rows.append(Row("fork, each further copy", "60 ms", further, 0.060, limit=1.0))
    return rows


class Held:
    """The container, its peers, and the newest that was dumped of each."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._undo: list[Callable[[], object]] = []
        self._images: Path | None = None
        self._archive: Path | None = None
        self._image: cl.Image | None = None

    def __enter__(self) -> Held:
        self._container = self._bench.recipe.start(*HOLD)
        self._undo.append(lambda: self._container.remove(force=True))
        self._container.wait_for(log="held", timeout=60.0)
        return self

    def __exit__(self, *_: object) -> None:
        for step in reversed(self._undo):
            step()

    def dump(self) -> float:
        started = time.perf_counter()
        with capture.captured(self._container._instance, Options(leave_running=True), lasting=True):
            return time.perf_counter() - started

    def checkpoint(self) -> float:
        started = time.perf_counter()
        made = self._container.checkpoint(leave_running=True)
        taken = time.perf_counter() - started
        if self._image is not None:
            self._image.remove()
        self._image = made
        return taken

    def restore(self) -> float:
        assert self._image is not None
        started = time.perf_counter()
        again = self._image.restore()
        taken = time.perf_counter() - started
        again.remove(force=True)
        return taken

    def fork(self, count: int, *, lazy: bool = False) -> float:
        started = time.perf_counter()
        copies = self._container.fork(count, lazy=lazy)
        taken = time.perf_counter() - started
        for copy in copies:
            copy.remove(force=True)
        return taken

    def _runc(self) -> tuple[LowLevel, Path, str]:
        name, runc = f"{prefix()}-held", self._bench.low_level("runc")
        bundle = self._bench.bundle("runc-held", *HOLD)
        if self._images is None:
            runc.hold(bundle, name)
            self._undo.append(lambda: runc.remove(name))
            runc.await_file(name, MARK)
        return runc, bundle, name

    def runc_dump(self) -> Sample:
        runc, _, name = self._runc()

        def sample() -> float:
            images = self._bench.directory / f"images-{next(_numbers)}"
            images.mkdir()
            taken = runc.checkpoint(name, images)
            if self._images is not None:
                shutil.rmtree(self._images)
            self._images = images
            return taken

        return sample

    def runc_restore(self) -> Sample:
        runc, bundle, _ = self._runc()
        if self._images is None:
            raise Skip("runc has dumped nothing")
        images = self._images

        def sample() -> float:
            name = f"{prefix()}-again-{next(_numbers)}"
            taken = runc.restore(bundle, name, images)
            runc.remove(name)
            return taken

        return sample

    def podman_checkpoint(self) -> Sample:
        podman, name = self._podman()

        def sample() -> float:
            archive = self._bench.directory / f"archive-{next(_numbers)}"
            taken = podman.checkpoint(name, "--compress", "zstd", "--export", str(archive))
            if self._archive is not None:
                self._archive.unlink()
            self._archive = archive
            return taken

        return sample

    def podman_restore(self) -> Sample:
        podman, _ = self._podman()
        if self._archive is None:
            raise Skip("podman has dumped nothing")
        archive = self._archive

        def sample() -> float:
            name = f"{prefix()}-podman-{next(_numbers)}"
            taken = podman.restore(name, "--import", str(archive))
            podman.remove(name)
            return taken

        return sample

    def _podman(self) -> tuple[Podman, str]:
        podman, name = self._bench.podman, f"{prefix()}-podman-held"
        if self._archive is None:
            podman.hold(IMAGE, name, *HOLD)
            self._undo.append(lambda: podman.remove(name))
            while "held" not in podman.log(name):
                time.sleep(0.05)
        return podman, name
