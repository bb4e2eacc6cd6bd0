"""Many containers: whole lives by eight threads of one process, and five hundred alive at once."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import containerlib as cl
from benchmarks.bench import IMAGE, Bench
from benchmarks.figure_memory import LIMIT, proportional_set_size
from benchmarks.measure import Row, Skip
from benchmarks.runner import CommandError
from rig.belongings import supervisors

THREADS = 8
LIVES = {"containerlib": 1000, "crun": 200, "podman": 40}
"""Each takes some seconds."""
ALIVE = 500
NAME = f"containerlib-bench-{os.getpid()}-fleet"


def measure(bench: Bench) -> Iterator[Row]:
    ours = lives(bench)
    peers: dict[str, tuple[Callable[[Bench], float], float]] = {
        "crun run": (crun, 1 / 4),
        "podman run": (podman, 1 / 20),
    }
    for name, (peer, limit) in peers.items():
        try:
            yield Row(f"a life, {THREADS} at a time", name, ours, peer(bench), limit=limit)
        except (Skip, CommandError) as skip:
            yield Row(f"a life, {THREADS} at a time", name, ours, limit=limit, note=str(skip))
    yield from alive(bench)


def lives(bench: Bench) -> float:
    """Seconds for each container that is created, run and removed, as long as all of them take."""
    recipe = bench.recipe

    def life(_number: int) -> None:
        with recipe.create("true") as container:
            container.start()
            container.wait()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(life, range(THREADS)))
        started = time.perf_counter()
        list(pool.map(life, range(LIVES["containerlib"])))
        return (time.perf_counter() - started) / LIVES["containerlib"]


def crun(bench: Bench) -> float:
    bench.low_level("crun")  # a Skip where it does not work
    for slot in range(THREADS):
        bench.bundle(f"fleet-{slot}", "true")
    bundles = bench.directory / "bundles/fleet"
    command = f'crun --root {bench.directory / "crun"} run --bundle "{bundles}-$SLOT" {NAME}-{{}}'
    return at_once(bench, command, LIVES["crun"])


def podman(bench: Bench) -> float:
    return at_once(bench, " ".join(bench.podman.run_command(IMAGE)), LIVES["podman"])


def at_once(bench: Bench, command: str, count: int) -> float:
    each = f"seq {count} | xargs -P {THREADS} --process-slot-var=SLOT -I{{}} sh -c '{command}' >/dev/null"
    return bench.runner.seconds("sh", "-c", each) / count


def alive(bench: Bench) -> Iterator[Row]:
    with ThreadPoolExecutor(THREADS) as pool:
        started = list(pool.map(lambda _: bench.recipe.start("sleep", "1000", detach=True), range(ALIVE)))
        try:
            sizes = [proportional_set_size(pid) for _, pid in supervisors(bench.engine)]
            yield Row(
                f"memory of {len(sizes)} supervisors", "150 KiB", max(sizes), LIMIT, unit="KiB", limit=1.0
            )
            engine = bench.engine
            listing = median_of(bench.rounds, engine.containers.list)
            yield Row(f"list {ALIVE}", "20 ms", listing, 0.02, limit=1.0)
            states = median_of(bench.rounds, lambda: [one.state for one in engine.containers.list()])
            yield Row(f"list {ALIVE}, and ask the state of each", "-", states)
        finally:
            list(pool.map(remove, started))


def remove(container: cl.Container) -> None:
    container.remove(force=True)


def median_of(rounds: int, do: Callable[[], object]) -> float:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        do()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
