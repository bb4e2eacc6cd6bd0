"""systemd's sockets and the descriptors to preserve."""

from __future__ import annotations

import os

import pytest

from containerlib.errors import InvalidArgument
from containerlib.oci_cli.descriptors import inherited


def listening(count: str, pid: int | None = None, **more: str) -> dict[str, str]:
    return {"LISTEN_FDS": count, "LISTEN_PID": str(pid or os.getpid()), **more}


def first_six(fd: int) -> bool:
    """A command that was started with descriptors 0 to 5; the test's process has others."""
    return fd < 6


def test_inherited_sockets_come_first_then_preserved() -> None:
    found = inherited(1, listening("2", LISTEN_FDNAMES="web:admin"), first_six)
    assert found.fds == (3, 4, 5)
    assert found.env == ("LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=web:admin")


@pytest.mark.parametrize(
    "environment", [{}, {"LISTEN_FDS": "2"}, listening("2", 1), listening("x"), listening("0")]
)
def test_inherited_sockets_of_others_are_not_passed(environment: dict[str, str]) -> None:
    found = inherited(1, environment, first_six)
    assert (found.fds, found.env) == ((3,), ())


@pytest.mark.parametrize(
    ("preserve", "sockets", "what", "fd"),
    [(9, "1", r"preserved-fd 3 \(of 9\)", 6), (0, "4", r"\$LISTEN_FDS descriptor 4 \(of 4\)", 6)],
)
def test_inherited_names_the_one_that_is_not_open(preserve: int, sockets: str, what: str, fd: int) -> None:
    with pytest.raises(InvalidArgument, match=rf"unable to stat {what}: stat /proc/self/fd/{fd}"):
        inherited(preserve, listening(sockets), first_six)


def test_inherited_negative_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not negative"):
        inherited(-1)
