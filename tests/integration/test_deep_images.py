"""Images of many layers, up to what the kernel stacks."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.errors import InvalidArgument
from containerlib.spec.layer import MAX_LAYERS
from rig.images import Image, Layer, busybox_layer
from rig.snapshotters import EACH

pytestmark = [*EACH, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"), pytest.mark.slow]

DOCKERS = 127
"""The most layers that Docker builds."""


def deep(tmp_path: Path, count: int) -> Path:
    """busybox, and on it `count` - 1 layers, each of which changes one file and adds one."""
    layers = [busybox_layer()]
    layers += [
        Layer().file("top", str(number)).file(f"made/{number}", "").finish() for number in range(1, count)
    ]
    return Image(tuple(layers), {"Env": ["PATH=/bin"]}).write_layout(tmp_path / "layout")


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the hard limit has; a pull has up to three for each layer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip(f"a process may have only {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def look(engine: cl.Engine, image: cl.Image) -> list[str]:
    return (
        engine.container(image)
        .run("sh", "-c", "cat /top; echo; ls /made | wc -l; touch /made/new")
        .text.split()
    )


def test_image_of_as_many_layers_as_docker_builds_runs(engine: cl.Engine, tmp_path: Path) -> None:
    (image,) = engine.images.load(deep(tmp_path, DOCKERS))
    assert look(engine, image) == [str(DOCKERS - 1), str(DOCKERS - 1)]


def test_image_of_as_many_layers_as_the_kernel_stacks_runs(
    engine: cl.Engine, tmp_path: Path, many_files: None
) -> None:
    (image,) = engine.images.load(deep(tmp_path, MAX_LAYERS))
    assert look(engine, image) == [str(MAX_LAYERS - 1), str(MAX_LAYERS - 1)]


def test_image_of_more_layers_is_refused(engine: cl.Engine, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="500 layers"):
        engine.images.load(deep(tmp_path, MAX_LAYERS + 1))
