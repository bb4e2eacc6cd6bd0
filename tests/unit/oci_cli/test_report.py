"""Messages that the callers of runtimes look for."""

from __future__ import annotations

import errno

import pytest

from containerlib.errors import Conflict, NotFound, StageError
from containerlib.oci_cli.report import message_of

STOPPED = Conflict("cannot do it: it is stopped, and must be running", state="stopped")


@pytest.mark.parametrize(
    ("verb", "state", "words"),
    [
        ("kill", "stopped", "container not running: "),
        ("pause", "stopped", "container not running: "),
        ("pause", "paused", "container not running: "),
        ("update", "stopped", "container not running: "),
        ("resume", "running", "container not paused: "),
        ("start", "running", "cannot start an already running container: "),
        ("start", "paused", "cannot start an already running container: "),
        ("start", "stopped", "cannot start a container that has stopped: "),
        ("delete", "running", "cannot delete container c1 that is not stopped: running: "),
        ("events", "stopped", "container is not running: "),
        ("exec", "stopped", "exec failed: cannot exec in a stopped container: "),
        (
            "exec",
            "paused",
            "exec failed: cannot exec in a paused container (use --ignore-paused to override): ",
        ),
    ],
)
def test_conflict_says_it_in_the_words_of_runc_first(verb: str, state: str, words: str) -> None:
    assert message_of(Conflict("ours", state=state), verb, "c1") == f"{words}ours"


def test_conflict_without_a_state_is_left_as_it_is() -> None:
    assert message_of(Conflict("another command works on it"), "start", "c1") == "another command works on it"


@pytest.mark.parametrize(
    ("program", "number", "words"),
    [
        ("nope", errno.ENOENT, 'exec: "nope": executable file not found in $PATH'),
        ("/nope", errno.ENOENT, 'exec: "/nope": stat /nope: no such file or directory'),
        ("/tmp", errno.EACCES, 'exec: "/tmp": permission denied'),
        ("sh", errno.ENOEXEC, 'exec: "sh": exec format error'),
    ],
)
def test_exec_of_what_cannot_be_run(program: str, number: int, words: str) -> None:
    error = StageError("exec", number, program, advice="ours")
    assert message_of(error, "exec", "c1") == f"exec failed: unable to start container process: {words}"
    assert (
        message_of(error, "run", "c1")
        == f"containerlib-oci run failed: unable to start container process: {words}"
    )


def test_other_stages_keep_their_words() -> None:
    error = StageError("mount", errno.EPERM, "mounts[3] /proc")
    assert "unable to start container process: mount: mounts[3] /proc: EPERM" in message_of(
        error, "create", "c1"
    )
    assert message_of(error, "update", "c1").startswith("mount: ")


def test_notes_of_a_clean_up_are_told() -> None:
    error = NotFound("container does not exist: 'c1'")
    error.add_note("and more")
    assert message_of(error, "state", "c1") == "container does not exist: 'c1'; and more"
