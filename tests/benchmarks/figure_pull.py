"""Pull and unpack of a 500 MB image of 20,000 files from a registry on loopback, on tmpfs and on the disk."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import containerlib as cl
from benchmarks.bench import Bench
from benchmarks.measure import Row, Skip, timed
from benchmarks.peers import Docker, Podman
from rig.images import Image, Layer
from rig.registry import Registry

LAYERS = 5
FILES_PER_LAYER = 4_000
FILE_SIZE = 25_000
SHARED_MEMORY = Path("/dev/shm")


def measure(bench: Bench) -> Iterator[Row]:
    rounds = max(1, bench.rounds // 7)
    if shutil.which("docker-registry") is None or shutil.which("skopeo") is None:
        yield Row("pull 500 MB", "-", note="no docker-registry or no skopeo: install them")
        return
    with folder(SHARED_MEMORY) as fast:
        image = big_image()
        layout = image.write_layout(fast / "layout")
        del image
        with Registry(fast / "registry") as registry:
            reference = registry.push(layout, "big")
            shutil.rmtree(layout)
            for place in (SHARED_MEMORY, bench.directory):
                yield from one_place(bench, place, reference, rounds)


def one_place(bench: Bench, place: Path, reference: str, rounds: int) -> Iterator[Row]:
    figure = f"pull 500 MB, 20,000 files, {file_system(place)}"
    pulls = {"containerlib": pull_ours, "podman pull": pull_podman, "docker pull": pull_docker}
    taken: dict[str, list[float]] = {name: [] for name in pulls}
    notes: dict[str, str] = {}
    for _ in range(rounds):
        for name, pull in pulls.items():
            try:
                with folder(place) as root:
                    taken[name].append(pull(bench, root, reference))
            except Skip as skip:
                notes[name] = str(skip)
    ours, podman, docker = (statistics.median(costs) if costs else None for costs in taken.values())
    yield Row(figure, "podman pull", ours, podman, unit="s", limit=0.5, note=notes.get("podman pull", ""))
    yield Row(figure, "docker pull", ours, docker, unit="s", note=notes.get("docker pull", ""))


def pull_ours(_: Bench, root: Path, reference: str) -> float:
    with cl.Engine(root=root) as engine:
        return timed(lambda: engine.image(reference).pull())()


def pull_podman(bench: Bench, root: Path, reference: str) -> float:
    podman = Podman(bench.runner, root / "podman", bench.cgroup, temporary=root)
    try:
        return podman.pull(reference)
    finally:
        podman.close()


def pull_docker(bench: Bench, root: Path, reference: str) -> float:
    docker = Docker(bench.runner, root / "docker", bench.cgroup)
    try:
        return docker.pull(reference)
    finally:
        docker.close()


def big_image() -> Image:
    """Half of each file is random, half repeats: it compresses to about half, as programs do."""
    source = random.Random(2)
    layers = []
    for number in range(LAYERS):
        layer = Layer().directory(f"layer{number}")
        for index in range(FILES_PER_LAYER):
            if index % 100 == 0:
                layer.directory(f"layer{number}/{index // 100}")
            size = source.randrange(FILE_SIZE * 2)
            data = source.randbytes(size // 2) + b"the quick brown fox " * (size // 40)
            layer.file(f"layer{number}/{index // 100}/{index}", data)
        layers.append(layer.finish())
    return Image(tuple(layers), {"Cmd": ["/none"]})


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="containerlib-bench-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.sync()  # what one pull left to be written must not slow the next


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`."""
    best = ("", "")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        inside = point == "/" or f"{path}/".startswith(f"{point}/")
        if inside and len(point) >= len(best[0]):
            best = (point, right.split()[0])
    return best[1]
