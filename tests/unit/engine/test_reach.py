"""Ports of a container, and whose they are."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from containerlib._sys.wire import Kind, Message
from containerlib.engine.owner import this_process
from containerlib.engine.reach import Target, answers


def started_in(directory: Path, pid: int, start_time: int) -> Any:
    message = Message(Kind.STARTED, (pid, 0, 0, 0), (start_time, 0))
    (directory / "started").write_bytes(message.pack())
    return SimpleNamespace(directory=str(directory))


@pytest.mark.privileged("CAP_SYS_ADMIN: enters a network namespace, be it its own")
def test_port_is_that_of_the_containers_first_process(tmp_path: Path) -> None:
    own = this_process()
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(server.getsockname()[1])
        assert answers(started_in(tmp_path, own.pid, own.start_time), target, 30.0)
    assert not answers(started_in(tmp_path, own.pid, own.start_time), target, 30.0)


def test_port_of_who_has_the_number_of_the_first_process_by_now_is_not_the_containers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(server.getsockname()[1])
        assert not answers(started_in(tmp_path, os.getpid(), 1), target, 30.0)


def test_port_of_what_never_ran_or_has_ended_is_not_reached(tmp_path: Path) -> None:
    assert not answers(SimpleNamespace(directory=str(tmp_path)), Target(1), 30.0)  # type: ignore[arg-type]
    assert not answers(started_in(tmp_path, 2**22 - 1, 1), Target(1), 30.0)
