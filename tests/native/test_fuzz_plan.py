"""A short run of the plan reader's fuzzer; `FUZZ_RUNS=1000000` makes it a long one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Plan
from containerlib.runtime.plan.roots import OverlayRoot
from containerlib.spec.layer import Layer

RUNS = os.environ.get("FUZZ_RUNS", "50000")
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
            ops.root_overlay("/r", OverlayRoot(("/a", Layer("/b", "erofs")), "/u", "/w")),
            ops.seccomp(b"12345678"),
            ops.user(1, 2, [3]),
            *ops.handover(
                ops.id_map("uid_map", "0 1 1\n"),
                ops.command(["/newuidmap", "0", "1", "1"], ""),
                ops.tree("/source", 1, "", uid_map="0 1 1\n", gid_map="0 1 1\n"),
                ops.hook("/hook", ["hook", "x"], ["A=1"], "{}", "", timeout=1.0),
                ops.listener("/agent.sock", "{}"),
                ops.link("eth0", "eth1"),
                ops.memory("/", 1, "", size=4096),
                ops.secret("key", b"12345678", mode=0o400, uid=1, gid=2),
                ops.borrow("/other", ""),
                ops.namespace("net", "/other", ""),
                ops.lend("/dev/shm"),
                ops.root_fuse("/bin/fuse-overlayfs", "/r", "lowerdir=/a"),
            ),
            ops.cpu_affinity(b"12345678", ""),
            ops.label("exec", "text", ""),
            ops.hold("sh", "/bin"),
            ops.exec_(["sh", "-c"], ["A=1"], "/bin"),
        ),
        (ops.cgroup_remove("/g"),),
        started=(ops.hook("/hook", ["hook"], [], "{}", ""),),
    )
    (corpus / "plan").write_bytes(plan.pack())
    run = subprocess.run(
        [fuzzer, f"-runs={RUNS}", "-seed=1", "-max_len=4096", corpus],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr[-4000:]
