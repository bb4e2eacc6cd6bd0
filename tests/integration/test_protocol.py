"""Supervisors and clients of different releases: a recorded older client, and what one to come might send.

The recording is of the release before restart policies, health checks and log rotation. Replayed, it must be answered
as it was then, byte for byte, but for pids and times.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from errno import EPROTO, EPROTONOSUPPORT
from pathlib import Path
from typing import Any

import pytest

import containerlib as cl
from containerlib._sys.wire import Kind, Message
from containerlib.runtime import connect
from containerlib.runtime.records import exit_status, read_record
from containerlib.runtime.supervisor import connect_in

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

RECORDING = json.loads((Path(__file__).parents[1] / "data/protocol-1.json").read_text())
CONVERSATIONS = [pytest.param(talk, id=talk["name"]) for talk in RECORDING["conversations"]]
MESSAGE = struct.Struct("<II4i2q")
CREATED, STARTED, EXITED, DONE = 7, 8, 10, 11
"""As version 1 has them: not what the library calls so now."""


@contextmanager
def caller(container: cl.Container) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        connect_in(channel, container._instance.directory, "shim.sock")
        channel.settimeout(30.0)
        yield channel


def lasting(data: bytes) -> tuple[int, ...]:
    """The fields that are not of one process or moment."""
    kind, version, a, b, c, d, x, y = MESSAGE.unpack(data)
    if kind in (CREATED, STARTED):
        return kind, version, b, c, d, y
    if kind == EXITED:
        return kind, version, a, b, c, d, y
    return kind, version, a, b, c, d, x, y


@pytest.mark.parametrize("talk", CONVERSATIONS)
def test_recorded_client_is_answered_as_it_was(box: cl.ContainerRecipe, talk: dict[str, Any]) -> None:
    recipe = box.tty() if talk["tty"] else box
    with recipe.create(*talk["argv"]) as container, caller(container) as channel:
        for step in talk["steps"]:
            if "await" in step:
                container.wait_for(log=step["await"], timeout=60.0)
                continue
            channel.send(bytes.fromhex(step["sent"]))
            for answer in step["answers"]:
                assert lasting(channel.recv(100)) == lasting(bytes.fromhex(answer)), step["kind"]
        assert channel.recv(100) == b"", "the supervisor ends"
        assert container.wait(30.0).exit_code == talk["exit_code"]
        for name, record in talk["records"].items():
            written = Path(container._instance.directory, name).read_bytes()
            assert lasting(written) == lasting(bytes.fromhex(record)), name


@pytest.mark.parametrize("talk", CONVERSATIONS)
def test_recorded_records_are_read(talk: dict[str, Any], tmp_path: Path) -> None:
    for name, record in talk["records"].items():
        (tmp_path / name).write_bytes(bytes.fromhex(record))
    started, ended = read_record(str(tmp_path), "started"), read_record(str(tmp_path), "exit")
    assert started is not None
    assert ended is not None
    assert (started.kind, ended.kind) == (Kind.STARTED, Kind.EXITED)
    assert exit_status(ended).exit_code == talk["exit_code"]


@contextmanager
def older_supervisor(directory: Path, talk: dict[str, Any]) -> Iterator[list[str]]:
    """Says what was recorded of one, to what it was asked then; what it was asked otherwise is listed."""
    answers: dict[int, list[tuple[bytes, list[bytes]]]] = {Kind.STATE: []}
    for step in talk["steps"]:
        if "sent" in step:
            sent, said = bytes.fromhex(step["sent"]), [bytes.fromhex(each) for each in step["answers"]]
            answers.setdefault(MESSAGE.unpack(sent)[0], []).append((sent, said))
    if not answers[Kind.STATE]:
        state = MESSAGE.pack(Kind.STATE, 1, 0, 0, 0, 0, 0, 0)
        answers[Kind.STATE] = [(state, [bytes.fromhex(talk["records"]["started"])])]
    unknown: list[str] = []

    def serve() -> None:
        channel, _ = listener.accept()
        with channel:
            while data := channel.recv(100):
                known = answers.get(MESSAGE.unpack(data)[0])
                if not known or known[0][0] != data:
                    unknown.append(repr(MESSAGE.unpack(data)))
                    return
                for said in known.pop(0)[1]:
                    channel.send(said)

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(directory / "shim.sock"))
        listener.listen()
        server = threading.Thread(target=serve)
        server.start()
        yield unknown
        server.join(30.0)


@pytest.mark.parametrize("talk", CONVERSATIONS)
def test_recorded_supervisor_is_talked_to_as_it_was(talk: dict[str, Any], tmp_path: Path) -> None:
    """One that an older release started is served by this one."""
    with older_supervisor(tmp_path, talk) as unknown:
        supervisor = connect(str(tmp_path))
        assert supervisor is not None
        with supervisor:
            for step in talk["steps"]:
                if step.get("kind") not in ("START", "SIGNAL", "RESIZE"):
                    continue
                _, _, first, second, *_ = MESSAGE.unpack(bytes.fromhex(step["sent"]))
                kind, _, error, *_ = MESSAGE.unpack(bytes.fromhex(step["answers"][0]))
                refused = pytest.raises(cl.Conflict) if kind == DONE and error else nullcontext()
                with refused:
                    if step["kind"] == "START":
                        supervisor.start()
                    elif step["kind"] == "SIGNAL":
                        supervisor.signal(first, everyone=bool(second))
                    else:
                        supervisor.resize(first, second)
            assert supervisor.wait(30.0).exit_code == talk["exit_code"]
        assert unknown == []


@pytest.mark.parametrize(
    ("kind", "version", "errno"),
    [
        (0, 1, EPROTO),
        (Kind.LAUNCH, 1, EPROTO),
        (Kind.LINKS, 1, EPROTO),  # without a plan
        (99, 1, EPROTO),
        (2**32 - 1, 1, EPROTO),
        (Kind.STATE, 2, EPROTONOSUPPORT),
        (Kind.SIGNAL, 2**32 - 1, EPROTONOSUPPORT),
        (99, 0, EPROTONOSUPPORT),
    ],
)
def test_client_to_come_is_refused_and_ends_nothing(
    box: cl.ContainerRecipe, kind: int, version: int, errno: int
) -> None:
    with box.start("sleep", "1000") as container, caller(container) as channel:
        channel.send(MESSAGE.pack(kind, version, 9, 1, 0, 0, 0, 0))
        assert MESSAGE.unpack(channel.recv(100)) == (DONE, 1, errno, 0, 0, 0, 0, 0)
        channel.send(MESSAGE.pack(Kind.STATE, 1, 0, 0, 0, 0, 0, 0))
        assert MESSAGE.unpack(channel.recv(100))[:2] == (STARTED, 1), "it is served on the same connection"
        assert container.exec("echo", "lives").text == "lives\n"


def test_supervisor_of_another_version_is_unavailable_and_says_which() -> None:
    with pytest.raises(cl.Unavailable, match="protocol 2, this containerlib 1"):
        Message.unpack(MESSAGE.pack(STARTED, 2, 0, 0, 0, 0, 0, 0))
