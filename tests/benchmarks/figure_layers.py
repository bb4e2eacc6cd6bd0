"""What the layers of an image cost: starts with 1, 6 and 127 of them, and a removal, as EROFS and as directories."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import containerlib as cl
from benchmarks.bench import Bench
from benchmarks.measure import Row, in_turns, timed
from containerlib.spec.options import SnapshotterName
from rig.images import Image, Layer, busybox_layer

KINDS: tuple[SnapshotterName, SnapshotterName] = ("erofs", "overlay")
COUNTS = (1, 6, 127)
FILES = 300_000


def measure(bench: Bench) -> list[Row]:
    directory = Path(tempfile.mkdtemp(dir=bench.directory))
    try:
        with ExitStack() as stack:
            engines = [stack.enter_context(cl.Engine(directory / kind, snapshotter=kind)) for kind in KINDS]
            return [*starts(engines, directory, bench.rounds), removal(engines, directory)]
    finally:
        shutil.rmtree(directory)


def starts(engines: list[cl.Engine], directory: Path, rounds: int) -> list[Row]:
    samples = {}
    for count in COUNTS:
        layers = [Layer().file("top", str(number)).finish() for number in range(1, count)]
        layout = Image((busybox_layer(), *layers), {"Env": ["PATH=/bin"]}).write_layout(
            directory / str(count)
        )
        for kind, engine in zip(KINDS, engines, strict=True):
            (image,) = engine.images.load(layout)
            samples[f"{count} {kind}"] = timed(runs(engine, image))
    medians = in_turns(samples, rounds)
    rows = []
    for count in COUNTS:
        ours, theirs = (medians[f"{count} {kind}"] for kind in KINDS)
        note = f"{(ours - theirs) * 1000 / count:.2f} ms more a layer"
        rows.append(Row(f"run, {count} layers of EROFS", "directories", ours, theirs, note=note))
    return rows


def runs(engine: cl.Engine, image: cl.Image) -> Callable[[], object]:
    recipe = engine.container(image)
    return lambda: recipe.run("true")


def removal(engines: list[cl.Engine], directory: Path) -> Row:
    """Once: it takes minutes to make."""
    layer = Layer()
    for number in range(FILES):
        layer.file(f"{number // 1000}/{number}", "")
    layout = Image((layer.finish(),)).write_layout(directory / "many")
    times = []
    for engine in engines:
        (image,) = engine.images.load(layout)
        times.append(timed(image.remove)())
    ours, theirs = times
    return Row(f"remove, {FILES:,} files of EROFS", "directories", ours, theirs, limit=0.2)
