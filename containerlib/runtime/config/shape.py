"""The shape of a config.json: which type, range and words each property has.

What properties mean together is in rules.py.

Stricter than the JSON schema where the specification's text is (a `cwd` is absolute, a throttle has a `rate`) and
where the kernel could take a value only in part (a NUL in a path). More lenient in one place: `fileMode` may have more
than the permissions, as the text allows and podman has it.

Spec: runtime-spec config.md, config-linux.md; schema/config-schema.json, schema/config-linux.json
"""

from __future__ import annotations

from containerlib.runtime.config.shapes import (
    INT64,
    UINT16,
    UINT32,
    UINT64,
    Check,
    Wrong,
    absolute,
    array,
    boolean,
    integer,
    matching,
    record,
    shown,
    table,
    text,
    texts,
    word,
    words,
)
from containerlib.spec import vocabulary

__all__ = ["CONFIG", "INTEL_RDT", "PROCESS", "RESOURCES"]

_CPU_LIST = matching(r"\s*|\s*\d+(-\d+)?(\s*,\s*\d+(-\d+)?)*\s*", 'a list such as "0-3,7"')
_ANY_OBJECT = record({})


def _not_empty(value: object) -> None:
    text(value)
    if not value:
        raise Wrong("must not be empty")


def _optional_path(value: object) -> None:
    """An absolute path, or "": Go's bindings write what is not set that way."""
    if value != "":
        absolute(value)


def _variable(value: object) -> None:
    text(value)
    if not isinstance(value, str) or value.find("=") < 1:
        raise Wrong(f'{shown(value)} is not of the form "NAME=value"')


_variables_one_by_one = array(_variable)


def _environment(value: object) -> None:
    texts(value)
    if not all(variable.find("=") > 0 for variable in value):  # type: ignore[attr-defined]
        _variables_one_by_one(value)


def _command(value: object) -> None:
    texts(value)
    if not value:
        raise Wrong("must have at least one entry: the program to run")


_MAPPINGS = array(
    record(
        {"containerID": UINT32, "hostID": UINT32, "size": integer(1, 2**32 - 1)},
        required=("containerID", "hostID", "size"),
    )
)

# ---- process: config.md#process ----

_CAPABILITIES = record(dict.fromkeys(vocabulary.CAPABILITY_SETS, texts))
_RLIMIT = record(
    {"type": word(vocabulary.RLIMITS, "a resource limit"), "soft": UINT64, "hard": UINT64},
    required=("type", "soft", "hard"),
)
_USER = record(
    {
        "uid": UINT32,
        "gid": UINT32,
        "umask": UINT32,
        "additionalGids": array(UINT32),
        "username": text,
    }
)
_SCHEDULER = record(
    {
        "policy": word(vocabulary.SCHEDULER_POLICIES, "a scheduling policy"),
        "nice": integer(-20, 19),
        "priority": integer(0, 99),
        "flags": words(vocabulary.SCHEDULER_FLAGS, "a scheduling flag"),
        "runtime": UINT64,
        "deadline": UINT64,
        "period": UINT64,
    },
    required=("policy",),
)
_IO_PRIORITY = record(
    {"class": word(vocabulary.IO_CLASSES, "an I/O scheduling class"), "priority": integer(0, 7)},
    required=("class",),
)
PROCESS = record(
    {
        "terminal": boolean,
        "consoleSize": record({"height": UINT64, "width": UINT64}, required=("height", "width")),
        "user": _USER,
        "args": _command,
        "commandLine": text,
        "env": _environment,
        "cwd": absolute,
        "capabilities": _CAPABILITIES,
        "rlimits": array(_RLIMIT),
        "noNewPrivileges": boolean,
        "oomScoreAdj": integer(-1000, 1000),
        "apparmorProfile": text,
        "selinuxLabel": text,
        "scheduler": _SCHEDULER,
        "ioPriority": _IO_PRIORITY,
        "execCPUAffinity": record({"initial": _CPU_LIST, "final": _CPU_LIST}),
    },
    required=("cwd", "args"),
)
"""Of config.json, and of the file that `exec --process` reads."""

# ---- linux.resources: config-linux.md#control-groups ----

_BYTES = integer(-1, 2**63 - 1)  # -1 is no limit
_DEVICE_NUMBERS: dict[str, Check] = {"major": INT64, "minor": INT64}
_THROTTLE = array(record({**_DEVICE_NUMBERS, "rate": UINT64}, required=("major", "minor", "rate")))
_WEIGHTS: dict[str, Check] = {"weight": UINT16, "leafWeight": UINT16}


def _weight_device(value: object) -> None:
    _weight_device_shape(value)
    if not isinstance(value, dict) or not value.keys() & _WEIGHTS.keys():
        raise Wrong("needs a weight or a leafWeight")


_weight_device_shape = record({**_DEVICE_NUMBERS, **_WEIGHTS}, required=("major", "minor"))


def _rdma(value: object) -> None:
    _rdma_shape(value)
    if not isinstance(value, dict) or not value.keys() & {"hcaHandles", "hcaObjects"}:
        raise Wrong("needs hcaHandles or hcaObjects")


_rdma_shape = record({"hcaHandles": UINT32, "hcaObjects": UINT32})

_DEVICE_RULE = record(
    {
        "allow": boolean,
        "type": word(vocabulary.DEVICE_RULE_TYPES | {""}, "a type of device"),
        "major": INT64,
        "minor": INT64,
        "access": matching("[rwm]*", "an access: letters of rwm"),
    },
    required=("allow",),
)
_MEMORY = record(
    {
        **dict.fromkeys(("limit", "reservation", "swap", "kernel", "kernelTCP"), _BYTES),
        "swappiness": integer(0, 100),
        **dict.fromkeys(("disableOOMKiller", "useHierarchy", "checkBeforeUpdate"), boolean),
    }
)
_CPU = record(
    {
        **dict.fromkeys(("shares", "burst", "period", "realtimePeriod"), UINT64),
        **dict.fromkeys(("quota", "realtimeRuntime"), INT64),
        **dict.fromkeys(("cpus", "mems"), _CPU_LIST),
        "idle": integer(0, 1),
    }
)
_BLOCK_IO = record(
    {
        **_WEIGHTS,
        "weightDevice": array(_weight_device),
        "throttleReadBpsDevice": _THROTTLE,
        "throttleWriteBpsDevice": _THROTTLE,
        "throttleReadIOPSDevice": _THROTTLE,
        "throttleWriteIOPSDevice": _THROTTLE,
    }
)
_HUGEPAGE_LIMIT = record(
    {"pageSize": matching("[1-9][0-9]*[KMG]B", 'a page size such as "2MB"'), "limit": UINT64},
    required=("pageSize", "limit"),
)
_NETWORK = record(
    {
        "classID": UINT32,
        "priorities": array(record({"name": _not_empty, "priority": UINT32}, required=("name", "priority"))),
    }
)
_CGROUP_FILE = matching(r"[^/.]+\.[^/]+", "a file of cgroup v2 such as io.max")
RESOURCES = record(
    {
        "devices": array(_DEVICE_RULE),
        "memory": _MEMORY,
        "cpu": _CPU,
        "blockIO": _BLOCK_IO,
        "hugepageLimits": array(_HUGEPAGE_LIMIT),
        "network": _NETWORK,
        "pids": record({"limit": INT64}, required=("limit",)),
        "rdma": table(_rdma, _not_empty),
        "unified": table(text, _CGROUP_FILE),
    }
)
"""Of config.json, and of the file that `update --resources` reads."""

# ---- linux: config-linux.md ----

_ACTION = word(vocabulary.SECCOMP_ACTIONS, "a seccomp action")
_ERRNO = integer(0, 2**16 - 1)  # SECCOMP_RET_DATA
_SYSCALL_ARGUMENT = record(
    {
        "index": integer(0, 5),
        "value": UINT64,
        "valueTwo": UINT64,
        "op": word(vocabulary.SECCOMP_OPERATORS, "an operator"),
    },
    required=("index", "value", "op"),
)


def _syscall_names(value: object) -> None:
    texts(value)
    if not value:
        raise Wrong("must have at least one entry")


_SYSCALL = record(
    {"names": _syscall_names, "action": _ACTION, "errnoRet": _ERRNO, "args": array(_SYSCALL_ARGUMENT)},
    required=("names", "action"),
)
_SECCOMP = record(
    {
        "defaultAction": _ACTION,
        "defaultErrnoRet": _ERRNO,
        "architectures": words(vocabulary.SECCOMP_ARCHITECTURES, "an architecture"),
        "flags": words(vocabulary.SECCOMP_FLAGS, "a flag of seccomp(2)"),
        "listenerPath": _optional_path,
        "listenerMetadata": text,
        "syscalls": array(_SYSCALL),
    },
    required=("defaultAction",),
)


def interface_name(value: object) -> None:
    """A network device's name. Spec: dev_valid_name() of the kernel, as ip-link(8) has it."""
    text(value)
    name = str(value)
    if not 0 < len(name.encode(errors="surrogateescape")) < 16:  # IFNAMSIZ with its NUL
        raise Wrong(f"{shown(value)} is not the name of a network device: 1 to 15 bytes")
    if name in (".", "..") or any(c in "/:" or c.isspace() for c in name):
        raise Wrong(f"{shown(value)} is not the name of a network device: without '/', ':' and spaces")


_NAMESPACE = record(
    {"type": word(vocabulary.NAMESPACES, "a type of namespace"), "path": _optional_path}, required=("type",)
)
_DEVICE = record(
    {
        "path": absolute,
        "type": word(vocabulary.DEVICE_TYPES, "a type of device"),
        "major": INT64,
        "minor": INT64,
        "fileMode": integer(0, 0o177777),  # podman gives the bits of the type too
        "uid": UINT32,
        "gid": UINT32,
    },
    required=("path", "type"),
)
INTEL_RDT = record(
    {
        "closID": text,
        "schemata": texts,
        "l3CacheSchema": text,
        "memBwSchema": matching(r"|MB:[^\n]*", 'one line that starts with "MB:"'),
        "enableMonitoring": boolean,
    }
)
"""Of config.json, and what `update` takes of it."""
_MEMORY_POLICY = record(
    {
        "mode": word(vocabulary.MEMORY_POLICY_MODES, "a memory policy"),
        "nodes": _CPU_LIST,
        "flags": words(vocabulary.MEMORY_POLICY_FLAGS, "a flag of a memory policy"),
    },
    required=("mode",),
)
_TIME_OFFSET = record({"secs": INT64, "nanosecs": integer(0, 999_999_999)})
_TIME_OFFSETS = table(_TIME_OFFSET, word(vocabulary.CLOCKS, "a clock of a time namespace"))


def _time_offsets(value: object) -> None:
    """Engines in Go write null for none."""
    if value is not None:
        _TIME_OFFSETS(value)


_PROPAGATION = word(
    vocabulary.PROPAGATIONS | {f"r{name}" for name in vocabulary.PROPAGATIONS} | {""}, "a propagation"
)
_LINUX = record(
    {
        "namespaces": array(_NAMESPACE),
        "uidMappings": _MAPPINGS,
        "gidMappings": _MAPPINGS,
        "timeOffsets": _time_offsets,
        "devices": array(_DEVICE),
        "netDevices": table(record({"name": text}), interface_name),
        "cgroupsPath": text,
        "resources": RESOURCES,
        "intelRdt": INTEL_RDT,
        "memoryPolicy": _MEMORY_POLICY,
        "sysctl": table(text),
        "seccomp": _SECCOMP,
        "rootfsPropagation": _PROPAGATION,
        "maskedPaths": array(absolute),
        "readonlyPaths": array(absolute),
        "mountLabel": text,
        "personality": record(
            {"domain": word(vocabulary.PERSONALITIES, "an execution domain"), "flags": texts},
            required=("domain",),
        ),
    }
)

# ---- the whole: config.md ----

_MOUNT = record(
    {
        "destination": _not_empty,
        "type": text,
        "source": text,
        "options": texts,
        "uidMappings": _MAPPINGS,
        "gidMappings": _MAPPINGS,
    },
    required=("destination",),
)
_HOOK = record(
    {"path": absolute, "args": texts, "env": texts, "timeout": integer(1, (2**63 - 1) // 1000)},
    required=("path",),
)
_VERSION = matching(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", "a semantic version"
)
CONFIG = record(
    {
        "ociVersion": _VERSION,
        "root": record({"path": _not_empty, "readonly": boolean}, required=("path",)),
        "process": PROCESS,
        "hostname": text,
        "domainname": text,
        "mounts": array(_MOUNT),
        "hooks": record(dict.fromkeys(vocabulary.HOOKS, array(_HOOK))),
        "annotations": table(text, _not_empty),
        "linux": _LINUX,
        **dict.fromkeys(vocabulary.OTHER_PLATFORMS, _ANY_OBJECT),
    },
    required=("ociVersion", "root", "process"),
)
