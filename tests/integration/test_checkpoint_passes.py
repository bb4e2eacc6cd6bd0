"""Checkpoints that build on earlier copies of memory, where the kernel tracks what is written to."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.engine.checkpoints import capture
from containerlib.engine.checkpoints.outside import Begun
from containerlib.engine.checkpoints.restoring import Restoration, begin
from containerlib.engine.sources import resolve_again
from containerlib.runtime.checkpoint import Options, dump
from rig.bundles import Rack, log_of, until
from rig.checkpoints import checkpoint, criu, restore

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("criu_on_path"),
    pytest.mark.vm,
]

HELD = 4_000_000
HOLD = (
    f"x=$(head -c {HELD} /dev/zero | tr '\\0' a); trap 'echo \"$x\" | md5sum' USR1; echo held; "
    "while :; do sleep 0.1; done"
)
"""A program of sh that holds so many bytes in a variable, and says on SIGUSR1 whether it has them all."""
SUM = hashlib.md5(b"a" * HELD + b"\n", usedforsecurity=False).hexdigest()


@pytest.fixture
def tracked() -> None:
    """Skips where the kernel does not track it."""
    if not criu().features["mem_track"]:
        pytest.skip("this kernel does not track which memory is written to")


def pages(images: Path) -> int:
    """How many bytes of memory are there, without what was punched out."""
    return sum(file.stat().st_blocks * 512 for file in images.glob("pages-*.img"))


@pytest.mark.usefixtures("tracked")
def test_dump_upon_another_has_what_was_written_to_since(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sh", "-c", HOLD)
    until(lambda: b"held" in log_of(container), 60.0)
    before, images = tmp_path / "before", tmp_path / "images"
    words = {"spec": container.spec, "cgroup": container.cgroup}
    dump(criu(), container.directory, str(before), pre=True, **words)
    assert pages(before) > HELD
    checkpoint(container, images, parent="../before")
    assert pages(images) < HELD // 4
    container.finish()
    again = restore(rack, container, images)
    again.supervisor.signal(10)
    until(lambda: SUM.encode() in log_of(again), 60.0)


@pytest.mark.usefixtures("tracked")
def test_image_holds_what_its_last_pass_builds_on(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    with box.start("sh", "-c", HOLD) as container:
        container.wait_for(log="held", timeout=60.0)
        with capture.captured(container._instance, Options(leave_running=True), pre_dumps=2) as found:
            layer = Path(found.layer)
            assert (layer / "checkpoint/parent").readlink() == Path("../checkpoint-2")
            assert pages(layer / "checkpoint-1") > HELD
            assert pages(layer / "checkpoint") < HELD // 4
            assert sum(pages(each) for each in layer.glob("checkpoint*")) < HELD * 3 // 2
        container.checkpoint(pre_dumps=2).save(tmp_path / "archive.tar")
    with cl.Engine(tmp_path / "other") as other:
        (image,) = other.images.load(tmp_path / "archive.tar")
        for lazy in (False, criu().features["lazy_pages"]):
            with image.restore(trusted=True, lazy=lazy) as again:
                again.kill("USR1")
                again.wait_for(log=SUM, timeout=60.0)


def leads_out(layer: Path) -> None:
    (layer / "checkpoint/parent").unlink()
    (layer / "checkpoint/parent").symlink_to("/etc")


def leads_to_itself(layer: Path) -> None:
    (layer / "checkpoint-1/parent").symlink_to("../checkpoint-1")


def is_missing(layer: Path) -> None:
    shutil.rmtree(layer / "checkpoint-1")


def is_cut(layer: Path) -> None:
    (found,) = (layer / "checkpoint-1").glob("pages-1.img")
    found.write_bytes(b"")


@pytest.mark.usefixtures("tracked")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (leads_out, "leads to '/etc'"),
        (leads_to_itself, "leads to"),
        (is_missing, r"damaged: parent/.* is missing"),
        (is_cut, r"damaged: parent/pages-1\.img has 0 bytes"),
    ],
)
def test_chain_that_is_damaged_or_leads_elsewhere_is_refused(
    engine: cl.Engine, box: cl.ContainerRecipe, damage: Callable[[Path], object], words: str
) -> None:
    with box.start("sleep", "600") as container:
        instance = container._instance
        with capture.captured(instance, Options(leave_running=True), pre_dumps=1) as found:
            damage(Path(found.layer))
            image = resolve_again(engine.core, instance.record.image_id, "", instance.memo.layers)
            with pytest.raises(cl.InvalidArgument, match=words):
                begin(engine.core, Begun.of(found.layer, image), Restoration(image.id))
        assert [each.id for each in engine.containers.list()] == [container.id]


def test_kernel_that_tracks_no_memory_is_refused_with_that(box: cl.ContainerRecipe) -> None:
    if criu().features["mem_track"]:
        pytest.skip("this kernel tracks which memory is written to")
    with box.start("sleep", "600") as container:
        with pytest.raises(cl.Unsupported, match="CONFIG_MEM_SOFT_DIRTY"):
            container.checkpoint(pre_dumps=1)
        assert container.state is cl.State.RUNNING
        container.checkpoint(pre_dumps=0)
    for wrong in (-1, 33, True, "2"):
        with pytest.raises(cl.InvalidArgument) as caught:
            container.checkpoint(pre_dumps=wrong)  # type: ignore[arg-type]
        assert caught.value.field == "pre_dumps"
