"""The plan of a config, op by op, against a golden list: to change one is to change what a container is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from containerlib._sys.native import lib
from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime import BindRoot, OverlayRoot
from containerlib.runtime.plan.container import container_plan, exec_plan
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.namespaces import CLONE_FLAGS
from containerlib.runtime.plan.op import Op, Plan
from containerlib.spec.runtime import Process, Spec

GOLDEN = Path(__file__).parent / "golden"
V1 = Groups(
    join_files=("/cg/devices/c/1/tasks", "/cg/freezer/c/1/tasks"),
    directories=("/cg/devices/c/1", "/cg/freezer/c/1"),
    oom_file="/cg/memory/c/1/memory.oom_control",
    hierarchies={"devices": "/cg/devices/c/1", "cpu,cpuacct": "/cg/cpu/c/1"},
)
V2 = Groups(directories=("/cg/c/1",))
OVERLAY = OverlayRoot(("/layers/top", "/layers/base"), "/c/1/upper", "/c/1/work")


def mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def make_spec(**changes: Any) -> Spec:
    spec: Spec = {
        "ociVersion": "1.1.0",
        "process": {
            "args": ["redis-server", "--port", "1"],
            "env": ["PATH=/usr/bin:/bin", "A=1"],
            "cwd": "/data",
            "user": {"uid": 999, "gid": 998, "umask": 0o022, "additionalGids": [5]},
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": [], "permitted": []},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}],
            "oomScoreAdj": -5,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "web",
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid", "nodev", "noexec"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid"),
            mount("/data", "bind", "/srv", "rbind", "rprivate", "rro"),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "uts", "ipc", "network", "cgroup")],
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_LOG"]},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
        },
    }
    return cast(Spec, {**spec, **changes})


def with_linux(**changes: Any) -> Spec:
    spec = make_spec()
    return make_spec(linux={**spec["linux"], **changes})


def with_process(**changes: Any) -> Spec:
    return make_spec(process={**make_spec()["process"], **changes})


def show(op: Op) -> str:
    parts = [op.name, f"[{op.origin}]"]
    if any(op.numbers):
        parts.append(" ".join(hex(number) for number in op.numbers))
    parts += [repr(text) for text in op.texts if text is not None]
    if op.strings:
        parts.append(repr(list(op.strings)))
    if op.data:
        parts.append(op.data.hex())
    return " ".join(parts)


def render(plan: Plan) -> str:
    lines = [f"clone {plan.clone_flags:#x}", *map(show, plan.before), "-- after", *map(show, plan.after)]
    return "\n".join(lines) + "\n"


def names(plan: Plan) -> list[str]:
    return [op.name for op in plan.before]


def plan_of(spec: Spec, groups: Groups = V1, **changes: Any) -> Plan:
    return container_plan(
        spec, "/c/1/rootfs", changes.pop("root", OVERLAY), groups, container_id="1", **changes
    )


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_container_plan_of_a_full_config_is_the_golden_one(layout: str) -> None:
    plan = plan_of(make_spec(), V1 if layout == "v1" else V2, seccomp=b"FILTERED")
    assert render(plan) == (GOLDEN / f"container-{layout}.txt").read_text()


def test_exec_plan_is_the_golden_one() -> None:
    spec = make_spec()
    process = cast(Process, {**spec["process"], "args": ["sh"], "terminal": True})
    plan = exec_plan(spec, process, V1, container_id="1", seccomp=b"FILTERED")
    assert render(plan) == (GOLDEN / "exec.txt").read_text()


def test_container_plan_with_no_new_privileges_loads_the_filter_last() -> None:
    order = names(plan_of(with_process(noNewPrivileges=True), seccomp=b"FILTERED"))
    assert order.index("no_new_privs") < order.index("seccomp")
    assert order[order.index("seccomp") + 1 :] == ["exec"]


def test_container_plan_without_no_new_privileges_keeps_what_loads_the_filter_until_the_exec() -> None:
    plan = plan_of(make_spec(), seccomp=b"FILTERED")
    assert names(plan)[names(plan).index("seccomp") + 1 :] == ["exec"]
    (op,) = (op for op in plan.before if op.name == "capabilities")
    assert op.numbers == (0, 1 << 21, 0)


def test_container_plan_leaves_the_hosts_tree_before_it_becomes_the_user() -> None:
    order = names(plan_of(make_spec()))
    assert max(order.index("mask"), order.index("readonly"), order.index("sysctl")) < order.index("pivot")
    assert order.index("pivot") < order.index("user")


def test_container_plan_makes_the_cgroup_namespace_after_joining_the_groups() -> None:
    plan = plan_of(make_spec())
    order = names(plan)
    assert order.index("unshare") > max(i for i, name in enumerate(order) if name == "cgroup_join")
    assert not plan.clone_flags & CLONE_FLAGS["cgroup"]


def test_container_plan_with_a_namespace_by_path_joins_it() -> None:
    spec = with_linux(namespaces=[{"type": "mount"}, {"type": "network", "path": "/run/netns/a"}], sysctl={})
    plan = plan_of(spec)
    assert [op.texts[0] for op in plan.before if op.name == "setns"] == ["/run/netns/a"]
    assert plan.clone_flags == CLONE_FLAGS["mount"]
    assert "loopback_up" not in names(plan)


def test_container_plan_with_a_new_user_namespace_mounts_ahead_what_shows_a_joined_one() -> None:
    ids = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    joined = {"type": "ipc", "path": "/proc/1/ns/ipc"}
    linux = {
        "namespaces": [{"type": "mount"}, {"type": "user"}, joined],
        "uidMappings": ids,
        "gidMappings": ids,
        "mountLabel": "a:b:c:s0",
    }
    plan = plan_of(make_spec(mounts=[{"destination": "/dev/mqueue", "type": "mqueue"}], linux=linux))
    order = names(plan)
    ahead, made = (at for at, op in enumerate(plan.before) if op.texts[0] == "mqueue")
    assert order.index("setns") < ahead < order.index("unshare") < made < order.index("pivot")
    assert plan.before[ahead].strings[-2:] == ("context", "a:b:c:s0")
    assert [plan.before[at].numbers[1] for at in (ahead, made)] == [lib.CLIB_MOUNT_AHEAD, lib.CLIB_MOUNT_MADE]
    assert plan.clone_flags == 0


def test_container_plan_with_a_bind_root_and_private_upper() -> None:
    assert "root_bind" in names(plan_of(make_spec(), root=BindRoot("/r")))
    private = plan_of(make_spec(), root=OverlayRoot(("/",), None, None))
    (overlay,) = [op for op in private.before if op.name == "root_overlay"]
    assert overlay.numbers[0] == lib.CLIB_ROOT_PRIVATE
    assert overlay.texts == (None, None)


def test_container_plan_with_a_bound_dev_makes_no_devices_on_the_host() -> None:
    mounts = [{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}]
    order = names(plan_of(make_spec(mounts=mounts, linux={**make_spec()["linux"], "devices": []})))
    assert "mknod" not in order
    assert "symlink" not in order


UNMOUNTED = {
    "namespaces": [{"type": "pid"}],
    **{key: [] for key in ("maskedPaths", "readonlyPaths", "devices")},
    "sysctl": {},
}


def test_container_plan_without_a_mount_namespace_mounts_nothing() -> None:
    spec = make_spec(mounts=[], root={"path": "rootfs"}, linux={**make_spec()["linux"], **UNMOUNTED})
    plan = plan_of(spec, root=BindRoot("/r"))
    order = names(plan)
    assert {"mount", "bind", "propagation", "mask", "readonly", "mknod"}.isdisjoint(order)
    root, pivot = (plan.before[order.index(name)] for name in ("root_bind", "pivot"))
    assert (root.numbers, root.texts[0], pivot.numbers) == ((0, lib.CLIB_BIND_UNMOUNTED, 0), "/r", (0, 0, 2))
    exec_ = exec_plan(spec, spec["process"], V1, container_id="1", root=BindRoot("/r"))
    assert [name for name in names(exec_) if name in ("root_bind", "join", "pivot")] == [
        "root_bind",
        "join",
        "pivot",
    ]


@pytest.mark.parametrize(
    ("spec", "root", "word"),
    [
        (with_linux(**UNMOUNTED), BindRoot("/r"), "^mounts: without a mount namespace"),
        (make_spec(mounts=[], root={}, linux={**make_spec()["linux"], **UNMOUNTED}), OVERLAY, "layers need"),
    ],
)
def test_container_plan_that_would_mount_on_the_host_is_refused(
    spec: Spec, root: BindRoot | OverlayRoot, word: str
) -> None:
    with pytest.raises(Unsupported, match=word):
        plan_of(spec, root=root)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (with_process(args=[]), "process.args"),
        (with_process(rlimits=[{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]), "process.rlimits"),
        (with_linux(sysctl={"kernel.core_pattern": "|/x"}), "linux.sysctl"),
        (with_linux(sysctl={"net/../kernel.core_pattern": "|/x"}), "linux.sysctl"),
        (with_linux(sysctl={"net.core.somaxconn": "1"}, namespaces=[{"type": "mount"}]), "linux.sysctl"),
        (with_linux(rootfsPropagation="sideways"), "linux.rootfsPropagation"),
        (with_linux(devices=[{"path": "/dev/x", "type": "z"}]), "linux.devices[0].type"),
    ],
)
def test_container_plan_of_a_wrong_value_names_its_property(spec: Spec, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_of(spec)
    assert caught.value.field == field
