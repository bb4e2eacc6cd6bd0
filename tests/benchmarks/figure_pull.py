"""Images from a registry on loopback: pulled until they can run, pulled again, and removed; on tmpfs and on the disk.

Two images, each as gzip and as zstd: 500 MB in 20,000 files, and 300,000 small files, of six layers. BENCH_IMAGES names
some of them, with semicolons between.

Whatever is to be removed is synced to the disk before, everybody's alike: a removal of what has not got there yet frees
memory alone, and we alone sync what we pull.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import containerlib as cl
from benchmarks.bench import Bench
from benchmarks.ending import SHARED_MEMORY, scratch
from benchmarks.images import IMAGES, TestImage, write_layout
from benchmarks.measure import Row, Skip, timed
from benchmarks.peers_images import PEERS, peer
from containerlib.spec.options import SnapshotterName
from rig.registry import Registry

SNAPSHOTTERS: tuple[SnapshotterName, ...] = ("erofs", "overlay")
LIMITS = {("erofs", "tmpfs"): 0.3, ("erofs", "ext4"): 0.2, ("overlay", "tmpfs"): 0.6}
"""Of the fastest peer's time."""
DECOMPRESSION_LIMIT = 1.3
REMOVAL_LIMIT = 0.2
SECOND_PULL = 0.020
GROWTH = 64 * 1024**2

Taken = dict[str, list[tuple[float, float]]]
"""By who did it: seconds of each pull and of the removal after it."""


def measure(bench: Bench) -> Iterator[Row]:
    if shutil.which("docker-registry") is None or shutil.which("skopeo") is None:
        yield Row("pull", "-", note="no docker-registry or no skopeo: install them")
        return
    wanted = os.environ.get("BENCH_IMAGES", "").split(";")
    for image in IMAGES:
        if wanted == [""] or image.name in wanted:
            with folder(SHARED_MEMORY) as fast, Registry(fast / "registry") as registry:
                layout = write_layout(image, fast / "layout")
                reference = registry.push(layout, "big")
                alone = decompression(layout)
                shutil.rmtree(layout)
                for place in (SHARED_MEMORY, bench.directory):
                    yield from one_place(bench, image, place, reference, alone)
                yield from again(image, reference)
                yield from growth(image, reference)


def one_place(bench: Bench, image: TestImage, place: Path, reference: str, alone: float) -> Iterator[Row]:
    where = file_system(place)
    taken, notes = rotate(bench, place, reference, max(1, bench.rounds // 5))
    pulls = {name: statistics.median(pull for pull, _ in costs) for name, costs in taken.items()}
    removals = {name: statistics.median(removal for _, removal in costs) for name, costs in taken.items()}
    fastest = min((name for name in PEERS if name in pulls), key=lambda name: pulls[name], default="")
    for snapshotter in SNAPSHOTTERS:
        figure = f"{image.name}, {where}, {snapshotter}"
        ours = pulls.get(snapshotter)
        for name in PEERS:
            limit = LIMITS.get((snapshotter, where)) if name == fastest else None
            note = notes.get(name, notes.get(snapshotter, ""))
            yield Row(f"pull {figure}", name, ours, pulls.get(name), unit="s", limit=limit, note=note)
        limit = DECOMPRESSION_LIMIT if snapshotter == "erofs" else None
        yield Row(f"pull {figure}", "decompression", ours, alone, unit="s", limit=limit)
        removal, podman = removals.get(snapshotter), removals.get("podman pull")
        yield Row(f"removal {figure}", "podman rmi", removal, podman, unit="s", limit=REMOVAL_LIMIT)


def rotate(bench: Bench, place: Path, reference: str, rounds: int) -> tuple[Taken, dict[str, str]]:
    """Everybody's turns, in another order each round."""
    names = [*SNAPSHOTTERS, *PEERS]
    taken: Taken = {}
    notes: dict[str, str] = {}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if name in notes:
                continue
            with folder(place) as root:
                try:
                    taken.setdefault(name, []).append(one_turn(bench, name, root, reference))
                except (Skip, cl.Unsupported) as skip:
                    taken.pop(name, None)
                    notes[name] = str(skip)
    return taken, notes


def one_turn(bench: Bench, name: str, root: Path, reference: str) -> tuple[float, float]:
    for snapshotter in SNAPSHOTTERS:
        if name == snapshotter:
            with cl.Engine(root=root, snapshotter=snapshotter) as engine:
                pulled = timed(lambda: engine.image(reference).pull())()
                os.sync()
                return pulled, timed(lambda: engine.images.get(reference).remove())()
    with peer(name, bench, root) as program:
        pulled = program.pull(reference)
        os.sync()
        return pulled, program.remove_image(reference)


def again(image: TestImage, reference: str) -> Iterator[Row]:
    """The second pull of a tag that stayed as it was."""
    with folder(SHARED_MEMORY) as root, cl.Engine(root=root) as engine:
        engine.image(reference).pull()
        costs = [timed(lambda: engine.image(reference).pull())() for _ in range(11)]
    yield Row(f"second pull {image.name}", "goal", statistics.median(costs), SECOND_PULL, limit=1.0)


def growth(image: TestImage, reference: str) -> Iterator[Row]:
    """What the pulling process grows by at most, beyond an engine that has pulled nothing."""
    program = (
        "import sys, pathlib, containerlib as cl, httpx, containerlib.images.registry.client\n"
        "def peak():\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))\n"
        "with cl.Engine(root=sys.argv[1]) as engine:\n"
        "    engine.images.list()\n"
        "    before = peak()\n"
        "    engine.image(sys.argv[2]).pull()\n"
        "    print((peak() - before) * 1024)\n"
    )
    with folder(SHARED_MEMORY) as root:
        output = subprocess.run(
            [sys.executable, "-c", program, str(root), reference], check=True, capture_output=True, text=True
        ).stdout
    yield Row(f"growth by pull {image.name}", "goal", float(output), GROWTH, unit="KiB", limit=1.0)


def decompression(layout: Path) -> float:
    """The layers' bytes through the decoder that a pull uses, and nothing else."""
    from containerlib.images.transfer.decoding import decoded

    def all_layers() -> None:
        for blob in sorted(layout.joinpath("blobs/sha256").iterdir()):
            if blob.stat().st_size > 100_000:
                with blob.open("rb") as file:
                    for _ in decoded(iter(lambda: file.read(1 << 20), b"")):
                        pass

    return min(timed(all_layers)() for _ in range(3))


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    with scratch(parent) as path:
        yield path
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
