"""A short run of the plan reader's fuzzer; a long one is `-runs=1000000` by hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from containerlib.runtime import ops
from containerlib.runtime.ops import Plan

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "_native"
FLAGS = ["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-std=gnu11"]

pytestmark = pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang and its sanitizers")


def test_plan_reader_survives_arbitrary_bytes(tmp_path: Path) -> None:
    fuzzer, corpus = tmp_path / "fuzz", tmp_path / "corpus"
    sources = [HERE / "fuzz_plan.c", NATIVE / "init/plan.c", NATIVE / "init/base.c"]
    includes = [f"-I{NATIVE / name}" for name in ("include", "init")]
    built = subprocess.run(
        ["clang", *FLAGS, *includes, *sources, "-o", fuzzer], capture_output=True, text=True, check=False
    )
    if "cannot find" in built.stderr and "libclang_rt" in built.stderr:
        pytest.skip("clang is here without its sanitizers' runtime (Debian: libclang-rt-14-dev)")
    assert built.returncode == 0, built.stderr
    corpus.mkdir()
    plan = Plan(
        (
            ops.mount("proc", "/proc", "", options=[("source", "proc"), ("newinstance", "")]),
            ops.root_overlay("/r", ["/a", "/b"], "/u", "/w"),
            ops.seccomp(b"12345678"),
            ops.user(1, 2, [3]),
            ops.exec_(["sh", "-c"], ["A=1"], "/bin"),
        ),
        (ops.cgroup_remove("/g"),),
    )
    (corpus / "plan").write_bytes(plan.pack())
    run = subprocess.run(
        [fuzzer, "-runs=50000", "-seed=1", "-max_len=4096", corpus],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr[-4000:]
