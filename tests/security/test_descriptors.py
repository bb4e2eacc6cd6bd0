"""CVE-2024-21626 and its kin: descriptors and directories of the host that the user's program is born with."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import StageError
from rig.bundles import Done, Rack

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

NUMBERS = range(3, 16)


@pytest.fixture(autouse=True)
def careless_caller(tmp_path: Path) -> Iterator[None]:
    """A caller with inheritable descriptors: of the host's root, a file, a pipe and a socket."""
    with ExitStack() as stack:
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        file = os.open(tmp_path / "secret", os.O_RDWR | os.O_CREAT)
        pair = socket.socketpair()
        fds = [root, file, *os.pipe(), *(end.detach() for end in pair)]
        # 200 is where no test and no library opens anything
        fds += [os.dup2(root, 200, inheritable=True)]
        for fd in fds:
            os.set_inheritable(fd, True)
            stack.callback(os.close, fd)
        yield


def test_container_has_no_descriptor_but_stdio(rack: Rack) -> None:
    done = rack.run("attack", "descriptors")
    assert (done.status.exit_code, done.text) == (0, "")


def test_created_container_has_no_descriptor_but_stdio_after_start(rack: Rack) -> None:
    container = rack.create("attack", "descriptors", hold=True)
    container.supervisor.start()
    assert container.finish().text == ""


def test_exec_has_no_descriptor_but_stdio(rack: Rack) -> None:
    done = rack.create("sleep", "60").output("attack", "descriptors")
    assert (done.status.exit_code, done.text) == (0, "")


def test_container_with_a_terminal_has_no_descriptor_but_stdio(rack: Rack) -> None:
    done = rack.run(
        "attack", "descriptors", change=lambda spec: spec["process"].update(terminal=True), terminal=(24, 80)
    )
    assert (done.status.exit_code, done.text) == (0, "")


def listing(run: Callable[..., Done], **words: Any) -> set[str] | None:
    """What `ls` sees in the working directory; None where the start was refused for it."""
    try:
        return set(run("ls", "-a", ".", **words).text.split())
    except StageError as error:
        if error.stage != "chdir":
            raise
        return None


@pytest.mark.parametrize("fd", NUMBERS)
@pytest.mark.parametrize("up", ["", "/../.."])
def test_container_working_directory_behind_a_descriptor_is_not_the_hosts(
    rack: Rack, fd: int, up: str
) -> None:
    inside = listing_of_the_root(rack)
    seen = listing(rack.run, change=lambda spec: spec["process"].update(cwd=f"/proc/self/fd/{fd}{up}"))
    assert seen is None or seen <= inside


@pytest.mark.parametrize("fd", NUMBERS)
@pytest.mark.parametrize("up", ["", "/../.."])
def test_exec_working_directory_behind_a_descriptor_is_not_the_hosts(rack: Rack, fd: int, up: str) -> None:
    container = rack.create("sleep", "60")
    inside = set(container.output("ls", "-a", "/").text.split())
    seen = listing(container.output, cwd=f"/proc/self/fd/{fd}{up}")
    assert seen is None or seen <= inside


def test_container_working_directory_through_a_link_of_the_image_is_not_the_hosts(
    rack: Rack, layer: Path
) -> None:
    for fd in NUMBERS:
        layer.joinpath(f"work{fd}").symlink_to(f"/proc/self/fd/{fd}")
    inside = listing_of_the_root(rack)
    for fd in NUMBERS:
        try:
            done = rack.run(
                "ls",
                "-a",
                ".",
                lowers=(layer,),
                change=lambda spec, fd=fd: spec["process"].update(cwd=f"/work{fd}"),
            )
        except StageError:
            continue
        assert {name for name in done.text.split() if not name.startswith("work")} <= inside


def listing_of_the_root(rack: Rack) -> set[str]:
    return set(rack.run("ls", "-a", "/").text.split())


def mode_of_null() -> int:
    return Path("/dev/null").stat().st_mode & 0o7777


@pytest.fixture
def null_restored() -> Iterator[int]:
    mode = mode_of_null()
    yield mode
    Path("/dev/null").chmod(mode)


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_container_cannot_change_the_hosts_null_through_its_stdio(
    rack: Rack, null_restored: int, fd: int
) -> None:
    """The sticky bit means nothing on a device, so that a success harms nobody."""
    rack.run("chmod", "1666", f"/proc/self/fd/{fd}", log=None)
    assert mode_of_null() == null_restored


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_exec_cannot_change_the_hosts_null_through_its_stdio(rack: Rack, null_restored: int, fd: int) -> None:
    with rack.create("sleep", "60").execute("chmod", "1666", f"/proc/self/fd/{fd}") as supervisor:
        supervisor.wait(10.0)
        supervisor.finished()
    assert mode_of_null() == null_restored


def test_exec_cannot_change_the_hosts_null_where_the_container_removed_its_own(
    rack: Rack, null_restored: int
) -> None:
    container = rack.create("sleep", "60")
    assert container.output("rm", "/dev/null").status.exit_code == 0
    container.output("chmod", "1666", "/proc/self/fd/0")
    assert mode_of_null() == null_restored


def test_container_cannot_change_the_hosts_null_through_a_masked_file(rack: Rack, null_restored: int) -> None:
    def mask(spec: dict[str, Any]) -> None:
        spec["linux"]["maskedPaths"] = ["/proc/version"]

    done = rack.run("chmod", "1666", "/proc/version", change=mask)
    assert b"Read-only file system" in done.stderr
    assert mode_of_null() == null_restored
