from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.config.refusals import REFUSALS
from containerlib.runtime.config.validate import validate, validate_process, validate_resources
from rig.configs import full_config, json_schema, small_config

Path = tuple[str | int, ...]
_DELETED = object()


def changed(config: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """`config` with `value` at `path`: "mounts.0.type"; what is missing on the way is made."""
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = config
    for step in parents:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    if value is _DELETED:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return config


# ---- what is right ----


@pytest.mark.parametrize("config", [small_config(), full_config()], ids=["small", "full"])
def test_config_that_is_right_is_accepted(config: dict[str, Any]) -> None:
    assert [error.message for error in json_schema("config-schema.json").iter_errors(config)] == []
    before = copy.deepcopy(config)
    validate(config)
    assert config == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ociVersion", "1.0.0"),
        ("ociVersion", "1.9.0-rc.1+commit"),
        ("linux.rootfsPropagation", "rslave"),
        ("linux.rootfsPropagation", ""),
        ("linux.namespaces.2.path", ""),
        ("linux.seccomp.listenerMetadata", _DELETED),
        ("linux.resources.devices.0.type", "a"),
        ("linux.devices.0.fileMode", 0o4755),
        ("linux.devices.0.fileMode", 0o20666),
        ("linux.netDevices", {"eth0": {"name": "eth%d"}, "eth1": {"name": "eth%d"}}),
        ("linux.intelRdt.closID", "/"),
        ("linux.memoryPolicy", {"mode": "MPOL_PREFERRED", "nodes": ""}),
        ("linux.resources.cpu.quota", -1),
        ("linux.resources.memory", {"limit": 10, "swap": -1}),
        ("process.scheduler", {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 2}),
        ("process.scheduler", {"policy": "SCHED_IDLE"}),
        ("process.user", {}),
        ("process.unknown", {"of a later version": None}),
        ("linux.resources.unknown", 1),
        ("unknown", [1, 2]),
    ],
)
def test_value_that_is_right_is_accepted(path: str, value: object) -> None:
    validate(changed(full_config(), path, value))


# ---- what is wrong, by its path ----


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        # config.md
        ("ociVersion", _DELETED, "ociVersion"),
        ("ociVersion", "1.0", "ociVersion"),
        ("root", _DELETED, "root"),
        ("root.path", _DELETED, "root.path"),
        ("root.path", "", "root.path"),
        ("root.readonly", "yes", "root.readonly"),
        ("hostname", "h" * 65, "hostname"),
        ("domainname", "d" * 65, "domainname"),
        ("annotations.a", 1, "annotations.a"),
        ("annotations", {"": "empty"}, 'annotations[""]'),
        ("annotations", {"org.example": 1}, 'annotations["org.example"]'),
        ("mounts", {}, "mounts"),
        ("mounts.0.destination", _DELETED, "mounts[0].destination"),
        ("mounts.0.destination", "", "mounts[0].destination"),
        ("mounts.0.type", _DELETED, "mounts[0].type"),
        ("mounts.1.options.0", 5, "mounts[1].options[0]"),
        ("mounts.2.source", _DELETED, "mounts[2].source"),
        ("mounts.2.options.0", "rbind\0", "mounts[2].options[0]"),
        ("mounts.2.options.2", "size=1", "mounts[2].options"),
        ("mounts.4.gidMappings", _DELETED, "mounts[4].gidMappings"),
        ("mounts.4.uidMappings", _DELETED, "mounts[4].uidMappings"),
        ("mounts.4.uidMappings.1.hostID", 100000, "mounts[4].uidMappings[1].hostID"),
        # config.md: process
        ("process", _DELETED, "process"),
        ("process", None, "process"),
        ("process.cwd", _DELETED, "process.cwd"),
        ("process.cwd", "relative", "process.cwd"),
        ("process.cwd", "", "process.cwd"),
        ("process.args", _DELETED, "process.args"),
        ("process.args", [], "process.args"),
        ("process.args", [""], "process.args[0]"),
        ("process.args", ["a", "b\0c"], "process.args[1]"),
        ("process.args", ["a", "\ud800"], "process.args[1]"),
        ("process.env.1", "NAME", "process.env[1]"),
        ("process.env.1", "=value", "process.env[1]"),
        ("process.env.1", "A=\0", "process.env[1]"),
        ("process.terminal", 1, "process.terminal"),
        ("process.consoleSize.width", _DELETED, "process.consoleSize.width"),
        ("process.consoleSize.width", 65536, "process.consoleSize.width"),
        ("process.user.uid", -1, "process.user.uid"),
        ("process.user.uid", 2**32, "process.user.uid"),
        ("process.user.gid", True, "process.user.gid"),
        ("process.user.umask", "022", "process.user.umask"),
        ("process.user.additionalGids.1", 1.0, "process.user.additionalGids[1]"),
        ("process.capabilities.effective", "CAP_KILL", "process.capabilities.effective"),
        ("process.capabilities.ambient.0", 1, "process.capabilities.ambient[0]"),
        ("process.rlimits.1.type", "RLIMIT_NO_SUCH", "process.rlimits[1].type"),
        ("process.rlimits.1.type", "RLIMIT_NOFILE", "process.rlimits[1].type"),
        ("process.rlimits.0.soft", 5000, "process.rlimits[0].soft"),
        ("process.rlimits.0.hard", _DELETED, "process.rlimits[0].hard"),
        ("process.oomScoreAdj", 1001, "process.oomScoreAdj"),
        ("process.oomScoreAdj", -1001, "process.oomScoreAdj"),
        ("process.scheduler.policy", _DELETED, "process.scheduler.policy"),
        ("process.scheduler.policy", "SCHED_NO_SUCH", "process.scheduler.policy"),
        ("process.scheduler.policy", "SCHED_OTHER", "process.scheduler.priority"),
        ("process.scheduler.priority", 0, "process.scheduler.priority"),
        ("process.scheduler.priority", 100, "process.scheduler.priority"),
        ("process.scheduler.nice", 20, "process.scheduler.nice"),
        ("process.scheduler.flags.0", "SCHED_FLAG_NO", "process.scheduler.flags[0]"),
        ("process.scheduler.deadline", 1, "process.scheduler.deadline"),
        ("process.scheduler", {"policy": "SCHED_DEADLINE"}, "process.scheduler.runtime"),
        ("process.ioPriority.class", _DELETED, "process.ioPriority.class"),
        ("process.ioPriority.class", "IOPRIO_CLASS_NONE", "process.ioPriority.class"),
        ("process.ioPriority.priority", 8, "process.ioPriority.priority"),
        ("process.execCPUAffinity.initial", "0-", "process.execCPUAffinity.initial"),
        ("process.execCPUAffinity.final", "a", "process.execCPUAffinity.final"),
        # config.md: hooks
        ("hooks.poststop.0.path", "hook", "hooks.poststop[0].path"),
        ("hooks.prestart.0.path", _DELETED, "hooks.prestart[0].path"),
        ("hooks.createRuntime.0.timeout", 0, "hooks.createRuntime[0].timeout"),
        ("hooks.createRuntime", {}, "hooks.createRuntime"),
        # config-linux.md
        ("linux", [], "linux"),
        ("linux.namespaces.8", {"type": "pid"}, "linux.namespaces[8].type"),
        ("linux.namespaces.1.type", "net", "linux.namespaces[1].type"),
        ("linux.namespaces.1.type", _DELETED, "linux.namespaces[1].type"),
        ("linux.namespaces.2.path", "run/netns/a", "linux.namespaces[2].path"),
        ("linux.namespaces.0.path", "/proc/1/ns/mnt", "linux.namespaces"),  # beside a new user namespace
        ("linux.uidMappings.0.size", 0, "linux.uidMappings[0].size"),
        ("linux.uidMappings.0.size", 2, "linux.uidMappings[1].containerID"),
        ("linux.gidMappings.1.size", 2**32 - 1, "linux.gidMappings[1].size"),
        ("linux.gidMappings.0.hostID", _DELETED, "linux.gidMappings[0].hostID"),
        ("linux.timeOffsets.realtime", {"secs": 1}, "linux.timeOffsets.realtime"),
        ("linux.timeOffsets.monotonic.nanosecs", 10**9, "linux.timeOffsets.monotonic.nanosecs"),
        ("linux.namespaces.7.path", "/proc/1/ns/time", "linux.timeOffsets"),
        ("linux.devices.0.path", "dev/fuse", "linux.devices[0].path"),
        ("linux.devices.0.type", "d", "linux.devices[0].type"),
        ("linux.devices.0.major", _DELETED, "linux.devices[0].major"),
        ("linux.devices.0.minor", 2**20, "linux.devices[0].minor"),
        ("linux.devices.0.major", -1, "linux.devices[0].major"),
        ("linux.devices.0.fileMode", 0o10666, "linux.devices[0].fileMode"),
        ("linux.devices.0.fileMode", 0o200000, "linux.devices[0].fileMode"),
        ("linux.netDevices.a", {"name": "x" * 16}, "linux.netDevices.a.name"),
        ("linux.netDevices.a", {"name": "a/b"}, "linux.netDevices.a.name"),
        ("linux.netDevices.a", {"name": "eth1"}, "linux.netDevices.a.name"),
        ("linux.netDevices", {"a b": {}}, 'linux.netDevices["a b"]'),
        ("linux.cgroupsPath", "/a/../../b", "linux.cgroupsPath"),
        ("linux.intelRdt.closID", "..", "linux.intelRdt.closID"),
        ("linux.intelRdt.closID", "a/b", "linux.intelRdt.closID"),
        ("linux.intelRdt.memBwSchema", "L3:0=1", "linux.intelRdt.memBwSchema"),
        ("linux.intelRdt.memBwSchema", "MB:0=1\nL3:0=1", "linux.intelRdt.memBwSchema"),
        ("linux.intelRdt.schemata", "L3:0=1", "linux.intelRdt.schemata"),
        ("linux.memoryPolicy.mode", _DELETED, "linux.memoryPolicy.mode"),
        ("linux.memoryPolicy.mode", "MPOL_NO", "linux.memoryPolicy.mode"),
        ("linux.memoryPolicy.mode", "MPOL_LOCAL", "linux.memoryPolicy.nodes"),
        ("linux.memoryPolicy.nodes", "", "linux.memoryPolicy.nodes"),
        ("linux.memoryPolicy.flags.1", "MPOL_F_RELATIVE_NODES", "linux.memoryPolicy.flags"),
        ("linux.memoryPolicy.flags.1", "MPOL_F_NO", "linux.memoryPolicy.flags[1]"),
        ("linux.sysctl", {"kernel.hostname": "a"}, 'linux.sysctl["kernel.hostname"]'),
        ("linux.sysctl", {"vm.swappiness": "1"}, 'linux.sysctl["vm.swappiness"]'),
        ("linux.sysctl", {"net.core.somaxconn": 256}, 'linux.sysctl["net.core.somaxconn"]'),
        ("linux.rootfsPropagation", "none", "linux.rootfsPropagation"),
        ("linux.maskedPaths.0", "proc/kcore", "linux.maskedPaths[0]"),
        ("linux.readonlyPaths.0", "proc/sys", "linux.readonlyPaths[0]"),
        ("linux.personality.domain", _DELETED, "linux.personality.domain"),
        ("linux.personality.domain", "BSD", "linux.personality.domain"),
        # config-linux.md: seccomp
        ("linux.seccomp.defaultAction", _DELETED, "linux.seccomp.defaultAction"),
        ("linux.seccomp.defaultAction", "SCMP_ACT_ALLOW", "linux.seccomp.defaultErrnoRet"),
        ("linux.seccomp.defaultAction", "SCMP_ACT_NO", "linux.seccomp.defaultAction"),
        ("linux.seccomp.architectures.0", "x86", "linux.seccomp.architectures[0]"),
        ("linux.seccomp.flags.0", "SECCOMP_FILTER_FLAG_NO", "linux.seccomp.flags[0]"),
        ("linux.seccomp.listenerPath", "agent.sock", "linux.seccomp.listenerPath"),
        ("linux.seccomp.listenerPath", _DELETED, "linux.seccomp.listenerMetadata"),
        ("linux.seccomp.syscalls.0.names", [], "linux.seccomp.syscalls[0].names"),
        ("linux.seccomp.syscalls.0.action", "SCMP_ACT_NO", "linux.seccomp.syscalls[0].action"),
        ("linux.seccomp.syscalls.0.errnoRet", 1, "linux.seccomp.syscalls[0].errnoRet"),
        ("linux.seccomp.syscalls.2.args.0.op", "SCMP_CMP_NO", "linux.seccomp.syscalls[2].args[0].op"),
        ("linux.seccomp.syscalls.2.args.0.index", 6, "linux.seccomp.syscalls[2].args[0].index"),
        ("linux.seccomp.syscalls.2.args.0.value", _DELETED, "linux.seccomp.syscalls[2].args[0].value"),
        # config-linux.md: resources
        ("linux.resources.devices.0.allow", _DELETED, "linux.resources.devices[0].allow"),
        ("linux.resources.devices.1.type", "p", "linux.resources.devices[1].type"),
        ("linux.resources.devices.1.access", "rx", "linux.resources.devices[1].access"),
        ("linux.resources.memory.limit", -2, "linux.resources.memory.limit"),
        ("linux.resources.memory.limit", 2**63, "linux.resources.memory.limit"),
        ("linux.resources.memory.swap", 1, "linux.resources.memory.swap"),
        ("linux.resources.memory.swappiness", 101, "linux.resources.memory.swappiness"),
        ("linux.resources.cpu.burst", 1000001, "linux.resources.cpu.burst"),
        ("linux.resources.cpu.idle", 2, "linux.resources.cpu.idle"),
        ("linux.resources.cpu.cpus", "0;1", "linux.resources.cpu.cpus"),
        ("linux.resources.cpu.shares", -1, "linux.resources.cpu.shares"),
        ("linux.resources.pids", {}, "linux.resources.pids.limit"),
        ("linux.resources.blockIO.weight", 65536, "linux.resources.blockIO.weight"),
        (
            "linux.resources.blockIO.weightDevice.0",
            {"major": 1, "minor": 1},
            "linux.resources.blockIO.weightDevice[0]",
        ),
        (
            "linux.resources.blockIO.throttleReadBpsDevice",
            [{"major": 1, "minor": 1}],
            "linux.resources.blockIO.throttleReadBpsDevice[0].rate",
        ),
        (
            "linux.resources.hugepageLimits.0.pageSize",
            "2M",
            "linux.resources.hugepageLimits[0].pageSize",
        ),
        (
            "linux.resources.network.priorities.0.name",
            "",
            "linux.resources.network.priorities[0].name",
        ),
        ("linux.resources.rdma.mlx5_1", {}, "linux.resources.rdma.mlx5_1"),
        ("linux.resources.unified", {"../io.max": "1"}, 'linux.resources.unified["../io.max"]'),
        ("linux.resources.unified", {"io": "1"}, "linux.resources.unified.io"),
        ("linux.resources.cpu.cpus", "0-\u0663", "linux.resources.cpu.cpus"),  # a digit, and none of ASCII's
    ],
)
def test_value_that_is_wrong_is_named_by_its_path(path: str, value: object, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate(changed(full_config(), path, value))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("namespace", "left", "field"),
    [
        ("uts", "hostname", "hostname"),
        ("user", "uidMappings", "linux.uidMappings"),
        ("network", "netDevices", "linux.netDevices"),
        ("time", "timeOffsets", "linux.timeOffsets"),
        ("ipc", "sysctl", 'linux.sysctl["kernel.msgmax"]'),
    ],
)
def test_property_of_a_namespace_that_is_not_asked_for_is_wrong(
    namespace: str, left: str, field: str
) -> None:
    config = small_config()
    full = full_config()
    if left in full:
        config[left] = full[left]
    else:
        config["linux"][left] = full["linux"][left]
    others = [kind for kind in full["linux"]["namespaces"] if kind["type"] != namespace]
    config["linux"]["namespaces"] = others
    with pytest.raises(InvalidArgument) as caught:
        validate(config)
    assert caught.value.field == field
    config["linux"]["namespaces"] = [*others, {"type": namespace}]
    validate(config)


def test_id_mapped_mount_without_a_mapping_anywhere_is_wrong() -> None:
    """Spec: runtime-spec config.md#linux-mount-options: idmap without mappings and without a user namespace."""
    config = small_config()
    config["mounts"] = [{"destination": "/a", "source": "/b", "options": ["bind", "idmap"]}]
    with pytest.raises((InvalidArgument, Unsupported), match=r"mounts\[0\].options"):
        validate(config)


def test_notify_without_a_listener_is_wrong() -> None:
    config = small_config()
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}],
    }
    with pytest.raises(InvalidArgument) as caught:
        validate(config)
    assert caught.value.field == "linux.seccomp.listenerPath"


@pytest.mark.parametrize("document", [None, [], "config", 1, {}], ids=repr)
def test_document_that_is_no_config_is_wrong(document: object) -> None:
    with pytest.raises(InvalidArgument):
        validate(document)


# ---- what is refused ----

_REFUSED: dict[str, tuple[str, object]] = {
    "vm": ("vm", {"kernel": {"path": "/boot/vmlinuz"}}),
    "windows": ("windows", {"layerFolders": ["C:\\a"]}),
    "solaris": ("solaris", {}),
    "zos": ("zos", {}),
    "freebsd": ("freebsd", {}),
    "process.commandLine": ("process.commandLine", "cmd /c dir"),
    "process.user.username": ("process.user.username", "ContainerAdministrator"),
    "linux.personality.flags": ("linux.personality.flags", ["ADDR_NO_RANDOMIZE"]),
}


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_property_that_is_refused_is_named_with_the_reason(name: str) -> None:
    path, value = _REFUSED[name]
    with pytest.raises(Unsupported, match=f"^{re.escape(path)}: {re.escape(REFUSALS[name])}"):
        validate(changed(full_config(), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mounts", [{"destination": "/tmp", "type": "tmpfs"}]),
        ("root.readonly", True),
        ("linux.maskedPaths", ["/proc/keys"]),
        ("linux.readonlyPaths", ["/proc/sys"]),
        ("linux.rootfsPropagation", "rslave"),
    ],
)
def test_mount_without_a_mount_namespace_is_refused_by_its_path(path: str, value: object) -> None:
    config = changed(small_config(), "linux.namespaces", [{"type": "pid"}])
    validate(config)
    with pytest.raises(Unsupported, match=f"^{re.escape(path)}: without a mount namespace"):
        validate(changed(config, path, value))


def test_devices_that_would_be_bound_without_a_mount_namespace_are_refused() -> None:
    config = changed(small_config(), "linux.devices", [{"path": "/dev/p", "type": "p"}])
    validate(changed(config, "linux.namespaces", [{"type": "pid"}]))
    with pytest.raises(Unsupported, match=r"^linux\.devices: without a mount namespace"):
        validate(changed(config, "linux.namespaces", [{"type": "user"}]))


def test_version_of_another_major_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"ociVersion: 2\.0\.0"):
        validate(changed(small_config(), "ociVersion", "2.0.0"))


# ---- what is passed over ----


def test_capability_that_does_not_exist_is_a_warning() -> None:
    """Spec: runtime-spec config.md#linux-process: logged, and no failure."""
    config = changed(full_config(), "process.capabilities.effective.0", "CAP_OF_TOMORROW")
    assert [line for line in validate(config) if "CAP_OF_TOMORROW" in line]
    assert [line for line in validate_process(config["process"]) if "CAP_OF_TOMORROW" in line]


def test_set_of_capabilities_that_the_specification_does_not_know_is_passed_over() -> None:
    config = changed(small_config(), "process.capabilities", {"more": [["CAP_CHOWN"]]})
    assert validate(config) == ()


def test_relative_destination_is_a_warning() -> None:
    assert [line for line in validate(full_config()) if line.startswith("mounts[3].destination: relative")]


# ---- parts on their own ----


def test_process_of_an_exec_is_checked_alike() -> None:
    validate_process(full_config()["process"])
    with pytest.raises(InvalidArgument) as caught:
        validate_process(changed(full_config(), "process.rlimits.0.soft", 5000)["process"])
    assert caught.value.field == "process.rlimits[0].soft"


def test_resources_of_an_update_are_checked_alike() -> None:
    resources = full_config()["linux"]["resources"]
    validate_resources(resources)
    with pytest.raises(InvalidArgument) as caught:
        validate_resources({**resources, "memory": {"limit": 2, "swap": 1}})
    assert caught.value.field == "resources.memory.swap"
