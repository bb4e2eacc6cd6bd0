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
from containerlib.bundles.devices import devices_of
from containerlib.bundles.host import HostFacts
from containerlib.bundles.mounts import mounts_of
from containerlib.bundles.namespaces import check_sharing, namespaces_of
from containerlib.bundles.resources import resources_of
from containerlib.bundles.seccomp import resolve
from containerlib.bundles.users import ResolvedUser
from containerlib.errors import InvalidArgument
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.options import ContainerOptions
from containerlib.spec.runtime import (
    Capabilities,
    Linux,
    Mount,
    Process,
    Spec,
    User,
)

__all__ = ["default_hostname", "make_config"]

OCI_VERSION = "1.1.0"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

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
_UMASK = 0o022
"""Docker's, whatever the caller's is."""
_PING, _PORTS = "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"


def make_config(
    image: ImageConfig,
    options: ContainerOptions,
    *,
    user: ResolvedUser,
    extra_mounts: Sequence[Mount],
    cgroups_path: str,
    container_id: str,
    argv: Sequence[str] = (),
    host: HostFacts | None = None,
) -> Spec:
    """The configuration of one container; `extra_mounts` come between Docker's and those of `options`.

    `argv`, where it is given, replaces the command of both, as with docker.

    Raises: InvalidArgument (no command, mount, capability, environment, ...); Unsupported for a capability
    that this process cannot give.
    """
    host = host or HostFacts.current()
    check_sharing(options)
    capabilities = capability_set(
        options.cap_add, options.cap_drop, privileged=options.privileged, bounding=host.bounding
    )
    hostname = default_hostname(options, container_id)
    spec: Spec = {
        "ociVersion": OCI_VERSION,
        "process": _process(image, options, user, capabilities, hostname, argv=argv, shielded=host.shielded),
        "root": {"path": "rootfs", "readonly": options.read_only},
        "hostname": hostname,
        "mounts": mounts_of(options, extra_mounts, host.kernel),
        "linux": _linux(options, capabilities, cgroups_path, host),
    }
    if options.domainname is not None:
        spec["domainname"] = options.domainname
    if options.annotations:
        spec["annotations"] = dict(options.annotations)
    return spec


def default_hostname(options: ContainerOptions, container_id: str) -> str:
    """The name that was asked for, else the host's own on its network, else the id's first twelve digits."""
    if options.hostname:
        return options.hostname
    return os.uname().nodename if "host" in (options.network, options.uts) else container_id[:12]


def _process(
    image: ImageConfig,
    options: ContainerOptions,
    user: ResolvedUser,
    capabilities: Sequence[str],
    hostname: str,
    *,
    argv: Sequence[str],
    shielded: bool,
) -> Process:
    process: Process = {
        "terminal": options.tty,
        "user": _user(user, options),
        "args": _args(image, options, argv),
        "env": _env(image, options, user, hostname),
        "cwd": _cwd(image, options),
        "capabilities": _capabilities(capabilities, user),
        "noNewPrivileges": options.no_new_privileges,
    }
    if options.oom_score_adj is not None:
        process["oomScoreAdj"] = options.oom_score_adj
    elif shielded:
        process["oomScoreAdj"] = 0
    if options.apparmor is not None:
        process["apparmorProfile"] = options.apparmor
    if options.selinux is not None:
        process["selinuxLabel"] = options.selinux
    if options.rlimits:
        process["rlimits"] = [
            {"type": name, "soft": soft, "hard": hard} for name, soft, hard in options.rlimits
        ]
    return process


def _user(user: ResolvedUser, options: ContainerOptions) -> User:
    umask = _UMASK if options.umask is None else options.umask
    result: User = {"uid": user.uid, "gid": user.gid, "umask": umask}
    if user.additional_gids:
        result["additionalGids"] = list(user.additional_gids)
    return result


def _args(image: ImageConfig, options: ContainerOptions, argv: Sequence[str]) -> list[str]:
    """Docker's rule: an entrypoint that was given drops the image's command."""
    given = argv or options.command
    if options.entrypoint is not None:
        args = [*options.entrypoint, *(given or ())]
    else:
        command = given if given is not None else image.cmd
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
        "namespaces": namespaces_of(options),
        "cgroupsPath": cgroups_path,
        "resources": resources_of(options),
    }
    sysctl = _sysctl(options, host)
    if sysctl:
        linux["sysctl"] = sysctl
    if any(mount.propagation.endswith("shared") for mount in options.mounts):
        linux["rootfsPropagation"] = "shared"
    if options.mount_label is not None:
        linux["mountLabel"] = options.mount_label
    if options.personality is not None:
        linux["personality"] = {"domain": options.personality}
    if options.memory_policy is not None:
        mode, nodes, flags = options.memory_policy
        linux["memoryPolicy"] = {"mode": mode, "nodes": nodes, "flags": list(flags)}
    if devices := devices_of(options):
        linux["devices"] = devices
    if options.privileged:
        return linux
    linux["maskedPaths"] = [*_covered(_MASKED, options), *options.masked]
    linux["readonlyPaths"] = _covered(_READ_ONLY, options)
    if options.seccomp != "unconfined":
        profile = None if options.seccomp == "default" else options.seccomp
        linux["seccomp"] = resolve(profile, frozenset(capabilities), host.architecture, host.kernel)
    return linux


def _covered(paths: list[str], options: ContainerOptions) -> list[str]:
    """`paths` without those that were unmasked, and what is below them."""
    shown = options.unmasked
    if not shown:
        return paths
    if "ALL" in shown:
        return []
    return [path for path in paths if not any(path == each or path.startswith(f"{each}/") for each in shown)]


def _sysctl(options: ContainerOptions, host: HostFacts) -> dict[str, str]:
    """In a network namespace of its own every group may ping, and every user listen at every port, as in Docker."""
    own = {_PING: f"0 {host.last_group}", _PORTS: "0"} if options.network == "none" else {}
    return {**own, **dict(options.sysctls)}
