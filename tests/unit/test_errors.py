from __future__ import annotations

import pickle

import pytest

import containerlib as cl
from containerlib.engine.completed import Completed, checked
from containerlib.spec.status import ExitStatus


def failure(status: ExitStatus, stderr: bytes = b"") -> cl.ExitError:
    with pytest.raises(cl.ExitError) as caught:
        checked(Completed(status.exit_code, b"", stderr, status), ("work", "-x"), check=True)
    return caught.value


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (ExitStatus(3), "work -x exited with 3"),
        (ExitStatus(137, 9), "work -x was killed by SIGKILL"),
        (ExitStatus(143, 15), "work -x was killed by SIGTERM"),
        (ExitStatus(165, 37), "work -x was killed by signal 37"),
        (
            ExitStatus(137, 9, oom_killed=True),
            "work -x was killed: it reached its memory limit; raise limit(memory=...)",
        ),
        (
            ExitStatus(1, oom_killed=True),
            (
                "work -x exited with 1, and one of its processes was killed at the memory limit; "
                "raise limit(memory=...)"
            ),
        ),
    ],
)
def test_exit_error_tells_how_the_program_ended(status: ExitStatus, message: str) -> None:
    error = failure(status)
    assert str(error) == message
    assert (error.exit_code, error.signal, error.oom_killed) == (
        status.exit_code,
        status.signal,
        status.oom_killed,
    )


def test_exit_error_facts_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(failure(ExitStatus(137, 9, oom_killed=True))))  # noqa: S301
    assert (error.signal, error.oom_killed) == (9, True)


def test_exit_error_ends_with_what_was_written() -> None:
    assert str(failure(ExitStatus(1), b"a\nb\n")) == "work -x exited with 1\n  | a\n  | b"


@pytest.mark.parametrize("written", [b"", b"\n", b" \n\n"])
def test_exit_error_with_nothing_written_is_one_line(written: bytes) -> None:
    assert str(failure(ExitStatus(1), written)) == "work -x exited with 1"


def test_timeout_with_an_empty_log_is_one_line() -> None:
    assert str(cl.Timeout("too late", log_tail=("",))) == "too late"


def test_exit_error_without_stderr_shows_the_end_of_stdout() -> None:
    assert str(cl.ExitError(("make",), 2, b"one\ntwo\n", b"\n")) == "make exited with 2\n  | one\n  | two"
    assert "one" not in str(cl.ExitError(("make",), 2, b"one\n", b"two\n"))


def test_exit_error_of_a_killed_supervisor_says_whose_end_it_was() -> None:
    status = ExitStatus(137, signal=9, supervisor_killed=True)
    with pytest.raises(
        cl.ExitError, match="its supervisor, which was killed: the program's own end is unknown"
    ):
        checked(Completed(137, status=status), ("make",), check=True)
