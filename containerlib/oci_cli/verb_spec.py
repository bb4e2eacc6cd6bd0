"""spec: a config.json to begin with, as runc writes it. Spec: runtime-spec config.md"""

from __future__ import annotations

import json
import os

from containerlib.errors import AlreadyExists, NotFound, StageError
from containerlib.runtime.containers.containers import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.oci_cli.request import Request

__all__ = ["example", "rootless", "run"]

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_UNIFIED = "/sys/fs/cgroup/cgroup.controllers"
"""There where v2 is all that there is."""


def run(request: Request) -> int:
    bundle = request.values.text("bundle") or "."
    if not os.path.isdir(bundle):
        raise NotFound(f"chdir {bundle}: no such file or directory")
    spec = example(unified=os.path.exists(_UNIFIED))
    if request.values.flag("rootless"):
        spec = rootless(spec, os.geteuid(), os.getegid())
    text = json.dumps(spec, indent="\t")
    name = request.values.text("file")
    path = os.path.join(bundle, name)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        raise AlreadyExists(f"File {name} exists. Remove it first") from error
    except OSError as error:
        raise StageError("spec", error.errno or 0, path) from error
    with open(fd, "w") as file:
        file.write(text)
    return 0


def example(*, unified: bool) -> dict[str, Any]:
    """A shell in a read-only root; `unified`: for a host with cgroup v2 alone."""
    namespaces = ["pid", "network", "ipc", "uts", "mount", *(["cgroup"] if unified else [])]
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "containerlib",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            _mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            _mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),  # noqa: S108 - inside
            _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
            _mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": [
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def _mount(destination: str, fstype: str, source: str, options: str = "") -> dict[str, Any]:
    mount: dict[str, Any] = {"destination": destination, "type": fstype, "source": source}
    return {**mount, "options": options.split(",")} if options else mount


def rootless(spec: dict[str, Any], uid: int, gid: int) -> dict[str, Any]:
    """`spec` for a user without privileges: a user namespace of that one user, the host's network, no limits."""
    linux = {name: value for name, value in spec["linux"].items() if name != "resources"}
    kinds = [n for n in linux["namespaces"] if n["type"] not in ("network", "user")]
    linux["namespaces"] = [*kinds, {"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    return {**spec, "mounts": [_mount_as_user(mount) for mount in spec["mounts"]], "linux": linux}


def _mount_as_user(mount: dict[str, Any]) -> dict[str, Any]:
    """sysfs belongs to the network namespace, which is the host's; other users than the one do not exist."""
    if mount["destination"] == "/sys":
        return _mount("/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro")
    options = [word for word in mount.get("options", ()) if not word.startswith(("uid=", "gid="))]
    return {**mount, "options": options} if options else mount
