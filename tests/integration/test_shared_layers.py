"""One engine's containers read a layer that is a file by one mount: what one has read is there for the next."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.engine.layer_mounts import LayerMounts
from containerlib.runtime import OverlayRoot
from containerlib.runtime.kernel import shares_layers
from containerlib.spec.layer import Layer as StoredLayer
from rig.bundles import until
from rig.images import Image, Layer, busybox_layer
from rig.snapshotters import usable

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

PAGES = 64
LARGE = Layer().file("large", os.urandom(PAGES * mmap.PAGESIZE)).finish()
IMAGE = Image((busybox_layer(), LARGE), {"Env": ["PATH=/bin"]})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[cl.Engine]:
    usable("erofs", tmp_path)
    if not shares_layers():
        pytest.skip("a layer that is mounted nowhere takes Linux 6.15")
    with cl.Engine(tmp_path / "root", snapshotter="erofs") as engine:
        engine.images.load(IMAGE.write_layout(tmp_path / "layout"))
        if {layer.kind for layer in layers_of(engine)} != {"erofs"}:
            pytest.skip("the kernel mounts no file of this file system as EROFS: choose another TMPDIR")
        yield engine


@pytest.fixture
def recipe(engine: cl.Engine) -> cl.ContainerRecipe:
    return engine.container(engine.images.list()[0].id)


def layers_of(engine: cl.Engine) -> tuple[StoredLayer, ...]:
    return engine.images.list()[0].record.layers


def in_memory(container: cl.Container) -> int:
    """How many pages of its /large the kernel has; none is read for it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = ctypes.c_size_t(PAGES * mmap.PAGESIZE)
    resident = (ctypes.c_ubyte * PAGES)()
    with open(f"/proc/{container.inspect().pid}/root/large", "rb") as file:
        where = ctypes.c_void_p(libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_PRIVATE, file.fileno(), 0))
    failed = libc.mincore(where, size, resident)
    libc.munmap(where, size)
    assert not failed
    return sum(page & 1 for page in resident)


@pytest.mark.parametrize("ids", ["host", "auto"])
def test_what_one_container_has_read_is_there_for_another(recipe: cl.ContainerRecipe, ids: str) -> None:
    recipe = recipe.userns(ids)  # type: ignore[arg-type]
    with recipe.start("sleep", "600") as reader, recipe.start("sleep", "600") as other:
        assert in_memory(other) == 0
        reader.exec("md5sum", "/large")
        assert in_memory(other) == PAGES


def test_end_of_the_engine_takes_no_layer_from_a_container(
    engine: cl.Engine, recipe: cl.ContainerRecipe
) -> None:
    name = recipe.start("sleep", "600", detach=True).name
    engine.close()
    with cl.Engine(engine.root) as again:
        container = again.containers.get(name)
        try:
            assert container.exec("wc", "-c", "/large").text.split() == [str(PAGES * mmap.PAGESIZE), "/large"]
        finally:
            container.remove(force=True)


def test_restarted_container_has_its_layers(recipe: cl.ContainerRecipe) -> None:
    with recipe.restart("always").start("md5sum", "/large") as container:
        until(lambda: len(list(container.logs())) >= 2)
        first, second, *_ = (record.text for record in container.logs())
    assert first == second


def test_no_process_has_a_layer_by_itself(recipe: cl.ContainerRecipe) -> None:
    """The overlay hides what its upper layers replace; a layer's own root would show it."""
    for kind in (recipe, recipe.init(), recipe.userns("auto")):
        with kind.create("sleep", "600") as container:
            assert "/" not in open_files(container)
            container.start()
            assert "/" not in open_files(container)


def open_files(container: cl.Container) -> set[str]:
    directory = f"/proc/{container.inspect().pid}/fd"
    return {str(link.readlink()) for link in Path(directory).iterdir()}


def test_layer_that_is_opened_again_has_what_was_read(engine: cl.Engine) -> None:
    layer, *_ = layers_of(engine)
    assert isinstance(layer, StoredLayer)
    mounts = LayerMounts()
    with mounts.opened(layer) as one:
        device = os.fstat(one).st_dev
        assert Path(f"/proc/self/fd/{one}/large").stat().st_size == PAGES * mmap.PAGESIZE
    with mounts.opened(layer) as again, mounts.of(OverlayRoot((layer,), None, None)) as root:
        assert os.fstat(again).st_dev == device
        assert isinstance(root, OverlayRoot)
        assert os.fstat(root.mounts[0]).st_dev == device
    mounts.close()


def test_layer_that_was_repaired_is_mounted_anew(engine: cl.Engine) -> None:
    mounts = LayerMounts()
    root = OverlayRoot(layers_of(engine), None, None)
    with mounts.of(root) as first, mounts.of(root) as second:
        assert isinstance(first, OverlayRoot)
        assert first == second
    path = Path(layers_of(engine)[0].path)
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    with mounts.of(root) as before:
        copy.replace(path)
        with mounts.of(root) as after:
            assert isinstance(before, OverlayRoot)
            assert isinstance(after, OverlayRoot)
            assert before.mounts[0] != after.mounts[0]
            assert before.mounts[1:] == after.mounts[1:]
    mounts.close()
