"""The plans of containers that another runtime makes: golden lists of ops."""

from __future__ import annotations

from typing import Any

from containerlib._sys.native import lib
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.drivers.plan import Command, foreign_exec_plan, foreign_plan
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.late import Borrowed, Late, Memory, OtherNamespace, Part
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.plan.roots import OverlayRoot
from containerlib.spec.secret import Secret

COMMAND = Command(("/bin/rt", "--root", "/c/oci"), ("PATH=/bin",))
ROOT = OverlayRoot(("/layer",), "/c/upper", "/c/work")
V2 = Layout({}, "/sys/fs/cgroup")
HYBRID = Layout(
    {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "devices": "/sys/fs/cgroup/devices",
    },
    "/sys/fs/cgroup/unified",
)
GROUPS = Groups(
    directories=("/cg/devices/x", "/cg/freezer/x"),
    hierarchies={"devices": "/cg/devices/x", "freezer": "/cg/freezer/x"},
)


def plan(layout: Layout = V2, *, join: bool = False, hold: bool = False, **words: Any) -> Plan:
    return foreign_plan(
        COMMAND,
        ("--bundle", "/c"),
        root=ROOT,
        rootfs="/c/rootfs",
        groups=GROUPS,
        layout=layout,
        container_id="id",
        join=join,
        hold=hold,
        **words,
    )


def names(ops: tuple[Op, ...]) -> list[str]:
    return [op.name for op in ops]


def test_foreign_plan_v2_order() -> None:
    made = plan()
    assert names(made.before) == ["unshare", "propagation", "bind", "root_overlay", "runtime"]
    assert names(made.started) == ["runtime"]
    assert names(made.after) == ["cgroup_kill", "cgroup_remove", "cgroup_remove", "runtime"]
    assert made.clone_flags == 0


def test_foreign_plan_has_what_is_late_before_paths_are_the_roots() -> None:
    late = Late(
        {
            "/c/late/net": OtherNamespace("/containers/other", "net"),
            "/c/late/part-0": Part("/volumes/v", "a"),
            "/c/late/shm": Borrowed("/containers/other"),
            "/c/late/secrets": Memory((Secret("key", "key", b"battery"),)),
        },
        lends="/dev/shm",
    )
    made = plan(hold=True, late=late, place="/c/late")
    assert names(made.before) == [
        *("unshare", "propagation", "bind", "mount"),
        *("namespace", "bind", "tree", "bind", "borrow", "bind", "memory", "secret", "bind"),
        *("root_overlay", "runtime", "lend", "hold"),
    ]
    assert [op.texts[1] for op in made.before if op.name == "bind"][1:] == list(late.found)
    assert "battery" not in repr(made)


def test_foreign_plan_commands_words() -> None:
    made = plan()
    words = [op.strings[: op.numbers[0]] for op in made.ops if op.kind == lib.CLIB_OP_RUNTIME]
    assert words == [
        ("/bin/rt", "--root", "/c/oci", "create", "--bundle", "/c", "id"),
        ("/bin/rt", "--root", "/c/oci", "start", "id"),
        ("/bin/rt", "--root", "/c/oci", "delete", "--force", "id"),
    ]
    assert all(op.strings[op.numbers[0] :] == ("PATH=/bin",) for op in made.started)


def test_foreign_plan_only_create_makes_a_process() -> None:
    files = [op.texts[1] for op in plan().ops if op.kind == lib.CLIB_OP_RUNTIME]
    assert files == ["runtime.pid", None, None]


def test_foreign_plan_hold_comes_last() -> None:
    assert names(plan(hold=True).before)[-2:] == ["runtime", "hold"]


def test_foreign_plan_joins_right_before_the_runtime() -> None:
    before = plan(join=True).before
    assert names(before)[-3:] == ["cgroup_join", "cgroup_join", "runtime"]
    assert [op.texts[0] for op in before[-3:-1]] == ["/cg/devices/x/tasks", "/cg/freezer/x/tasks"]


def test_foreign_plan_hybrid_view_has_no_v2_tree() -> None:
    before = plan(HYBRID).before
    mounted = [(op.name, *op.texts) for op in before[3:-2]]
    assert mounted == [
        ("mount", "tmpfs", "/c/rootfs"),
        ("bind", "/sys/fs/cgroup/cpu,cpuacct", "/c/rootfs/cpu,cpuacct"),
        ("bind", "/sys/fs/cgroup/devices", "/c/rootfs/devices"),
        ("symlink", "cpu,cpuacct", "/c/rootfs/cpu"),
        ("symlink", "cpu,cpuacct", "/c/rootfs/cpuacct"),
        ("unmount", "/sys/fs/cgroup", None),
        ("bind", "/c/rootfs", "/sys/fs/cgroup"),
        ("unmount", "/c/rootfs", None),
    ]


def test_foreign_exec_plan_is_one_command_in_a_private_host() -> None:
    made = foreign_exec_plan(COMMAND, ("--detach",), "/c/rootfs", V2, container_id="id")
    assert names(made.ops) == ["unshare", "propagation", "bind", "runtime"]
    assert made.before[-1].strings == ("/bin/rt", "--root", "/c/oci", "exec", "--detach", "id", "PATH=/bin")


def test_foreign_plan_null_device_is_read_only() -> None:
    (bind,) = (op for op in plan().before if op.name == "bind")
    assert bind.texts == ("/dev/null", "/dev/null")
    assert bind.numbers[0] == 1
