"""Lengths and counts at their ends: whatever is too much is refused, and never cut, wrapped or written elsewhere.

CVE-2021-43784 was a length of 16 bits in which an attribute of runc's bootstrap message came round to zero.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from containerlib.bundles.users import ResolvedUser
from containerlib.errors import Error, StageError
from containerlib.spec.options import ContainerOptions, MountOption
from rig.bundles import Rack

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.mark.parametrize("count", [1, 65535, 65536, 100_000])
def test_environment_of_many_variables_arrives_whole(rack: Rack, count: int) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["env"] = ["PATH=/bin", *(f"V{i}=" for i in range(count - 1))]

    assert rack.run("env", change=change).stdout.count(b"\n") == count


@pytest.mark.parametrize("size", [65535, 65536, 131_000])
def test_argument_of_a_length_around_sixteen_bits_arrives_whole(rack: Rack, size: int) -> None:
    assert rack.run("sh", "-c", "echo ${#1}", "sh", "x" * size).text == str(size)


def test_argument_that_the_kernel_does_not_take_is_refused(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.run("true", "x" * 131_073)
    assert (caught.value.stage, caught.value.errno) == ("exec", errno.E2BIG)


def test_arguments_beyond_all_bounds_are_refused(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.run("true", *["x" * 100_000] * 200)
    assert (caught.value.stage, caught.value.errno) == ("exec", errno.E2BIG)


def test_mounts_in_great_number_are_all_made(rack: Rack) -> None:
    mounts = tuple(MountOption("tmpfs", f"/tmp/{i}", size_bytes=4096) for i in range(1000))
    done = rack.run("sh", "-c", "grep -c ' /tmp/' /proc/mounts", options=ContainerOptions(mounts=mounts))
    assert done.text == "1000"


@pytest.mark.parametrize("path", ["/" + "d" * 256, "/d" * 3000, "/" + "d/" * 2047 + "e" * 255])
def test_mount_on_a_path_that_is_too_long_is_refused(rack: Rack, path: str) -> None:
    with pytest.raises(Error):
        rack.run("true", options=ContainerOptions(mounts=(MountOption("tmpfs", path),)))


@pytest.mark.parametrize("name", ["x" * 4095, "x" * 4096, "x" * 70_000, "/" + "x" * 4095, "/" + "a/" * 2047])
def test_program_with_a_name_that_is_too_long_is_refused(rack: Rack, name: str) -> None:
    with pytest.raises(StageError) as caught:
        rack.run(name)
    assert caught.value.stage == "exec"


def test_search_path_with_overlong_directories_finds_what_is_after_them(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["process"]["env"] = [f"PATH=/{'x' * 5000}:/{'y' * 4094}::/bin"]

    assert rack.run("true", change=change).status.exit_code == 0


def groups(count: int) -> ResolvedUser:
    return ResolvedUser(1000, 1000, tuple(range(2000, 2000 + count)), "/")


def test_groups_up_to_the_bound_are_all_kept(rack: Rack) -> None:
    done = rack.run("sh", "-c", "grep Groups /proc/self/status | wc -w", user=groups(65536))
    assert done.text == "65537"


@pytest.mark.parametrize("count", [65536 + 1, 70_000])
def test_groups_beyond_the_bound_are_refused_and_not_cut(rack: Rack, count: int) -> None:
    """A group that is lost may be one to which a file is denied."""
    with pytest.raises(StageError) as caught:
        rack.run("true", user=groups(count))
    assert caught.value.stage == "user"


def test_hostname_of_the_kernels_length_is_kept(rack: Rack) -> None:
    assert rack.run("hostname", options=ContainerOptions(hostname="h" * 64)).text == "h" * 64


@pytest.mark.parametrize("size", [65, 65536])
def test_hostname_longer_than_the_kernels_is_refused(rack: Rack, size: int) -> None:
    with pytest.raises(StageError) as caught:
        rack.run("hostname", options=ContainerOptions(hostname="h" * size))
    assert caught.value.stage == "hostname"


def test_working_directory_that_is_too_long_is_refused(rack: Rack) -> None:
    with pytest.raises(StageError) as caught:
        rack.run("pwd", options=ContainerOptions(workdir="/d" * 2100))
    assert caught.value.stage == "chdir"


@pytest.mark.parametrize("text", ["a\0b", "\0"])
def test_text_with_a_nul_cuts_no_argument(rack: Rack, text: str) -> None:
    """One NUL more would make an argument into two, and shift the environment."""

    def change(spec: dict[str, Any]) -> None:
        spec["process"]["env"].append(f"X={text}")

    with pytest.raises(Error):
        rack.run("env", change=change)
