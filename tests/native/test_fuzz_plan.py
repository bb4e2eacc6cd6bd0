"""The plan reader's fuzzer."""

from __future__ import annotations

from pathlib import Path

from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Plan
from containerlib.runtime.plan.roots import OverlayRoot
from containerlib.spec.layer import Layer
from rig.fuzzer import fuzz


def test_plan_reader_survives_arbitrary_bytes(tmp_path: Path) -> None:
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
                ops.resolver("/networks", "view", 12, b"12345678", answers=1),
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
    fuzz(tmp_path, "plan", ["init/plan.c", "init/base.c"], {"plan": plan.pack()})
