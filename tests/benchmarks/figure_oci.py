"""The OCI runtime: its command against other runtimes' commands, its verbs as calls against theirs as processes."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figure_memory import proportional_set_size
from benchmarks.measure import Row, Sample, Skip, compare, in_turns, timed
from benchmarks.peers import LowLevel
from benchmarks.runner import Runner
from containerlib.runtime.containers.containers import Container, Containers
from containerlib.runtime.containers.create import create
from containerlib.runtime.containers.delete import delete
from containerlib.runtime.containers.execute import execute
from containerlib.runtime.containers.kill import kill
from containerlib.runtime.containers.pause import pause, resume
from containerlib.runtime.containers.start import start
from rig.oci import SCRIPT

NAME = f"containerlib-bench-{os.getpid()}"
THREADS = 8
MANY = 200
OTHERS = (100, 1000)


def measure(bench: Bench) -> Iterator[Row]:
    yield from run_command(bench)
    with in_process(bench) as ours:
        yield from four_verbs(bench, ours)
        yield from exec_call(bench, ours)
        yield from joining_memory(ours)
        yield from pause_and_resume(bench, ours)
        yield from many_at_once(bench, ours)
        yield from among_others(bench, ours)


class InProcess:
    """Our verbs as calls."""

    def __init__(self, bench: Bench) -> None:
        self._containers = Containers(str(bench.directory / "oci"))
        self._bench = bench
        self._numbers = itertools.count()

    def make(self, *argv: str) -> Container:
        """A running container of a bundle of its own."""
        number = next(self._numbers)
        bundle = self._bench.bundle(f"call-{number}", *(argv or ("sleep", "1000")))
        return self.started(bundle, f"{NAME}-call-{number}")

    def started(self, bundle: Path, name: str) -> Container:
        container = create(self._containers, name, str(bundle))
        start(container)
        return container

    def remove(self, container: Container) -> None:
        delete(self._containers, container.id, force=True)

    def whole_life(self, bundle: Path, name: str) -> None:
        """create, start, kill, delete."""
        container = self.started(bundle, name)
        kill(container, signal.SIGKILL)
        delete(self._containers, name, force=True)


@contextmanager
def in_process(bench: Bench) -> Iterator[InProcess]:
    ours = InProcess(bench)
    try:
        yield ours
    finally:
        found, _ = ours._containers.list()
        for container in found:
            ours.remove(container)


def run_command(bench: Bench) -> list[Row]:
    def ours() -> Sample:
        return LowLevel(
            "containerlib-oci",
            bench.runner,
            bench.directory,
            bench.bundle("oci-run", "true"),
            command=(str(SCRIPT),),
        ).run

    peers = {
        "crun run": (lambda: bench.low_level("crun").run, 4.0),
        "runc run": (lambda: bench.low_level("runc").run, 1.0),
    }
    return compare("containerlib-oci run", ours, peers, bench.rounds)


def four_verbs(bench: Bench, ours: InProcess) -> list[Row]:
    bundle = bench.bundle("verbs", "sleep", "1000")

    def peer(name: str) -> Sample:
        runtime = bench.low_level(name)
        return lambda: runtime.whole_life(bundle, f"{NAME}-verbs")

    peers = {"crun's": (lambda: peer("crun"), 0.4), "runc's": (lambda: peer("runc"), None)}
    mine = lambda: timed(lambda: ours.whole_life(bundle, f"{NAME}-verbs"))  # noqa: E731
    return compare("create+start+kill+delete", mine, peers, bench.rounds)


def exec_call(bench: Bench, ours: InProcess) -> list[Row]:
    container = ours.make()

    def run_true() -> None:
        process = {**container.spec()["process"], "args": ["true"]}
        with execute(container, process) as supervisor:  # type: ignore[arg-type]
            supervisor.wait()
            supervisor.finished()

    peer = bench.low_level("crun")
    name = f"{NAME}-oci-exec"
    peer.start(bench.bundle("crun-oci-exec", "sleep", "1000"), name)
    try:
        peers: dict[str, tuple[Callable[[], Sample], float | None]] = {
            "crun exec": (lambda: lambda: peer.execute(name), 0.35)
        }
        return compare("exec as a call", lambda: timed(run_true), peers, bench.rounds)
    finally:
        peer.remove(name)
        ours.remove(container)


def joining_memory(ours: InProcess) -> list[Row]:
    """What the helper of an exec weighs while its process runs."""
    container = ours.make()
    process = {**container.spec()["process"], "args": ["sleep", "1000"]}
    try:
        with execute(container, process) as supervisor:  # type: ignore[arg-type]
            stat = Path(f"/proc/{supervisor.pid}/stat").read_text()
            helper = int(stat.rpartition(")")[2].split()[1])
            weight = proportional_set_size(helper)
        return [Row("helper of an exec, PSS", "-", float(weight), unit="KiB")]
    finally:
        ours.remove(container)


def pause_and_resume(bench: Bench, ours: InProcess) -> list[Row]:
    container = ours.make()

    def both() -> None:
        pause(container)
        resume(container)

    peer = bench.low_level("crun")
    name = f"{NAME}-oci-pause"
    peer.start(bench.bundle("crun-oci-pause", "sleep", "1000"), name)
    try:
        peers: dict[str, tuple[Callable[[], Sample], float | None]] = {
            "crun's": (lambda: lambda: peer.pause_and_resume(name), None)
        }
        rows = compare("pause+resume", lambda: timed(both), peers, bench.rounds)
        return [*rows, Row("pause+resume", "1 ms", rows[0].ours, 1e-3, limit=1.0)]
    finally:
        peer.remove(name)
        ours.remove(container)


def many_at_once(bench: Bench, ours: InProcess) -> list[Row]:
    """Containers started by several threads; what they are removed in does not count."""
    bundles = [bench.bundle(f"many-{number}", "sleep", "1000") for number in range(MANY)]
    made: list[Container] = []
    mine = by_threads(lambda _, number: made.append(ours.started(bundles[number], f"{NAME}-many-{number}")))
    for container in made:
        ours.remove(container)
    figure = f"start {MANY} by {THREADS} threads"
    runners = [Runner() for _ in range(THREADS)]
    try:
        peers = [
            LowLevel("crun", runner, bench.directory, bench.bundle("warm", "true")) for runner in runners
        ]
        theirs = by_threads(
            lambda thread, number: peers[thread].start(bundles[number], f"{NAME}-peer-{number}")
        )
        for number in range(MANY):
            peers[0].remove(f"{NAME}-peer-{number}")
    except Skip as skip:
        return [Row(figure, "crun", mine, unit="s", note=str(skip))]
    finally:
        for runner in runners:
            runner.close()
    return [Row(figure, "crun", mine, theirs, unit="s", limit=0.25)]


def by_threads(do: Callable[[int, int], object]) -> float:
    """`do(thread, number)` for each number, a thread's one after the other; the seconds until all are done."""

    def share(thread: int) -> None:
        for number in range(thread, MANY, THREADS):
            do(thread, number)

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(share, range(THREADS)))
    return time.perf_counter() - started


def among_others(bench: Bench, ours: InProcess) -> Iterator[Row]:
    """What a start costs while others run; the medians of the same number of turns."""
    bundle = bench.bundle("among", "sleep", "1000")

    def one_start() -> float:
        before = time.perf_counter()
        container = ours.started(bundle, f"{NAME}-among")
        taken = time.perf_counter() - before
        ours.remove(container)
        return taken

    alone = in_turns({"ours": one_start}, bench.rounds)["ours"]
    others: list[Container] = []
    try:
        for count in OTHERS:
            while len(others) < count:
                others.append(ours.make())
            among = in_turns({"ours": one_start}, bench.rounds)["ours"]
            yield Row(f"start among {count} others", "among none", among, alone, limit=1.2)
    finally:
        for container in others:
            ours.remove(container)
