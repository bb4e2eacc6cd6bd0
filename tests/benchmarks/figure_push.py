"""Push to a registry on loopback that has the layers: of the same repository, and of another one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import containerlib as cl
from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, Skip, compare, timed
from rig.images import Image, Layer
from rig.registry import Registry

LAYERS = 6
LAYER_SIZE = 200_000


def measure(bench: Bench) -> list[Row]:
    if shutil.which("docker-registry") is None or shutil.which("skopeo") is None:
        raise Skip("no docker-registry or no skopeo: install them")
    layers = (Layer().file(f"layer{n}", os.urandom(LAYER_SIZE)).finish() for n in range(LAYERS))
    layout = Image(tuple(layers), {"Cmd": ["/none"]}).write_layout(bench.directory / "push")
    with Registry(bench.directory / "push-registry") as registry:
        (image,) = bench.engine.images.load(layout)
        image.push(registry.reference("app"))
        image.tag(registry.reference("app"))
        numbers = count()
        try:
            return [
                *_compare(
                    bench, image, layout, "its layers are there", lambda: registry.reference("app", "again")
                ),
                *_compare(
                    bench,
                    image,
                    layout,
                    "another repository has them",
                    lambda: registry.reference(f"r{next(numbers)}"),
                ),
            ]
        finally:
            image.remove()


def _compare(bench: Bench, image: cl.Image, layout: Path, which: str, target: Callable[[], str]) -> list[Row]:
    def skopeo() -> Sample:
        command = [
            "skopeo",
            "--insecure-policy",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            f"oci:{layout}",
        ]
        return lambda: bench.runner.seconds(*command, f"docker://{target()}")

    peers = {"skopeo copy": (skopeo, 0.5)}
    figure = f"push of {LAYERS} layers, {which}"
    return compare(figure, lambda: timed(lambda: image.push(target())), peers, bench.rounds)
