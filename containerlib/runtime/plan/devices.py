"""A container's /dev to ops. Spec: config-linux.md#devices, runtime-linux.md#dev-symbolic-links"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.plan.mount_entry import MountEntry
    from containerlib.spec.runtime import Process, Spec

__all__ = ["console_ops", "device_ops"]

_S_IFCHR, _S_IFBLK, _S_IFIFO = 0o020000, 0o060000, 0o010000
_DEVICE_TYPES = {"c": _S_IFCHR, "u": _S_IFCHR, "b": _S_IFBLK, "p": _S_IFIFO}
_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)


def device_ops(spec: Spec, entries: Sequence[MountEntry], *, bound: bool = False) -> Iterator[Op]:
    """The default devices and links, where the container has a /dev of its own among its mounts.

    `bound`: the host's devices are bound, since root of a user namespace cannot make any.

    Spec: config-linux.md#default-devices, runtime-linux.md#dev-symbolic-links
    """
    own, linux = _has_own_dev(entries), spec.get("linux", {})
    listed = {device["path"] for device in linux.get("devices", ())}
    if own:
        for name, major, minor in _DEVICES:
            if f"/dev/{name}" not in listed:
                path = f"/dev/{name}"
                yield (
                    ops.bind(path, path, f"device {path}")
                    if bound
                    else ops.mknod(path, _S_IFCHR | 0o666, major, minor)
                )
        for text, path in _LINKS:
            if path not in listed:
                yield ops.symlink(text, path)
    for index, device in enumerate(linux.get("devices", ())):
        kind = _DEVICE_TYPES.get(device.get("type", ""))
        if kind is None:
            raise InvalidArgument(
                f"{device.get('type')!r} is not c, u, b or p", field=f"linux.devices[{index}].type"
            )
        path, origin = device["path"], f"linux.devices[{index}] {device['path']}"
        if bound:
            yield ops.bind(path, path, origin)
            continue
        mode = kind | (device.get("fileMode", 0o666) & 0o7777)  # some engines put the type into it too
        numbers = (device.get("major", 0), device.get("minor", 0))
        owner = {"uid": device.get("uid", 0), "gid": device.get("gid", 0)}
        yield ops.mknod(path, mode, *numbers, **owner, origin=origin)
    yield from console_ops(spec["process"], bind=own)


def _has_own_dev(entries: Sequence[MountEntry]) -> bool:
    return any(entry.normal == "/dev" and not entry.binds for entry in entries)


def console_ops(process: Process, *, bind: bool) -> list[Op]:
    """The terminal, where `process` has one; `bind`: it is /dev/console too."""
    user = process.get("user", {})
    return (
        [ops.console(bind=bind, uid=user.get("uid", 0), gid=user.get("gid", 0))]
        if process.get("terminal")
        else []
    )
