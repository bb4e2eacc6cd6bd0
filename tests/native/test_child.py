"""Between clone and exec nothing may be called: the object of that code has no undefined symbol."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from containerlib._sys.native import HELPER
from rig.host import has_sanitizers

NATIVE = Path(__file__).parents[2] / "_native"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def test_child_calls_nobody(tmp_path: Path) -> None:
    target = tmp_path / "child.o"
    subprocess.run(
        [
            "gcc",
            "-c",
            "-O2",
            "-fPIC",
            "-fno-stack-protector",
            f"-I{NATIVE / 'include'}",
            NATIVE / "ext/child.c",
            "-o",
            target,
        ],
        check=True,
    )
    symbols = subprocess.run(["nm", target], check=True, capture_output=True, text=True).stdout
    assert " T clib_spawn_child" in symbols
    assert " T clib_socket_child" in symbols
    assert " T clib_network_child" in symbols
    undefined = [
        line for line in symbols.splitlines() if " U " in line and "_GLOBAL_OFFSET_TABLE_" not in line
    ]
    assert undefined == []


@pytest.mark.skipif(has_sanitizers(), reason="the sanitizers' build has a libc")
def test_helper_needs_no_loader_and_has_no_libc() -> None:
    image = HELPER.read_bytes()
    assert image[:4] == b"\x7fELF"
    facts = subprocess.run(["readelf", "-lW", HELPER], check=True, capture_output=True, text=True).stdout
    assert "INTERP" not in facts
    assert len(image) < 100_000
