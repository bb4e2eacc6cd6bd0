"""The proportional set size of the supervisor of one idle container, against podman's conmon."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import IMAGE, Bench
from benchmarks.measure import Row, Skip
from rig.leaks import OURS, our_processes

LIMIT = 150 * 1024
NAME = f"containerlib-bench-{os.getpid()}-idle"


def measure(bench: Bench) -> Iterator[Row]:
    ours = our_supervisor(bench)
    yield Row("memory of an idle supervisor", "150 KiB", ours, LIMIT, unit="KiB", limit=1.0)
    try:
        yield Row("memory of an idle supervisor", "conmon", ours, conmon(bench), unit="KiB")
    except Skip as skip:
        yield Row("memory of an idle supervisor", "conmon", ours, unit="KiB", note=str(skip))


def our_supervisor(bench: Bench) -> float:
    recipe = bench.recipe
    before = set(our_processes())
    with recipe.start("sleep", "1000"):
        time.sleep(0.2)
        new = sorted(set(our_processes()) - before)
        supervisors = [line for line in new if OURS in line]
        if not supervisors:
            raise Skip(f"no supervisor among {new}")
        return sum(proportional_set_size(pid_of(line)) for line in supervisors)


def conmon(bench: Bench) -> float:
    podman = bench.podman
    podman.start(IMAGE, NAME)
    try:
        time.sleep(0.2)
        return proportional_set_size(podman.monitor(NAME))
    finally:
        podman.remove(NAME)


def pid_of(line: str) -> int:
    words = line.split()
    return int(words[words.index("pid") + 1])


def proportional_set_size(pid: int) -> int:
    """Bytes. Spec: proc_pid_smaps(5)"""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise Skip(f"no Pss of process {pid}")
