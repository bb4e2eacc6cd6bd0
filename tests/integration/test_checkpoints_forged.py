"""Checkpoints that somebody else wrote: what they say is no way to this host."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

import containerlib as cl
from containerlib.engine.checkpoints import capture
from containerlib.engine.checkpoints.outside import Begun
from containerlib.engine.checkpoints.restoring import Restoration, begin
from containerlib.engine.sources import resolve_again
from containerlib.runtime.checkpoint import Options
from containerlib.spec.image_config import CHECKPOINT
from rig.bundles import until
from rig.images import Image, Layer, busybox_layer
from rig.images_of_criu import changed_image

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("criu_on_path"),
]


@define
class Parts:
    """What a checkpoint is written in, to be changed."""

    layer: Path
    spec: dict[str, Any] = field(init=False)
    document: dict[str, Any] = field(init=False)
    memo: dict[str, Any] = field(init=False)
    described: dict[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.spec = json.loads((self.layer / "spec.dump").read_text())
        self.document = json.loads((self.layer / "container.json").read_text())
        self.memo = json.loads(self.document["memo"])
        self.described = json.loads((self.layer / "checkpoint/containerlib.json").read_text())

    @property
    def data(self) -> dict[str, Any]:
        """The mount on /data."""
        found: dict[str, Any] = next(m for m in self.spec["mounts"] if m["destination"] == "/data")
        return found

    def write(self) -> None:
        document = {**self.document, "memo": json.dumps(self.memo)}
        (self.layer / "spec.dump").write_text(json.dumps(self.spec))
        (self.layer / "container.json").write_text(json.dumps(document))
        (self.layer / "checkpoint/containerlib.json").write_text(json.dumps(self.described))


Forge = Callable[[Parts], object]


@pytest.fixture
def restored(engine: cl.Engine, box: cl.ContainerRecipe) -> Iterator[Callable[[Forge], cl.Container]]:
    """Makes a container of a checkpoint that is from elsewhere, and was changed."""
    with box.mount(engine.volume("data"), at="/data").start("sleep", "600") as container:
        instance = container._instance

        def restore(forge: Forge) -> cl.Container:
            with capture.captured(instance, Options(leave_running=True)) as found:
                parts = Parts(Path(found.layer))
                forge(parts)
                parts.write()
                image = resolve_again(engine.core, instance.record.image_id, "", instance.memo.layers)
                begun = Begun.of(found.layer, image, is_own=False)
                return cl.Container(engine, begin(engine.core, begun, Restoration(image.id, detached=False)))

        yield restore
        assert [each.id for each in engine.containers.list()] == [container.id]
        assert container.state is cl.State.RUNNING


def from_host(parts: Parts, source: str, **more: Any) -> None:
    parts.data.update(source=source, **more)
    parts.memo["mounts"] = []


def by_way_of(parts: Parts, place: str, path: Path) -> str:
    return f"{parts.document[place]}/../../../../../../../../../../../..{path}"


@pytest.mark.parametrize(
    "forge",
    [
        lambda parts, path: from_host(parts, str(path)),
        lambda parts, path: from_host(parts, str(path), type="none"),
        lambda parts, path: from_host(parts, str(path), type="tmpfs"),
        lambda parts, path: from_host(parts, by_way_of(parts, "directory", path)),
        lambda parts, _: from_host(parts, f"{parts.document['directory']}/."),
    ],
    ids=["bind", "none", "option", "directory", "own"],
)
def test_path_of_the_host_is_mounted_nowhere(
    restored: Callable[[Forge], cl.Container], tmp_path: Path, forge: Callable[[Parts, Path], object]
) -> None:
    with pytest.raises(cl.InvalidArgument, match=r"mounts=\{\"/data\": \.\.\.\}"):
        restored(lambda parts: forge(parts, tmp_path))


def test_volume_is_all_that_its_name_leads_to(
    restored: Callable[[Forge], cl.Container], engine: cl.Engine, tmp_path: Path
) -> None:
    def beside_it(parts: Parts) -> None:
        parts.data["source"] = f"{parts.document['root']}/volumes/data/../../../../../../..{tmp_path}"

    def below_it(parts: Parts) -> None:
        parts.described["outside"]["/data"][1] = f"/data/../../../../../../../../../../..{tmp_path}"

    with restored(beside_it) as again:
        assert again.exec("ls", "/data").text == ""
    with pytest.raises(cl.NotFound, match="is not there"):
        restored(below_it)


def test_file_system_that_no_recipe_asks_for_is_refused(restored: Callable[[Forge], cl.Container]) -> None:
    """A start anew would mount it."""

    def forge(parts: Parts) -> None:
        overlay = {"type": "overlay", "source": "overlay", "options": ["lowerdir=/etc:/usr"]}
        parts.spec["mounts"].append({"destination": "/host", **overlay})

    with pytest.raises(cl.InvalidArgument, match="it mounts 'overlay' on /host"):
        restored(forge)


def test_programs_devices_and_namespaces_of_the_host_are_refused(
    restored: Callable[[Forge], cl.Container], tmp_path: Path
) -> None:
    def hook(parts: Parts) -> None:
        touch = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {tmp_path}/hooked"]}
        parts.spec["hooks"] = {"createRuntime": [touch]}

    def device(parts: Parts) -> None:
        parts.spec["linux"]["netDevices"] = {"eth0": {}}

    def namespace(parts: Parts) -> None:
        parts.spec["linux"]["namespaces"].append({"type": "time", "path": "/proc/1/ns/time"})

    for forge in (hook, device, namespace):
        with pytest.raises(cl.Unsupported, match="is from elsewhere, and has"):
            restored(forge)
    assert not (tmp_path / "hooked").exists()


@pytest.mark.parametrize(
    "memo", [{"host": True}, {"joined": [["ipc", "x"]]}, {"secrets": ["a"]}, {"driver": "x"}], ids=str
)
def test_container_that_could_not_be_checkpointed_is_not_restored(
    restored: Callable[[Forge], cl.Container], memo: dict[str, Any]
) -> None:
    with pytest.raises(cl.Unsupported, match="cannot be restored: it"):
        restored(lambda parts: parts.memo.update(memo))


def test_memory_is_no_file_of_the_host(restored: Callable[[Forge], cl.Container], tmp_path: Path) -> None:
    def link(parts: Parts) -> None:
        pages = parts.layer / "checkpoint/pages-1.img"
        shutil.move(pages, tmp_path / "pages")
        pages.symlink_to(tmp_path / "pages")

    def directory(parts: Parts) -> None:
        os.mkfifo(parts.layer / "checkpoint/fifo")

    for forge in (link, directory):
        with pytest.raises(cl.InvalidArgument, match="is no file"):
            restored(forge)


@pytest.mark.parametrize(
    "changed",
    [
        {"networks": [{"network": "bridge", "aliases": [], "address": "x", "address6": None, "mac": None}]},
        {
            "networks": [
                {"network": "bridge", "aliases": [], "address": None, "address6": None, "mac": "../x"}
            ]
        },
        {
            "networks": [
                {"network": "b", "aliases": ["a\n1.1.1.1 b"], "address": None, "address6": None, "mac": None}
            ]
        },
        {"ports": [{"port": 80, "protocol": "x", "host_port": 0, "host_address": None, "host_last": None}]},
        {
            "ports": [
                {"port": 80, "protocol": "tcp", "host_port": -1, "host_address": None, "host_last": None}
            ]
        },
        {"machine": {"architecture": 5, "kernel": [], "criu": "4", "cpu": []}},
        {"root": None},
        {"options": None},
        {"options": {"tcp": "steal", "external_unix_sockets": False, "file_locks": False}},
        {"options": {"tcp": "close", "external_unix_sockets": False, "file_locks": "x"}},
        {"memo": "[]"},
    ],
    ids=str,
)
def test_what_is_no_word_of_a_container_is_damage(
    restored: Callable[[Forge], cl.Container], changed: dict[str, Any]
) -> None:
    def forge(parts: Parts) -> None:
        if "memo" in changed:
            parts.memo = []  # type: ignore[assignment]
        parts.document.update(changed)

    with pytest.raises(cl.InvalidArgument, match=r"container\.json is damaged"):
        restored(forge)


@pytest.mark.parametrize(
    "words",
    [{"every": None}, {"every": -1.0}, {"every": 60.0, "keep": 0}, {"every": 1.0, "other": 1}],
    ids=str,
)
def test_checkpoints_that_no_recipe_asks_for_are_damage(
    restored: Callable[[Forge], cl.Container], words: dict[str, Any]
) -> None:
    with pytest.raises(cl.InvalidArgument, match=r"container\.json is damaged"):
        restored(lambda parts: parts.memo.update(checkpoints=words))


def test_key_is_for_what_was_encrypted_with_it_alone(engine: cl.Engine, tmp_path: Path) -> None:
    """Whoever can put another image in a checkpoint's place has no key."""
    for number, (top, words) in enumerate(
        (
            (Layer().file("container.json", "{}"), "is not encrypted"),
            (Layer().symlink("checkpoint.sealed", "/etc/shadow"), "is no file"),
        )
    ):
        image = Image((busybox_layer(), top.finish()), {"Labels": {CHECKPOINT: "1"}})
        (loaded,) = engine.images.load(image.write_layout(tmp_path / str(number)))
        with pytest.raises(cl.InvalidArgument, match=words):
            loaded.restore(trusted=True, key=bytes(32))


# ---- those of our own, with the same parts ----


def test_part_of_a_volume_and_a_file_in_place_of_the_engines_are_found_again(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    (tmp_path / "hosts").write_text("mine")
    box.mount(engine.volume("parts"), at="/v").run("sh", "-c", "mkdir /v/sub; echo part >/v/sub/file")
    recipe = box.mount(engine.volume("parts"), at="/part", subpath="sub")
    recipe = recipe.mount(tmp_path / "hosts", at="/etc/hosts")
    with recipe.start("sleep", "600") as container:
        checkpoint = container.checkpoint()
    with checkpoint.restore() as again:
        assert again.exec("cat", "/part/file", "/etc/hosts").text == "part\nmine"
        again.restart(timeout=0.0)
        assert again.exec("cat", "/part/file", "/etc/hosts").text == "part\nmine"


def test_mount_that_is_given_is_the_one_that_others_take_over(
    box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
        (directory / "name").write_text(directory.name)
    with box.mount(here, at="/shared").start("sleep", "600") as container:
        checkpoint = container.checkpoint()
    with checkpoint.restore(mounts={"/shared": str(there)}) as again:
        until(lambda: again.state is cl.State.RUNNING)
        assert box.volumes_from(again).run("cat", "/shared/name").text == "there"


def test_container_with_an_init_is_refused_before_it_ends(box: cl.ContainerRecipe) -> None:
    with box.init().start("sleep", "600") as container:
        with pytest.raises(cl.Unsupported, match=r"leave init\(\) out"):
            container.checkpoint()
        assert container.state is cl.State.RUNNING


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: spec["process"].pop("capabilities"), "all capabilities"),
        (lambda spec: spec["process"]["capabilities"]["bounding"].append("CAP_SYS_ADMIN"), "CAP_SYS_ADMIN"),
        (lambda spec: spec["linux"].pop("seccomp"), "another seccomp profile"),
        (
            lambda spec: spec["linux"]["seccomp"]["syscalls"].pop(),
            "another seccomp profile",
        ),
        (lambda spec: spec["linux"].pop("maskedPaths"), "maskedPaths"),
        (lambda spec: spec["linux"]["namespaces"].remove({"type": "pid"}), "host's namespaces pid"),
        (lambda spec: spec["linux"]["resources"]["devices"].append({"allow": True}), "devices"),
        (lambda spec: spec["mounts"].append(WRITABLE), "/sys to write to"),
    ],
    ids=["capabilities", "capability", "seccomp", "profile", "masked", "pid", "devices", "sys"],
)
def test_more_rights_than_the_default_recipes_take_the_callers_word(
    restored: Callable[[Forge], cl.Container], change: Callable[[dict[str, Any]], object], words: str
) -> None:
    """CVE-2026-95837, CVE-2026-92574: whoever made the checkpoint has written its configuration."""
    with pytest.raises(cl.InvalidArgument, match=words) as caught:
        restored(lambda parts: change(parts.spec))
    assert caught.value.field == "trusted"


WRITABLE = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["rw"]}


def test_filter_of_its_own_takes_the_callers_word(restored: Callable[[Forge], cl.Container]) -> None:
    def forge(parts: Parts) -> None:
        filters = parts.layer / "checkpoint/seccomp.img"
        allow = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
        filters.write_bytes(changed_image(filters.read_bytes(), (1, 1), allow))
        sizes = parts.described["sizes"]
        sizes.update({name: filters.stat().st_size for name in sizes if name == filters.name})

    with pytest.raises(cl.InvalidArgument, match="not compiled from its profile"):
        restored(forge)
