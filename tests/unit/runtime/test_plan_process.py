"""The ops of a process, each against what the kernel is to be told, and their order, which is the kernel's logic."""

from __future__ import annotations

import struct
from typing import Any, cast

import pytest

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime import BindRoot, OverlayRoot
from containerlib.runtime.plan.container import Manner, container_plan, exec_plan
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.late import Late, OtherNamespace, Part
from containerlib.runtime.plan.op import Op
from containerlib.spec.runtime import Process, Spec
from containerlib.spec.secret import Secret

V1 = Groups(join_files=("/cg/cpu/c/tasks",), directories=("/cg/cpu/c",), hierarchies={"cpu": "/cg/cpu/c"})
V2 = Groups(directories=("/cg/c",))
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")


def spec_of(process: dict[str, Any] | None = None, linux: dict[str, Any] | None = None, *more: str) -> Spec:
    kinds = ("mount", "pid", *more)
    return cast(
        Spec,
        {
            "ociVersion": "1.3.0",
            "root": {"path": "rootfs"},
            "process": {"args": ["true"], "cwd": "/", **(process or {})},
            "linux": {"namespaces": [{"type": kind} for kind in kinds], **(linux or {})},
        },
    )


def container_ops(spec: Spec, groups: Groups = V1, **words: Any) -> list[Op]:
    return list(container_plan(spec, "/r", BindRoot("/r"), groups, container_id="c", **words).before)


def exec_ops(spec: Spec, groups: Groups = V1, **words: Any) -> list[Op]:
    return list(exec_plan(spec, spec["process"], groups, container_id="c", **words).before)


def named(ops: list[Op], name: str) -> list[Op]:
    return [op for op in ops if op.name == name]


def order(ops: list[Op]) -> list[str]:
    return [op.name for op in ops]


def test_init_comes_right_before_the_program_and_in_no_exec() -> None:
    assert order(container_ops(spec_of(), manner=Manner(reaper=True)))[-2:] == ["init", "exec"]
    assert "init" not in order(container_ops(spec_of())) + order(exec_ops(spec_of()))


def test_variables_are_the_programs_alone_and_in_no_repr() -> None:
    secret = Secret("key", "", b"battery=\xff", variable="KEY")
    spec = spec_of()
    spec["process"]["env"] = ["A=1", "KEY=old"]
    made = container_ops(spec, manner=Manner(late=Late(variables=(secret,))))
    assert made[-1].strings[-2:] == ("A=1", "KEY=battery=\udcff")
    assert "battery" not in repr(made) + repr(secret)
    assert "KEY=old" in exec_ops(spec)[-1].strings


def test_namespaces_of_others_are_found_when_it_starts() -> None:
    spec = spec_of()
    spec["linux"]["namespaces"] = [{"type": "mount"}, {"type": "ipc", "path": "/c/late/ipc"}]
    late = Late({"/c/late/ipc": OtherNamespace("/containers/other", "ipc")})
    (op,) = named(container_ops(spec, manner=Manner(late=late)), "setns")
    assert (op.texts, op.numbers[0]) == (("ipc", "/containers/other"), 0x08000000)
    with pytest.raises(InvalidArgument, match="no namespace"):
        container_ops(spec, manner=Manner(late=Late({"/c/late/ipc": Part("/v", "a")})))


def test_what_is_lent_is_opened_when_the_root_is_whole_and_before_the_program() -> None:
    names = order(container_ops(spec_of(), manner=Manner(late=Late(lends="/dev/shm"))))
    assert names.index("pivot") < names.index("lend") < names.index("exec")
    assert names[names.index("lend") - 1] == "handover"
    assert "lend" not in order(container_ops(spec_of()))


def test_images_are_stacked_by_the_shim_and_mounted_to_be_read() -> None:
    made = container_ops(spec_of(), manner=Manner(images=(("/data", OverlayRoot(("/layer",), None, None)),)))
    names = order(made)
    at = names.index("root_overlay")
    assert names[at - 1 : at + 2] == ["handover", "root_overlay", "bind"]
    assert made[at + 1].texts == ("image", "/data")
    assert made[at + 1].numbers[0] == 7


# ---- scheduling ----


@pytest.mark.parametrize(
    ("scheduler", "fields"),
    [
        ({"policy": "SCHED_OTHER"}, (0, 0, 0, 0, 0, 0, 0)),
        ({"policy": "SCHED_FIFO", "priority": 99}, (1, 0, 0, 99, 0, 0, 0)),
        ({"policy": "SCHED_RR", "priority": 1}, (2, 0, 0, 1, 0, 0, 0)),
        ({"policy": "SCHED_BATCH", "nice": -20}, (3, 0, -20, 0, 0, 0, 0)),
        ({"policy": "SCHED_ISO"}, (4, 0, 0, 0, 0, 0, 0)),
        ({"policy": "SCHED_IDLE", "nice": 19}, (5, 0, 19, 0, 0, 0, 0)),
        (
            {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 2**64 - 1},
            (6, 0, 0, 0, 1, 2, 2**64 - 1),
        ),
        (
            {
                "policy": "SCHED_OTHER",
                "flags": [
                    f"SCHED_FLAG_{name}"
                    for name in (
                        "RESET_ON_FORK",
                        "RECLAIM",
                        "DL_OVERRUN",
                        "KEEP_POLICY",
                        "KEEP_PARAMS",
                        "UTIL_CLAMP_MIN",
                        "UTIL_CLAMP_MAX",
                    )
                ],
            },
            (0, 0x7F, 0, 0, 0, 0, 0),
        ),
    ],
)
def test_scheduler_is_the_kernels_structure(scheduler: dict[str, Any], fields: tuple[int, ...]) -> None:
    """policy, flags, nice, priority, runtime, deadline, period"""
    for make in (container_ops, exec_ops):
        (op,) = named(make(spec_of({"scheduler": scheduler})), "scheduler")
        assert struct.unpack("<IIQiIQQQII", op.data) == (56, *fields, 0, 0)


@pytest.mark.parametrize(
    ("class_", "number"),
    [("IOPRIO_CLASS_RT", 0x2007), ("IOPRIO_CLASS_BE", 0x4007), ("IOPRIO_CLASS_IDLE", 0x6007)],
)
def test_io_priority_is_class_and_level(class_: str, number: int) -> None:
    spec = spec_of({"ioPriority": {"class": class_, "priority": 7}})
    assert [op.numbers[0] for op in named(container_ops(spec), "io_priority")] == [number]


@pytest.mark.parametrize(
    ("policy", "mode", "bits", "mask"),
    [
        ({"mode": "MPOL_DEFAULT"}, 0, 0, b""),
        ({"mode": "MPOL_LOCAL", "nodes": " "}, 4, 0, b""),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, 1, 65, bytes([1, 0, 0, 0, 0, 0, 0, 0])),
        ({"mode": "MPOL_BIND", "nodes": "0-3, 7"}, 2, 65, bytes([0x8F, 0, 0, 0, 0, 0, 0, 0])),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "64"}, 3, 129, bytes([0] * 8 + [1] + [0] * 7)),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "1"}, 5, 65, bytes([2] + [0] * 7)),
        (
            {
                "mode": "MPOL_WEIGHTED_INTERLEAVE",
                "nodes": "0",
                "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"],
            },
            6 | 1 << 15 | 1 << 13,
            65,
            bytes([1] + [0] * 7),
        ),
        (
            {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]},
            2 | 1 << 14,
            65,
            bytes([1] + [0] * 7),
        ),
    ],
)
def test_memory_policy_is_mode_and_mask_of_the_container_and_of_an_exec(
    policy: dict[str, Any], mode: int, bits: int, mask: bytes
) -> None:
    for make in (container_ops, exec_ops):
        (op,) = named(make(spec_of(linux={"memoryPolicy": policy})), "memory_policy")
        assert (op.numbers, op.data) == ((mode, bits, 0), mask)


@pytest.mark.parametrize(
    ("process", "linux", "field"),
    [
        ({"scheduler": {"policy": "SCHED_EXT"}}, {}, "process.scheduler.policy"),
        ({"scheduler": {"policy": "SCHED_OTHER", "flags": ["X"]}}, {}, "process.scheduler.flags"),
        ({"ioPriority": {"class": "IOPRIO_CLASS_NONE", "priority": 0}}, {}, "process.ioPriority.class"),
        ({}, {"memoryPolicy": {"mode": "MPOL_NONE"}}, "linux.memoryPolicy.mode"),
        ({}, {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "3-1"}}, "linux.memoryPolicy.nodes"),
        ({}, {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "99999999"}}, "linux.memoryPolicy.nodes"),
        ({}, {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": ","}}, "linux.memoryPolicy.nodes"),
        ({}, {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "a"}}, "linux.memoryPolicy.nodes"),
        (
            {},
            {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["X"]}},
            "linux.memoryPolicy.flags",
        ),
        ({}, {"personality": {"domain": "BSD"}}, "linux.personality.domain"),
        ({"rlimits": [{"type": "RLIMIT_X", "soft": 0, "hard": 0}]}, {}, "process.rlimits"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 0, "hard": 0}] * 2}, {}, "process.rlimits"),
        ({"apparmorProfile": "a\nb"}, {}, "process.apparmorProfile"),
        ({"selinuxLabel": "a\0b"}, {}, "process.selinuxLabel"),
    ],
)
def test_value_that_the_kernel_has_not_names_its_property(
    process: dict[str, Any], linux: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        container_ops(spec_of(process, linux))
    assert caught.value.field == field


# ---- affinity ----


def affinity(**values: str) -> Spec:
    return spec_of({"execCPUAffinity": values})


def test_exec_affinity_is_before_and_after_the_cgroup() -> None:
    ops = exec_ops(affinity(initial="7", final="0-3,64"))
    assert order(ops)[:3] == ["cpu_affinity", "cgroup_join", "cpu_affinity"]
    assert (ops[0].data, ops[2].data) == (bytes([0x80] + [0] * 7), bytes([0x0F] + [0] * 7 + [1] + [0] * 7))
    assert [op.origin for op in (ops[0], ops[2])] == [
        "process.execCPUAffinity.initial 7",
        "process.execCPUAffinity.final 0-3,64",
    ]


def test_exec_affinity_without_final_has_every_cpu_of_the_group() -> None:
    ops = exec_ops(affinity(initial="7"))
    assert order(ops)[:3] == ["cpu_affinity", "cgroup_join", "cpu_affinity"]
    assert set(ops[2].data) == {0xFF}


def test_exec_affinity_on_v2_walks_into_the_group() -> None:
    ops = exec_ops(affinity(initial="0"), V2)
    assert [ops[1].name, ops[1].texts[0]] == ["cgroup_join", "/cg/c/cgroup.procs"]
    assert named(exec_ops(affinity(final="0"), V2), "cgroup_join") == []


def test_exec_affinity_is_nothing_to_the_first_process() -> None:
    assert named(container_ops(affinity(initial="0", final="0")), "cpu_affinity") == []


# ---- personality, umask, limits, groups ----


@pytest.mark.parametrize(("domain", "number"), [("LINUX", 0), ("LINUX32", 8)])
def test_personality_is_the_containers_and_an_execs(domain: str, number: int) -> None:
    for make in (container_ops, exec_ops):
        ops = named(make(spec_of(linux={"personality": {"domain": domain}})), "personality")
        assert [op.numbers[0] for op in ops] == [number]


def test_personality_flags_are_refused() -> None:
    with pytest.raises(Unsupported, match=r"linux\.personality\.flags"):
        container_ops(spec_of(linux={"personality": {"domain": "LINUX", "flags": ["X"]}}))


@pytest.mark.parametrize(
    ("user", "numbers"), [({}, (0, 1, 0)), ({"umask": 0o27}, (0o27, 0, 0)), ({"umask": 0}, (0, 0, 0))]
)
def test_umask_is_the_users_or_the_callers(user: dict[str, int], numbers: tuple[int, int, int]) -> None:
    assert [op.numbers for op in named(container_ops(spec_of({"user": user})), "umask")] == [numbers]


# ---- capabilities ----


def capability_ops(**sets: list[str]) -> tuple[int, tuple[int, int, int], int]:
    ops = container_ops(spec_of({"capabilities": {name: sets.get(name, []) for name in SETS}}))
    (bounding,), (four,) = named(ops, "cap_bounding"), named(ops, "capabilities")
    return bounding.numbers[0], four.numbers, struct.unpack("<Q", four.data)[0]


def test_capabilities_are_five_sets() -> None:
    everything = ["CAP_CHOWN", "CAP_KILL", "CAP_CHECKPOINT_RESTORE"]
    bits = 1 | 1 << 5 | 1 << 40
    assert capability_ops(**dict.fromkeys(SETS, everything)) == (bits, (bits, bits, bits), bits)


def test_capabilities_that_the_kernel_refuses_together_are_left_out() -> None:
    """It would refuse the whole set for one of them."""
    assert capability_ops(
        bounding=["CAP_CHOWN"],
        effective=["CAP_CHOWN", "CAP_KILL"],
        permitted=["CAP_CHOWN"],
        inheritable=["CAP_CHOWN", "CAP_KILL"],
        ambient=["CAP_CHOWN", "CAP_KILL"],
    ) == (1, (1, 1, 1), 1)


def test_capability_that_does_not_exist_is_left_out() -> None:
    assert capability_ops(bounding=["CAP_X", "CAP_CHOWN"]) == (1, (0, 0, 0), 0)


# ---- labels ----


def test_labels_are_written_before_what_could_refuse_them() -> None:
    process = {
        "apparmorProfile": "p",
        "selinuxLabel": "a:b:c:s0",
        "noNewPrivileges": False,
        "capabilities": {"bounding": []},
    }
    for make in (container_ops, exec_ops):
        ops = make(spec_of(process), seccomp=b"FILTERED")
        assert [op.texts for op in named(ops, "label")] == [
            ("keycreate", "a:b:c:s0"),
            ("apparmor/exec", "exec p"),
            ("exec", "a:b:c:s0"),
        ]
        names = order(ops)
        assert names.index("label") < names.index("session_keyring")
        last = len(names) - 1 - names[::-1].index("label")
        assert last < names.index("cap_bounding") < names.index("seccomp")


def test_labels_are_written_before_no_new_privileges() -> None:
    names = order(container_ops(spec_of({"apparmorProfile": "p", "noNewPrivileges": True})))
    assert names.index("label") < names.index("no_new_privs")


def test_keyring_that_is_not_wanted_needs_no_label() -> None:
    ops = container_ops(spec_of({"selinuxLabel": "l"}), manner=Manner(keyring=False))
    assert "session_keyring" not in order(ops)
    assert [op.texts[0] for op in named(ops, "label")] == ["exec"]


# ---- the order of all ----


FULL: dict[str, Any] = {
    "scheduler": {"policy": "SCHED_FIFO", "priority": 1},
    "ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1},
    "rlimits": [{"type": "RLIMIT_RTPRIO", "soft": 1, "hard": 1}],
    "capabilities": {"bounding": []},
    "apparmorProfile": "p",
}


def test_order_is_limits_placement_labels_user_capabilities_filter() -> None:
    linux = {"memoryPolicy": {"mode": "MPOL_LOCAL"}, "personality": {"domain": "LINUX"}}
    names = order(container_ops(spec_of(FULL, linux), seccomp=b"FILTERED"))
    wanted = [
        "pivot",
        "rlimit",
        "personality",
        "scheduler",
        "io_priority",
        "memory_policy",
        "label",
        "cap_bounding",
        "user",
        "capabilities",
        "seccomp",
        "exec",
    ]
    assert [name for name in names if name in wanted] == wanted


@pytest.mark.parametrize(
    ("soft", "hard", "early", "late"),
    [
        (1024, 4096, [(1024, 4096)], []),
        (128, 128, [(128, 128)], []),
        (127, 4096, [(128, 4096)], [(127, 4096)]),
        (3, 127, [], [(3, 127)]),
        (20, 10, [(20, 10)], []),  # which the kernel refuses
    ],
)
def test_limit_of_open_files_below_what_a_start_needs_is_set_last(
    soft: int, hard: int, early: list[tuple[int, int]], late: list[tuple[int, int]]
) -> None:
    limit = {"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}
    ops = container_ops(spec_of({"rlimits": [limit]}), seccomp=b"FILTERED")
    at = order(ops).index("descriptors")
    for part, expected in ((ops[:at], early), (ops[at:], late)):
        assert [op.numbers[1:] for op in named(part, "rlimit")] == expected


# ---- clocks ----


OFFSETS = {"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 2**40}}


def test_time_namespace_is_made_set_and_entered_first_of_all() -> None:
    ops = container_ops(spec_of(None, {"timeOffsets": OFFSETS}, "time"))
    assert order(ops)[:4] == ["unshare", "time_offsets", "setns", "cgroup_join"]
    assert ops[0].numbers[0] == ops[2].numbers[0] == 0x80
    assert ops[1].texts[0] == f"monotonic -5 7\nboottime {2**40} 0\n"
    assert ops[2].texts[0] == "/proc/self/ns/time_for_children"


def test_time_namespace_is_no_flag_of_clone() -> None:
    plan = container_plan(spec_of(None, {}, "time"), "/r", BindRoot("/r"), V1, container_id="c")
    assert plan.clone_flags == 0x00020000 | 0x20000000


def test_time_namespace_with_a_user_namespace_is_made_while_the_process_owns_its_files() -> None:
    mappings = [{"containerID": 0, "hostID": 1, "size": 1}]
    linux = {"timeOffsets": OFFSETS, "uidMappings": mappings, "gidMappings": mappings}
    names = order(container_ops(spec_of(None, linux, "user", "time")))
    assert names.index("time_offsets") < names.index("handover") < names.index("user")


def test_time_namespace_by_path_is_joined_and_an_exec_joins_it_too() -> None:
    spec = spec_of()
    spec["linux"]["namespaces"].append({"type": "time", "path": "/proc/1/ns/time"})
    (joined,) = named(container_ops(spec), "setns")
    assert (joined.texts[0], joined.numbers[0]) == ("/proc/1/ns/time", 0x80)
    (join,) = named(exec_ops(spec), "join")
    assert join.numbers[0] & 0x80


@pytest.mark.parametrize(
    ("offsets", "field"),
    [
        ({"realtime": {"secs": 1}}, "linux.timeOffsets.realtime"),
        ({"boottime": {"nanosecs": 1_000_000_000}}, "linux.timeOffsets.boottime.nanosecs"),
    ],
)
def test_time_offset_that_cannot_be_names_its_property(offsets: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        container_ops(spec_of(None, {"timeOffsets": offsets}, "time"))
    assert caught.value.field == field


def test_time_offsets_without_a_new_namespace_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"linux\.timeOffsets"):
        container_ops(spec_of(None, {"timeOffsets": OFFSETS}))


# ---- network devices ----


def test_net_devices_are_handed_over_when_the_network_is_there() -> None:
    devices = {"eth0": {}, "eth1": {"name": ""}, "ens3": {"name": "net%d"}}
    ops = container_ops(spec_of(None, {"netDevices": devices}, "network"))
    start = order(ops).index("handover")
    assert order(ops)[start - 2 : start + 4] == ["loopback_up", "links", "handover", "link", "link", "link"]
    assert ops[start].numbers[0] == 3
    assert [op.texts for op in named(ops, "link")] == [("eth0", "eth0"), ("eth1", "eth1"), ("ens3", "net%d")]


@pytest.mark.parametrize("name", ["sixteen-bytes-ab", "eth%", "eth%s", "%d%d", "a%d%", "a\0b"])
def test_net_device_with_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        container_ops(spec_of(None, {"netDevices": {"eth0": {"name": name}}}, "network"))
    assert caught.value.field == "linux.netDevices.eth0.name"


def test_net_devices_without_a_network_namespace_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"linux\.netDevices"):
        container_ops(spec_of(None, {"netDevices": {"eth0": {}}}))


# ---- resource control ----


def test_class_of_service_is_joined_by_the_shim_and_removed_after_the_end() -> None:
    groups = Groups(
        task_files=("/r/c/tasks", "/r/c/mon_groups/c/tasks"), classes=("/r/c/mon_groups/c", "/r/c")
    )
    for make in (container_ops, exec_ops):
        ops = make(spec_of(), groups)
        start = order(ops).index("handover")
        assert [op.texts[0] for op in ops[start + 1 : start + 3]] == list(groups.task_files)
    after = container_plan(spec_of(), "/r", BindRoot("/r"), groups, container_id="c").after
    assert [op.texts[0] for op in after if op.name == "cgroup_remove"] == list(groups.classes)


def test_process_of_a_plan_ends_with_its_exec() -> None:
    process = cast(Process, {"args": ["sh"], "cwd": "/"})
    assert exec_plan(spec_of(), process, V1, container_id="c").before[-1].name == "exec"
