"""Files that are written for the caller: whole or not there, and none of a killed writer's left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from containerlib.images.registry.output_file import OutputFile, is_special

WRITER = """
import sys
from containerlib.images.registry.output_file import OutputFile
with OutputFile(sys.argv[1]) as file:
    print(flush=True)
    sys.stdin.read()
"""


def write(path: Path, data: bytes) -> None:
    with OutputFile(str(path)) as file:
        os.write(file.fd, data)
        file.commit(0o640)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with OutputFile(str(path)) as file:
        os.write(file.fd, b"new")
        assert path.read_text() == "old"
        file.commit(0o640)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["file"]


def test_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(ValueError, match="full"), OutputFile(str(tmp_path / "file")):
        raise ValueError("full")
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_writer_that_lives_keeps_its_file_and_a_killed_one_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        (aside,) = names(tmp_path)
        write(path, b"beside it")
        assert names(tmp_path) == [aside, "file"]
        writer.kill()
    write(path, b"after it")
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "after it"


def test_longest_name_has_room_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write(path, b"new")
    write(path, b"newer")
    assert names(tmp_path) == [path.name]


def test_special_is_what_a_rename_would_destroy(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("fifo")
    (tmp_path / "dangling").symlink_to("nothing")
    found = {path.name: is_special(str(path)) for path in tmp_path.iterdir()}
    assert found == {"fifo": True, "file": False, "link": True, "dangling": False}
    assert not is_special(str(tmp_path / "link"), follow_links=False)
    assert not is_special(str(tmp_path))
    assert is_special(os.devnull)
