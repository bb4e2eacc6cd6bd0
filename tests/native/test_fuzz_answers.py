"""The fuzzer of CRIU's answers."""

from __future__ import annotations

from pathlib import Path

from rig.fuzzer import fuzz

ANSWERS = {
    "notify": b"\x08\x06\x10\x01\x2a\x11\x0a\x0cpost-restore\x10\x80\x02",
    "restored": b"\x08\x02\x10\x01\x22\x03\x08\x80\x02",
    "failed": b"\x08\x02\x10\x00\x38\x38\x4a\x05error",
    "other": b"\x09" + bytes(8) + b"\x0d" + bytes(4) + b"\x7a\x00",
}


def test_shim_reads_arbitrary_bytes(tmp_path: Path) -> None:
    fuzz(tmp_path, "answers", ["shim/answer.c", "init/base.c"], ANSWERS, longest=256)
