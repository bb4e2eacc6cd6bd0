"""A layer's tar, from memory to one EROFS file on disk, beside the directory of the same layer, `tar x`, and
mkfs.erofs of the unpacked tree. What each writes is synced within its time."""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.ending import SHARED_MEMORY
from benchmarks.figure_pull import file_system, folder
from benchmarks.measure import Row, timed
from containerlib._sys.erofs import ErofsWriter
from containerlib._sys.filesystem import sync_filesystem
from containerlib._sys.layers import LayerWriter
from rig.images import Layer

SHAPES = {"500 MB, 20,000 files": (20_000, 25_000), "300,000 small files": (300_000, 1_000)}
CHUNK = 1 << 18
FILES_PER_DIRECTORY = 40


def measure(bench: Bench) -> Iterator[Row]:
    rounds = max(1, bench.rounds // 7)
    for shape, (files, size) in SHAPES.items():
        data = archive(files, size)
        for place in (SHARED_MEMORY, bench.directory):
            yield from one_place(f"layer of {shape}, {file_system(place)}", data, place, rounds)


def one_place(figure: str, data: bytes, place: Path, rounds: int) -> Iterator[Row]:
    ways: dict[str, Callable[[bytes, Path], None]] = {
        "containerlib": write_erofs,
        "directory": write_directory,
        "tar x": extract,
    }
    taken: dict[str, list[float]] = {name: [] for name in (*ways, "mkfs.erofs")}
    for _ in range(rounds):
        for name, way in ways.items():
            with folder(place) as root:
                taken[name].append(timed(partial(run_and_sync, way, data, root))())
                if name == "tar x" and shutil.which("mkfs.erofs"):
                    taken["mkfs.erofs"].append(timed(partial(run_and_sync, make_image, data, root))())
    ours, *theirs = (statistics.median(costs) if costs else None for costs in taken.values())
    for peer, cost in zip(list(taken)[1:], theirs, strict=True):
        note = f"{len(data) / ours / 1e6:.0f} MB/s of tar" if ours and peer == "directory" else ""
        yield Row(figure, peer, ours, cost, unit="s", limit=0.5, note=note)


def run_and_sync(way: Callable[[bytes, Path], None], data: bytes, root: Path) -> None:
    way(data, root)
    sync_filesystem(str(root))


def write_erofs(data: bytes, root: Path) -> None:
    with ErofsWriter(str(root / "image")) as writer:
        feed(writer, data)
        writer.finish()


def write_directory(data: bytes, root: Path) -> None:
    (root / "layer").mkdir()
    with LayerWriter(str(root / "layer")) as writer:
        feed(writer, data)
        writer.finish()


def feed(writer: ErofsWriter | LayerWriter, data: bytes) -> None:
    view = memoryview(data)
    for start in range(0, len(data), CHUNK):
        writer.feed(view[start : start + CHUNK])


def extract(data: bytes, root: Path) -> None:
    (root / "tree").mkdir()
    subprocess.run(["tar", "-xpf", "-", "-C", str(root / "tree")], input=data, check=True)


def make_image(_: bytes, root: Path) -> None:
    subprocess.run(["mkfs.erofs", str(root / "image"), str(root / "tree")], check=True, capture_output=True)


def archive(files: int, size: int) -> bytes:
    source = random.Random(3)
    block = source.randbytes(1 << 20)
    layer = Layer()
    for number in range(files):
        directory = f"usr/share/{number // FILES_PER_DIRECTORY:05}"
        if number % FILES_PER_DIRECTORY == 0:
            layer.directory(directory)
        start, length = source.randrange(1 << 19), source.randrange(2 * size)
        layer.file(f"{directory}/{source.getrandbits(40):010x}.dat", block[start : start + length])
    return layer.finish()
