from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from attrs import evolve

from containerlib.engine.owner import Owner, is_alive, this_process


def test_this_process_is_alive() -> None:
    owner = this_process()
    assert owner.pid == os.getpid()
    assert is_alive(owner)


def test_is_alive_same_pid_other_start_is_another_process() -> None:
    assert not is_alive(evolve(this_process(), start_time=1))


def test_is_alive_ended_process_is_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert not is_alive(Owner(child.pid, 0))


def test_is_alive_command_with_parentheses_read_right(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    tail = " ".join(["S", *(str(n) for n in range(4, 22)), "777", "0"])
    (tmp_path / "5" / "stat").write_text(f"5 (a) Z (b) {tail}\n")
    assert is_alive(Owner(5, 777), proc=str(tmp_path))


def test_is_alive_zombie_is_not(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    tail = " ".join(["Z", *(str(n) for n in range(4, 22)), "777", "0"])
    (tmp_path / "5" / "stat").write_text(f"5 (x) {tail}\n")
    assert not is_alive(Owner(5, 777), proc=str(tmp_path))
