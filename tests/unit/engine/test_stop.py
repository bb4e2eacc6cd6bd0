"""The end of a container whose supervisor is gone, by what it left; and the last lines of a log."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from containerlib._sys.steps import finish
from containerlib._sys.wire import Kind, Message
from containerlib.engine import stop, waiting
from containerlib.errors import NotFound, Unavailable
from containerlib.spec.lifecycle import State

T = "2026-01-02T03:04:05.678901234Z"


def instance_in(directory: Path) -> Any:
    return MagicMock(
        directory=str(directory), subject="container 'x'", state=State.STOPPED, gone=lambda: NotFound("gone")
    )


@pytest.mark.parametrize("verb", [waiting.wait, stop.stop])
def test_end_of_a_started_container_without_exit_record_is_that_of_its_supervisor(
    tmp_path: Path, verb: Any
) -> None:
    (tmp_path / "started").write_bytes(Message(Kind.STARTED, (1, 0, 0, 0)).pack())
    status = finish(verb(instance_in(tmp_path), 1.0))
    assert (status.exit_code, status.signal, status.oom_killed) == (137, 9, False)


def test_end_of_a_container_that_never_ran_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="never ran"):
        finish(waiting.wait(instance_in(tmp_path), 1.0))


def test_end_of_a_container_that_was_removed_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        finish(waiting.wait(instance_in(tmp_path / "gone"), 1.0))


def test_tail_of_a_log_looks_at_its_end_alone(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        log.write(f"{T} stderr F long ago\n")  # standard error goes first, where it is looked at
        log.writelines(f"{T} stdout F line {n}\n" for n in range(2000))
    assert list(stop.tail(instance_in(tmp_path))) == [f"line {n}" for n in range(1990, 2000)]
