"""Credentials in the images of a checkpoint: forged by the program that was dumped, or by whoever wrote the images."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime.checkpoint.credentials import verify_restore
from containerlib.runtime.checkpoint.criu import Conversation
from containerlib.runtime.checkpoint.description import Description, write_description
from containerlib.runtime.checkpoint.messages import Answer
from rig.bundles import Bundled, Rack, log_of, until
from rig.checkpoints import checkpoint, restore
from rig.images_of_criu import changed_image

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("needs_criu"),
]

THREAD, CREDS = 5, 10
FORGED = {
    "user ids": ((THREAD, CREDS, 3), 1000),
    "group ids": ((THREAD, CREDS, 4), 1000),
    "groups": ((THREAD, CREDS, 14), 1000),
    "effective capabilities": ((THREAD, CREDS, 11), 0xFFFFFFFF),
    "permitted capabilities": ((THREAD, CREDS, 10), 0xFFFFFFFF),
    "bounding capabilities": ((THREAD, CREDS, 12), 0xFFFFFFFF),
    "ambient capabilities": ((THREAD, CREDS, 19), 1),
    "no_new_privs": ((THREAD, CREDS, 18), 0),
    "seccomp": ((THREAD, 11), 0),
}


def confined(spec: dict[str, Any]) -> None:
    """Without new privileges, and with a filter."""
    spec["process"]["noNewPrivileges"] = True
    spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}],
    }


@pytest.fixture
def sleeper(rack: Rack) -> Bundled:
    container = rack.create("sh", "-c", "echo ready; exec sleep 60", change=confined)
    until(lambda: log_of(container))
    return container


def forge(images: Path, path: tuple[int, ...], value: int) -> None:
    """With the sizes of the images as whoever writes them says them."""
    core, description = images / "core-1.img", images / "containerlib.json"
    core.write_bytes(changed_image(core.read_bytes(), path, value))
    if description.exists():
        write_description(str(images), Description.unpack(description.read_bytes()))


@pytest.mark.parametrize("name", FORGED)
def test_dump_with_other_credentials_than_the_kernels_is_refused(
    sleeper: Bundled, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2026-18107: the program answers in place of CRIU's code in its memory."""
    images = tmp_path / "images"

    finish = Conversation.finish

    def forged(self: Conversation, when: Mapping[str, Callable[[], object] | None] = {}) -> Answer:
        def forge_first() -> None:
            forge(images, *FORGED[name])
            check = when["post-dump"]
            assert check is not None
            check()

        return finish(self, {**when, "post-dump": forge_first})

    monkeypatch.setattr(Conversation, "finish", forged)
    with pytest.raises(StageError, match=name) as caught:
        checkpoint(sleeper, images)
    assert (caught.value.stage, caught.value.errno) == ("dump", errno.EPERM)
    assert not list(images.glob("*.img"))
    assert sleeper.supervisor.poll() is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("permitted capabilities", "permitted capabilities 0x"),
        ("bounding capabilities", "bounding capabilities 0x"),
        ("no_new_privs", "no_new_privs is not set"),
        ("seccomp", "no seccomp filter"),
    ],
)
def test_restore_of_more_rights_than_the_configurations_is_refused(
    rack: Rack, sleeper: Bundled, tmp_path: Path, name: str, words: str
) -> None:
    images = checkpoint(sleeper, tmp_path / "images")
    sleeper.finish()
    forge(images, *FORGED[name])
    with pytest.raises(InvalidArgument, match=words):
        restore(rack, sleeper, images)
    assert not Path(sleeper.directory).with_name("again").joinpath("started").exists()


def test_restore_of_another_user_than_the_configurations_is_refused(rack: Rack, tmp_path: Path) -> None:
    """Where no program can change its user: without new privileges and without CAP_SETUID."""

    def change(spec: dict[str, Any]) -> None:
        confined(spec)
        spec["process"]["capabilities"] = {}

    container = rack.create("sh", "-c", "echo ready; exec sleep 60", change=change)
    until(lambda: log_of(container))
    images = checkpoint(container, tmp_path / "images", leave_running=True)
    verify_restore(str(images), container.spec)
    forge(images, *FORGED["user ids"])
    with pytest.raises(InvalidArgument, match=r"user ids \[0, 1000\]"):
        verify_restore(str(images), container.spec)


def test_zombie_has_no_credentials_to_compare(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sh", "-c", "true & echo $!; exec sleep 60")
    until(lambda: log_of(container))
    until(lambda: len(children(container.supervisor.pid)) == 1 and is_zombie(container.supervisor.pid))
    checkpoint(container, tmp_path / "images", leave_running=True)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def is_zombie(pid: int) -> bool:
    (child,) = children(pid)
    return "State:\tZ" in Path(f"/proc/{child}/status").read_text()


def twice(images: Path) -> None:
    """CRIU merges the two, and a reader that takes one of them does not see what CRIU sees."""
    core = images / "core-1.img"
    data = core.read_bytes()
    message = data[12:] + bytes([THREAD << 3 | 2, 0])
    core.write_bytes(data[:8] + struct.pack("<I", len(message)) + message)


def of_another_kind(images: Path) -> None:
    (images / "core-1.img").write_bytes((images / "mm-1.img").read_bytes())


def without_credentials(images: Path) -> None:
    core = images / "core-1.img"
    core.write_bytes(changed_image(core.read_bytes(), (THREAD, CREDS), None))


@pytest.mark.parametrize("spoil", [twice, of_another_kind, without_credentials])
def test_images_that_could_be_read_in_two_ways_are_refused(
    sleeper: Bundled, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    images = checkpoint(sleeper, tmp_path / "images", leave_running=True)
    spoil(images)
    with pytest.raises(InvalidArgument):
        verify_restore(str(images), sleeper.spec)


def test_filter_that_allows_everything_is_no_filter_of_the_profile(sleeper: Bundled, tmp_path: Path) -> None:
    """CVE-2026-95837, CVE-2026-92574: what was pulled keeps a filter of its own in place of the profile's."""
    images = checkpoint(sleeper, tmp_path / "images", leave_running=True)
    verify_restore(str(images), sleeper.spec, is_own=False)
    filters = images / "seccomp.img"
    allow = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
    filters.write_bytes(changed_image(filters.read_bytes(), (1, 1), allow))
    verify_restore(str(images), sleeper.spec)
    with pytest.raises(InvalidArgument, match="not compiled from its profile"):
        verify_restore(str(images), sleeper.spec, is_own=False)
