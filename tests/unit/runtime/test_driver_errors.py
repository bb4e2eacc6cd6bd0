"""From what other runtimes write when they fail to the errors that callers tell apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from containerlib.errors import StageError
from containerlib.runtime.drivers.errors import explained, last_message

FAILED = StageError("runtime", 0, "runc create", advice="it ended with exit code 1")


def log(tmp_path: Path, *messages: str, between: str = "\n", level: str = "error") -> str:
    path = tmp_path / "log"
    path.write_text(between.join(json.dumps({"level": level, "msg": m, "time": "t"}) for m in messages))
    return str(path)


@pytest.mark.parametrize(
    ("message", "program", "code"),
    [
        # runc
        ('runc create failed: exec: "nope": executable file not found in $PATH', "nope", 127),
        (
            'exec failed: unable to start container process: exec: "/no/x": stat /no/x: no such file or directory',
            "/no/x",
            127,
        ),
        ('unable to start container process: exec: "/etc/passwd": permission denied', "/etc/passwd", 126),
        ('exec: "/bin": is a directory', "/bin", 126),
        # crun
        ("executable file `nope` not found in $PATH: No such file or directory", "nope", 127),
        ("open executable: Permission denied", "/etc/passwd", 126),
        ("exec container process `/x`: Exec format error", "/x", 126),
        # runsc
        (
            'starting sandbox: error finding executable "nope" in PATH [/bin]: no such file or directory',
            "nope",
            127,
        ),
        ("creating process: failed to load /etc/passwd: permission denied", "/etc/passwd", 126),
    ],
)
def test_explained_program_to_blame(tmp_path: Path, message: str, program: str, code: int) -> None:
    error = explained(FAILED, log(tmp_path, message), program)
    assert (error.stage, error.exit_code, error.detail) == ("exec", code, program)
    assert message in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "error mounting /a to rootfs: mount /a: no such file or directory",
        'chdir to cwd ("/nope") set in config.json failed: no such file or directory',
        "something else went wrong with nope",
        "cannot find nopeful: no such file or directory",
    ],
)
def test_explained_other_failures_are_quoted(tmp_path: Path, message: str) -> None:
    error = explained(FAILED, log(tmp_path, message), "nope")
    assert (error.stage, error.exit_code) == ("runtime", 125)
    assert str(error) == f"runtime: runc create; {message}"


def test_explained_without_a_message_stays(tmp_path: Path) -> None:
    assert explained(FAILED, str(tmp_path / "none"), "x") is FAILED
    assert explained(FAILED, log(tmp_path), "x") is FAILED


def test_explained_other_stage_stays(tmp_path: Path) -> None:
    other = StageError("root_overlay", 22, "root")
    assert explained(other, log(tmp_path, '"x": no such file or directory'), "x") is other


def test_last_message_is_the_last_error(tmp_path: Path) -> None:
    assert last_message(log(tmp_path, "first", "second")) == "second"
    assert last_message(log(tmp_path, "first", "second", between="")) == "second"
    assert last_message(log(tmp_path, "a warning", level="warning")) == ""


def test_last_message_of_plain_text(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one line\nanother line\n")
    assert last_message(str(tmp_path / "log")) == "another line"


def test_last_message_cannot_drive_a_terminal(tmp_path: Path) -> None:
    assert last_message(log(tmp_path, "\x1b[2Jgone")) == "\\x1b[2Jgone"
