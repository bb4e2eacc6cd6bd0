"""Configurations for tests of what reads a config.json: the least there is, and one with every property for Linux."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

__all__ = ["full_config", "json_schema", "small_config"]

_SCHEMA = Path(__file__).parents[1] / "data" / "runtime-spec-schema"


@cache
def json_schema(name: str) -> Validator:
    """The specification's own schema: "config-schema.json", "features-schema.json" or "state-schema.json"."""
    registry: Registry[Any] = Registry()
    for path in _SCHEMA.glob("*.json"):
        resource = Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT4)
        registry = registry.with_resource(path.name, resource)
    root = json.loads((_SCHEMA / name).read_text())
    return Draft4Validator({**root, "id": name}, registry=registry)


def small_config() -> dict[str, Any]:
    return _copy(_SMALL)


def full_config() -> dict[str, Any]:
    return _copy(_FULL)


def _copy(config: dict[str, Any]) -> dict[str, Any]:
    """Without shared parts, as a decoder makes it."""
    copied: dict[str, Any] = json.loads(json.dumps(config))
    return copied


_SMALL: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["true"]},
    "linux": {"namespaces": [{"type": "mount"}]},
}
_MAPPINGS = [
    {"containerID": 0, "hostID": 100000, "size": 1},
    {"containerID": 1, "hostID": 200000, "size": 65535},
]
_HOOK = {"path": "/bin/hook", "args": ["hook", "-v"], "env": ["A=1"], "timeout": 5}
_THROTTLE = [{"major": 8, "minor": 0, "rate": 600}]
_CAPABILITIES = ["CAP_CHOWN", "CAP_KILL"]
_PROCESS: dict[str, Any] = {
    "terminal": True,
    "consoleSize": {"height": 25, "width": 80},
    "user": {"uid": 1, "gid": 1, "umask": 63, "additionalGids": [5, 6]},
    "args": ["sh", "-c", "echo \u00fc"],
    "env": ["PATH=/bin", "EMPTY="],
    "cwd": "/root",
    "capabilities": {
        "bounding": [*_CAPABILITIES, "CAP_SYS_ADMIN"],
        "effective": _CAPABILITIES,
        "inheritable": _CAPABILITIES,
        "permitted": _CAPABILITIES,
        "ambient": ["CAP_KILL"],
    },
    "rlimits": [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
    ],
    "noNewPrivileges": True,
    "oomScoreAdj": 100,
    "apparmorProfile": "a-profile",
    "selinuxLabel": "system_u:system_r:container_t:s0",
    "scheduler": {
        "policy": "SCHED_FIFO",
        "nice": -1,
        "priority": 1,
        "flags": ["SCHED_FLAG_RESET_ON_FORK"],
        "runtime": 0,
        "deadline": 0,
        "period": 0,
    },
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    "execCPUAffinity": {"initial": "7", "final": "0-3, 7"},
}
_RESOURCES: dict[str, Any] = {
    "devices": [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
    ],
    "memory": {
        "limit": 536870912,
        "reservation": 536870912,
        "swap": 536870912,
        "kernel": -1,
        "kernelTCP": -1,
        "swappiness": 0,
        "disableOOMKiller": False,
        "useHierarchy": True,
        "checkBeforeUpdate": True,
    },
    "cpu": {
        "shares": 1024,
        "quota": 1000000,
        "burst": 1000000,
        "period": 500000,
        "realtimeRuntime": 950000,
        "realtimePeriod": 1000000,
        "cpus": "0-1",
        "mems": "0",
        "idle": 0,
    },
    "blockIO": {
        "weight": 10,
        "leafWeight": 10,
        "weightDevice": [
            {"major": 8, "minor": 0, "weight": 500, "leafWeight": 300},
            {"major": 8, "minor": 16, "weight": 500},
        ],
        "throttleReadBpsDevice": _THROTTLE,
        "throttleWriteBpsDevice": _THROTTLE,
        "throttleReadIOPSDevice": _THROTTLE,
        "throttleWriteIOPSDevice": _THROTTLE,
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}],
    "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
    "pids": {"limit": 32771},
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "rxe3": {"hcaObjects": 10000}},
    "unified": {"io.max": "259:0 rbps=2097152 wiops=120\n253:0 rbps=1", "hugetlb.1GB.max": "1073741824"},
}
_SECCOMP: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "listenerPath": "/run/agent.sock",
    "listenerMetadata": "anything",
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 38,
            "args": [{"index": 0, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}],
        },
    ],
}
_LINUX: dict[str, Any] = {
    "namespaces": [
        {"type": "mount"},
        {"type": "pid"},
        {"type": "network", "path": "/run/netns/a"},
        {"type": "uts"},
        {"type": "ipc", "path": ""},
        {"type": "user"},
        {"type": "cgroup"},
        {"type": "time"},
    ],
    "uidMappings": _MAPPINGS,
    "gidMappings": _MAPPINGS,
    "timeOffsets": {"monotonic": {"secs": -5, "nanosecs": 1}, "boottime": {"secs": 86400}},
    "devices": [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0},
        {"path": "/dev/pipe", "type": "p"},
        {"path": "/srv/disk", "type": "b", "major": 8, "minor": 0},
    ],
    "netDevices": {"dummy0": {"name": "eth1"}, "dummy1": {}, "dummy2": {"name": "port%d"}},
    "cgroupsPath": "/a/b",
    "resources": _RESOURCES,
    "intelRdt": {
        "closID": "guaranteed_group",
        "schemata": ["L3:0=7f0;1=1f", "MB:0=20;1=70"],
        "l3CacheSchema": "L3:0=7f0;1=1f",
        "memBwSchema": "MB:0=20;1=70",
        "enableMonitoring": True,
    },
    "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
    "sysctl": {"net.core.somaxconn": "256", "kernel.msgmax": "65536"},
    "seccomp": _SECCOMP,
    "rootfsPropagation": "slave",
    "maskedPaths": ["/proc/kcore"],
    "readonlyPaths": ["/proc/sys"],
    "mountLabel": "system_u:object_r:container_file_t:s0",
    "personality": {"domain": "LINUX32", "flags": []},
}
_FULL: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "process": _PROCESS,
    "hostname": "a-host",
    "domainname": "example.org",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=65536k"]},
        {"destination": "/data", "type": "none", "source": "/srv", "options": ["rbind", "rprivate", "ro"]},
        {"destination": "relative", "type": "bind", "source": "data", "options": ["bind"]},
        {
            "destination": "/mapped",
            "type": "bind",
            "source": "/srv",
            "options": ["bind"],
            "uidMappings": _MAPPINGS,
            "gidMappings": _MAPPINGS,
        },
    ],
    "hooks": {
        "prestart": [_HOOK],
        "createRuntime": [_HOOK],
        "createContainer": [_HOOK],
        "startContainer": [_HOOK],
        "poststart": [_HOOK],
        "poststop": [{"path": "/bin/hook"}],
    },
    "annotations": {"org.example.key": "value", "empty": ""},
    "linux": _LINUX,
}
