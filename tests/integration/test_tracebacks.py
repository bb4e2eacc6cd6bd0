"""Tracebacks of failures that a user can act on are short; the environment asks for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
DOWN = "engine.image('127.0.0.1:1/app:1').pull()"
UNKNOWN = "engine.images.get('app:none')"
RUN = "engine.container('127.0.0.1:1/app:1').run('true')"
HEADS = ("Traceback (most recent call last):", "  + Exception Group Traceback")


def traceback_of(root: Path, verb: str, **environment: str) -> list[str]:
    script = f"import containerlib as cl\nwith cl.Engine(root={str(root)!r}) as engine:\n    {verb}\n"
    variables = {**os.environ, **environment}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    assert done.returncode == 1
    return done.stderr.splitlines()


def count(lines: list[str]) -> int:
    return sum(line.startswith(HEADS) for line in lines)


@pytest.mark.parametrize("verb", [DOWN, UNKNOWN, RUN])
def test_traceback_of_an_error_has_two_exceptions_and_few_lines(tmp_path: Path, verb: str) -> None:
    lines = traceback_of(tmp_path / "root", verb)
    assert 1 <= count(lines) <= 2
    assert len(lines) <= 25


def test_traceback_in_full_has_every_cause(tmp_path: Path) -> None:
    lines = traceback_of(tmp_path / "root", DOWN, CONTAINERLIB_TRACEBACK="full")
    assert count(lines) > 2


def test_exception_that_the_caller_handles_stays_whole(tmp_path: Path) -> None:
    verb = f"""
    def fail():
        raise ValueError("mine") from KeyError("mine too")
    try:
        fail()
    except ValueError as error:
        try:
            {UNKNOWN}
        except cl.NotFound as missing:
            chain = missing
            while chain.__context__ is not None and chain is not error:
                chain = chain.__context__
            assert chain is error
        assert isinstance(error.__cause__, KeyError)
        assert error.__traceback__.tb_next is not None
        raise SystemExit(1)
"""
    assert traceback_of(tmp_path / "root", verb.strip("\n ")) == []
