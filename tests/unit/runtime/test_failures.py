from __future__ import annotations

import errno

import pytest

from containerlib._sys.wire import Kind, Message, Stage
from containerlib.errors import Conflict
from containerlib.runtime.failures import failure
from containerlib.runtime.plan import ops

PLAN = [ops.mount("proc", "/proc", "mounts[3] /proc"), ops.exec_(["nosuch"], [], "/bin")]


def failed(stage: Stage, code: int, index: int = -1) -> Message:
    return Message(Kind.FAILED, (stage, code, index, 0))


def test_failure_of_an_op_names_the_property_of_the_config() -> None:
    error = failure(failed(Stage.OP, errno.EPERM, 0), PLAN)
    assert str(error) == "mount: mounts[3] /proc: EPERM (Operation not permitted)"
    assert (error.stage, error.errno, error.detail) == ("mount", errno.EPERM, "mounts[3] /proc")
    assert error.exit_code == 125


@pytest.mark.parametrize("stage", [-1, 0, 99, 2**31 - 1])
@pytest.mark.parametrize("code", [-(2**31), -1, 0, 2**31 - 1])
def test_failure_that_is_none_of_ours_is_the_loss_of_the_first_process(stage: int, code: int) -> None:
    """Whoever got hold of that process may say anything."""
    message = Message(Kind.FAILED, (stage, code, 2**31 - 1, -1), (2**63 - 1, 0))
    assert failure(message, PLAN, first=5).stage == "lost"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("code", "exit_code"), [(errno.ENOENT, 127), (errno.EACCES, 126), (errno.ENOEXEC, 126)]
)
def test_failure_of_an_exec_has_the_shells_exit_code(code: int, exit_code: int) -> None:
    error = failure(failed(Stage.EXEC, code, 1), PLAN)
    assert error.exit_code == exit_code
    assert error.detail == "nosuch"
    assert "; " in str(error), "it says what to look at"


@pytest.mark.parametrize("line", ["echo hello", "/bin/echo hello"])
def test_failure_of_a_shells_line_says_that_there_is_no_shell(line: str) -> None:
    error = failure(failed(Stage.EXEC, errno.ENOENT, 0), [ops.exec_([line], [], "/bin")])
    assert str(error).startswith(f"exec: {line}: ENOENT (No such file or directory); no shell reads it")


def test_failure_of_a_program_without_a_name_shows_that_it_has_none() -> None:
    error = failure(failed(Stage.EXEC, errno.ENOENT, 0), [ops.exec_([""], [], "/bin")])
    assert str(error).startswith("exec: '': ENOENT")


def test_failure_of_an_unknown_op_still_says_where() -> None:
    assert failure(failed(Stage.OP, errno.EPERM, 99), PLAN).detail == "99"


def test_exec_into_a_container_that_has_just_ended_is_a_conflict() -> None:
    error = failure(failed(Stage.NAMESPACE, errno.ESRCH), PLAN)
    assert isinstance(error, Conflict)
    assert error.state == "stopped"


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in (Stage.OP, Stage.EXEC)])
def test_failure_of_every_stage_has_words(stage: Stage) -> None:
    error = failure(failed(stage, errno.EPERM), PLAN)
    assert error.stage == stage.name.lower()
    assert error.detail
