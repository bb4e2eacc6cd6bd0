"""An image's config and a recipe's options to a runtime-spec configuration with Docker's defaults.

    spec = make_config(image, options, user=resolve_user(...), extra_mounts=[...],
                       cgroups_path="/containerlib/<id>", container_id=id)

The result shares constant parts with other results: it is to be read and written, not changed in place.

Spec: runtime-spec config.md, config-linux.md
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from containerlib.bundles.capabilities import capability_set
from containerlib.bundles.host import HostFacts, host_devices
from containerlib.bundles.mounts import mounts_of
from containerlib.bundles.seccomp import resolve
from containerlib.bundles.users import ResolvedUser
from containerlib.errors import InvalidArgument
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.options import ContainerOptions, Limits
from containerlib.spec.runtime import (
    Capabilities,
    Device,
    DeviceRule,
    Linux,
    Mount,
    Namespace,
    Process,
    Resources,
    Spec,
    User,
)

__all__ = ["CPU_PERIOD", "default_hostname", "limit_resources", "make_config"]

OCI_VERSION = "1.1.0"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CPU_PERIOD = 100_000
"""Microseconds; Docker's and the kernel's default."""

_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_NAMESPACES: list[Namespace] = [{"type": kind} for kind in ("pid", "mount", "uts", "ipc", "cgroup")]
_NETWORK: Namespace = {"type": "network"}
_UMASK = 0o022
"""Docker's, whatever the caller's is."""
# a network namespace of its own lets any user ping and bind low ports, as in Docker
_NETWORK_SYSCTLS = {"net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0"}


def _device_rule(kind: str, major: int | None, minor: int | None, access: str = "rwm") -> DeviceRule:
    rule: DeviceRule = {"allow": True, "type": kind}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return {**rule, "access": access}


# every node may be made, the harmless ones be used
_DEVICES: list[DeviceRule] = [
    {"allow": False, "access": "rwm"},
    _device_rule("c", None, None, "m"),
    _device_rule("b", None, None, "m"),
    _device_rule("c", 1, 3),  # null
    _device_rule("c", 1, 5),  # zero
    _device_rule("c", 1, 7),  # full
    _device_rule("c", 1, 8),  # random
    _device_rule("c", 1, 9),  # urandom
    _device_rule("c", 5, 0),  # tty
    _device_rule("c", 5, 1),  # console
    _device_rule("c", 5, 2),  # ptmx
    _device_rule("c", 136, None),  # pts/*
]
_ALL_DEVICES: list[DeviceRule] = [{"allow": True, "access": "rwm"}]


def make_config(
    image: ImageConfig,
    options: ContainerOptions,
    *,
    user: ResolvedUser,
    extra_mounts: Sequence[Mount],
    cgroups_path: str,
    container_id: str,
    host: HostFacts | None = None,
) -> Spec:
    """The configuration of one container; `extra_mounts` come between Docker's and those of `options`.

    Raises: InvalidArgument (no command, mount, capability, environment, ...); Unsupported for a capability
    that this process cannot give.
    """
    host = host or HostFacts.current()
    capabilities = capability_set(
        options.cap_add, options.cap_drop, privileged=options.privileged, bounding=host.bounding
    )
    hostname = default_hostname(options, container_id)
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(image, options, user, capabilities, hostname, shielded=host.shielded),
        "root": {"path": "rootfs", "readonly": options.read_only},
        "hostname": hostname,
        "mounts": mounts_of(options, extra_mounts, host.kernel),
        "linux": _linux(options, capabilities, cgroups_path, host),
    }


def default_hostname(options: ContainerOptions, container_id: str) -> str:
    """The name that was asked for, else the host's own on its network, else the id's first twelve digits."""
    if options.hostname:
        return options.hostname
    return os.uname().nodename if options.network == "host" else container_id[:12]


def _process(
    image: ImageConfig,
    options: ContainerOptions,
    user: ResolvedUser,
    capabilities: Sequence[str],
    hostname: str,
    *,
    shielded: bool,
) -> Process:
    process: Process = {
        "terminal": options.tty,
        "user": _user(user),
        "args": _args(image, options),
        "env": _env(image, options, user, hostname),
        "cwd": _cwd(image, options),
        "capabilities": _capabilities(capabilities, user),
        "noNewPrivileges": options.no_new_privileges,
    }
    if shielded:
        process["oomScoreAdj"] = 0
    if options.rlimits:
        process["rlimits"] = [
            {"type": name, "soft": soft, "hard": hard} for name, soft, hard in options.rlimits
        ]
    return process


def _user(user: ResolvedUser) -> User:
    result: User = {"uid": user.uid, "gid": user.gid, "umask": _UMASK}
    if user.additional_gids:
        result["additionalGids"] = list(user.additional_gids)
    return result


def _args(image: ImageConfig, options: ContainerOptions) -> list[str]:
    """Docker's rule: an entrypoint that was given drops the image's command."""
    if options.entrypoint is not None:
        args = [*options.entrypoint, *(options.command or ())]
    else:
        command = options.command if options.command is not None else image.cmd
        args = [*(image.entrypoint or ()), *(command or ())]
    if not args:
        raise InvalidArgument(
            "there is no command: the image has neither Entrypoint nor Cmd, so give one", field="command"
        )
    if any("\0" in arg for arg in args):
        raise InvalidArgument("an argument with a NUL byte", field="command")
    return args


def _env(image: ImageConfig, options: ContainerOptions, user: ResolvedUser, hostname: str) -> list[str]:
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if options.tty:
        env["TERM"] = "xterm"
    for item in image.env:
        name, _, value = item.partition("=")
        env[name] = value
    for name, value in options.env:
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise InvalidArgument(f"{name!r} is not the name of a variable", field="env")
        env[name] = value
    env.setdefault("HOME", user.home)
    return [f"{name}={value}" for name, value in env.items()]


def _cwd(image: ImageConfig, options: ContainerOptions) -> str:
    cwd = options.workdir or image.working_dir or "/"
    if not cwd.startswith("/"):
        raise InvalidArgument(f"{cwd!r}: the working directory is an absolute path", field="workdir")
    return cwd


def _capabilities(names: Sequence[str], user: ResolvedUser) -> Capabilities:
    """Never inheritable. Other users than root start with none, as after execve(2)."""
    if user.uid != 0:
        return {"bounding": list(names)}
    return {"bounding": list(names), "effective": list(names), "permitted": list(names)}


def _linux(
    options: ContainerOptions, capabilities: Sequence[str], cgroups_path: str, host: HostFacts
) -> Linux:
    linux: Linux = {
        "namespaces": _NAMESPACES if options.network == "host" else [*_NAMESPACES, _NETWORK],
        "cgroupsPath": cgroups_path,
        "resources": _resources(options),
    }
    sysctl = _sysctl(options)
    if sysctl:
        linux["sysctl"] = sysctl
    if options.privileged:
        linux["devices"] = _host_devices()
        return linux
    linux["maskedPaths"] = _MASKED
    linux["readonlyPaths"] = _READ_ONLY
    if options.seccomp != "unconfined":
        profile = None if options.seccomp == "default" else options.seccomp
        linux["seccomp"] = resolve(profile, frozenset(capabilities), host.architecture, host.kernel)
    return linux


def _host_devices() -> list[Device]:
    return host_devices("/dev")


def _sysctl(options: ContainerOptions) -> dict[str, str]:
    own = {} if options.network == "host" else _NETWORK_SYSCTLS
    return {**own, **dict(options.sysctls)} if options.sysctls else own


def _resources(options: ContainerOptions) -> Resources:
    devices = _ALL_DEVICES if options.privileged else _DEVICES
    limits = options.limits
    return {"devices": devices, **limit_resources(limits)} if limits != _NO_LIMITS else {"devices": devices}


_NO_LIMITS = Limits()


def limit_resources(limits: Limits) -> Resources:
    """The runtime-spec's `swap` includes memory; without a word Docker allows as much swap as memory."""
    resources: Resources = {}
    if limits.memory_bytes is not None:
        swap = limits.memory_bytes if limits.swap_bytes is None else limits.swap_bytes
        resources["memory"] = {"limit": limits.memory_bytes, "swap": limits.memory_bytes + swap}
    elif limits.swap_bytes is not None:
        raise InvalidArgument("a limit on swap needs one on memory", field="limits")
    if limits.cpus is not None:
        if not limits.cpus > 0:
            raise InvalidArgument(f"{limits.cpus} is not a number of CPUs", field="limits")
        resources["cpu"] = {"quota": max(1000, round(limits.cpus * CPU_PERIOD)), "period": CPU_PERIOD}
    if limits.pids is not None:
        resources["pids"] = {"limit": limits.pids}
    return resources
