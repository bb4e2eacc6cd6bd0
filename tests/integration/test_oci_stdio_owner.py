"""Who owns a program's streams: its user owns pipes, which are opened by /dev/stdout, and the host keeps its files."""

from __future__ import annotations

import os
import pty
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.users import ResolvedUser
from rig.bundles import Rack
from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

USER = 1000
REOPENS = "echo out >/dev/stdout && echo err >/dev/stderr"


def as_user(spec: dict[str, Any]) -> None:
    spec["process"]["user"] = {"uid": USER, "gid": USER}


def test_pipes_of_a_user_are_opened_again_by_their_names(oci: Command, bundle: Bundle) -> None:
    done = oci(
        "run",
        "--bundle",
        bundle("sh", "-c", f"cat /dev/stdin && {REOPENS}", change=as_user),
        "c1",
        stdin=None,
        input="in\n",
    )
    assert (done.text, done.stderr) == ("in\nout\n", "err\n")


def test_pipes_of_an_exec_are_its_users(oci: Command, running: str) -> None:
    done = oci("exec", "--user", f"{USER}:{USER}", running, "sh", "-c", REOPENS)
    assert (done.text, done.stderr) == ("out\n", "err\n")


def test_pipes_of_a_log_are_its_users(rack: Rack) -> None:
    done = rack.run("sh", "-c", REOPENS, user=ResolvedUser(USER, USER, (), "/"))
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_fifo_is_the_users_and_keeps_its_group(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    os.chown(tmp_path / "fifo", 0, 7)
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    try:
        oci.detach(bundle("true", change=as_user), "c1", stdout=fifo).ok()
        assert (os.fstat(fifo).st_uid, os.fstat(fifo).st_gid) == (USER, 7)
    finally:
        os.close(fifo)


def _file(directory: Path) -> list[int]:
    return [os.open(directory / "file", os.O_RDWR | os.O_CREAT, 0o600)]


def _socket(_: Path) -> list[int]:
    return [end.detach() for end in socket.socketpair()]


def _device(_: Path) -> list[int]:
    return [os.open("/dev/zero", os.O_RDWR)]


def _null(_: Path) -> list[int]:
    return [os.open("/dev/null", os.O_RDWR)]


def _terminal(_: Path) -> list[int]:
    return list(reversed(pty.openpty()))


@pytest.mark.parametrize("make", [_file, _socket, _device, _null, _terminal])
def test_stream_that_is_no_pipe_keeps_its_owner(
    oci: Command, bundle: Bundle, tmp_path: Path, make: Callable[[Path], list[int]]
) -> None:
    made = make(tmp_path)
    try:
        before = os.fstat(made[0])
        oci.detach(bundle("true", change=as_user), "c1", stdout=made[0]).ok()
        after = os.fstat(made[0])
        assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    finally:
        for fd in made:
            os.close(fd)
