"""Volumes that an installed package's driver provides: called in order, and again where something was cut short."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.volumes.drivers import find_driver
from rig.volume_drivers import install_driver

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


class Shelf:
    """What the driver "shelf" has and was asked."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def calls(self) -> list[str]:
        """Since the last look."""
        file = self.state / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def break_at(self, verb: str, *, broken: bool = True) -> None:
        if broken:
            (self.state / f"fail-{verb}").touch()
        else:
            (self.state / f"fail-{verb}").unlink()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.syspath_prepend(install_driver(tmp_path / "site", name="shelf", state=tmp_path / "shelf"))
    find_driver.cache_clear()
    yield Shelf(tmp_path / "shelf")
    find_driver.cache_clear()
    sys.modules.pop("containerlib_rig_shelf", None)


def test_driver_is_asked_in_order(box: cl.ContainerRecipe, shelf: Shelf) -> None:
    volume = box.engine.volume("v").driver("shelf").option(tier="fast").create()
    assert shelf.calls() == ['create v {"tier": "fast"}']
    assert (volume.driver, volume.options) == ("shelf", {"tier": "fast"})
    with box.mount(volume, at="/x").start("sleep", "100") as container:
        container.exec("sh", "-c", "echo x > /x/file")
        assert shelf.calls() == ["mount v"]
        assert box.mount(volume, at="/x").run("cat", "/x/file").text == "x\n"
        assert shelf.calls() == []
    assert shelf.calls() == ["unmount v"]
    assert (shelf.state / "v" / "file").read_text() == "x\n"
    with pytest.raises(cl.AlreadyExists):
        box.engine.volume("v").driver("shelf").create()
    assert shelf.calls() == []
    volume.remove()
    assert shelf.calls() == ["unmount v", "remove v"]
    assert not (shelf.state / "v").exists()


def test_mount_makes_the_drivers_volume(box: cl.ContainerRecipe, shelf: Shelf) -> None:
    recipe = box.mount(box.engine.volume("v").driver("shelf"), at="/x")
    recipe.run("touch", "/x/file")
    assert (shelf.state / "v" / "file").exists()
    box.mount(box.engine.volume().driver("shelf"), at="/x").run("true")
    assert [volume.name for volume in box.engine.volumes.list()] == ["v"]
    assert [path.name for path in shelf.state.iterdir() if path.is_dir()] == ["v"]


def test_driver_that_fails_to_create_leaves_no_volume(engine: cl.Engine, shelf: Shelf) -> None:
    find_driver("shelf")
    shelf.break_at("create")
    with pytest.raises(cl.Unavailable, match="'shelf' failed in create"):
        engine.volume("v").driver("shelf").create()
    assert engine.volumes.list() == []
    shelf.break_at("create", broken=False)
    engine.volume("v").driver("shelf").create()


def test_driver_that_fails_to_mount_starts_no_container(box: cl.ContainerRecipe, shelf: Shelf) -> None:
    volume = box.engine.volume("v").driver("shelf").create()
    shelf.break_at("mount")
    with pytest.raises(cl.Unavailable, match="'shelf' failed in mount"):
        box.mount(volume, at="/x").run("true")
    assert shelf.calls() == ["create v", "mount v", "unmount v"]
    assert box.engine.containers.list() == []


def test_driver_that_fails_to_unmount_is_asked_again(box: cl.ContainerRecipe, shelf: Shelf) -> None:
    volume = box.engine.volume("v").driver("shelf").create()
    shelf.break_at("unmount")
    box.mount(volume, at="/x").run("true")
    assert "the shelf is broken" in box.engine.prune().failures[0]
    shelf.break_at("unmount", broken=False)
    shelf.calls()
    with cl.Engine(root=box.engine.root) as opened:
        assert shelf.calls() == ["unmount v"]
        assert opened.prune().failures == ()


def test_driver_that_fails_to_remove_keeps_its_volume(engine: cl.Engine, shelf: Shelf) -> None:
    volume = engine.volume("v").driver("shelf").create()
    shelf.break_at("remove")
    with pytest.raises(cl.Unavailable, match="'shelf' failed in remove"):
        volume.remove()
    assert [each.name for each in engine.volumes.list()] == ["v"]
    shelf.break_at("remove", broken=False)
    volume.remove()
    assert engine.volumes.list() == []


def test_driver_that_is_not_installed_is_told_by_name(engine: cl.Engine, shelf: Shelf) -> None:
    with pytest.raises(cl.NotFound, match=r"no volume driver 'none': .*here are local, shelf, "):
        engine.volume("v").driver("none").create()
    for name in ("shelf-half", "shelf-none"):
        with pytest.raises(cl.Unsupported, match=name):
            engine.volume("v").driver(name).create()
    assert engine.volumes.list() == []


def test_prune_asks_the_driver(engine: cl.Engine, shelf: Shelf) -> None:
    engine.volume("v").driver("shelf").create()
    (shelf.state / "v" / "file").write_bytes(bytes(1 << 20))
    done = engine.volumes.prune(named=True)
    assert (done.volumes, done.reclaimed_bytes) == (("v",), 0)
    assert "remove v" in shelf.calls()


def test_prune_goes_on_where_a_driver_fails_to_end_what_was_begun(engine: cl.Engine, shelf: Shelf) -> None:
    engine.volume("v").driver("shelf").create()
    engine.core.store.volumes.set_state("v", "removing")  # as a killed process leaves it
    shelf.break_at("remove")
    (Path(engine.root) / "volumes" / ".removed-00").mkdir()
    report = engine.prune()
    assert "the shelf is broken" in report.failures[0]
    assert report.volumes == (".removed-00",)
    assert engine.volumes.list() == []
    shelf.break_at("remove", broken=False)
    assert engine.prune().failures == ()
    assert not (shelf.state / "v").exists()
    assert not (Path(engine.root) / "volumes" / "v").exists()
