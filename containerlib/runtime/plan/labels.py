"""Labels of the Linux security modules: what the process runs as, and what its files are marked with.

    require_labels(process, linux)      # Unsupported where the module is not there: a label is never dropped in silence
    label_ops(process)                  # the program, when it is executed

A module that is off accepts no label, and a container that was to be confined must not run without.

Spec: runtime-spec config.md#linux-process (apparmorProfile, selinuxLabel), config-linux.md#mount-label
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Linux, Process

__all__ = ["keyring_label_ops", "label_ops", "labelled_mounts", "require_labels"]

_UNLABELLED = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""File systems whose files the policy itself labels; they take no context= option."""


def label_ops(process: Process) -> Iterator[Op]:
    """What the next exec of this process makes of it."""
    profile = process.get("apparmorProfile")
    if profile:
        _check(profile, "process.apparmorProfile")
        yield ops.label("apparmor/exec", f"exec {profile}", f"process.apparmorProfile {profile}")
    label = process.get("selinuxLabel")
    if label:
        _check(label, "process.selinuxLabel")
        yield ops.label("exec", label, f"process.selinuxLabel {label}")


def keyring_label_ops(process: Process) -> Iterator[Op]:
    """The session keyring has the process's label, or the process could not use it. An exec forgets it."""
    label = process.get("selinuxLabel")
    if label:
        _check(label, "process.selinuxLabel")
        yield ops.label("keycreate", label, f"process.selinuxLabel {label} of the session keyring")


def labelled_mounts(mounts: Iterable[Op], linux: Linux) -> Iterator[Op]:
    """`mounts`, with linux.mountLabel among the options of each new file system that takes one."""
    label = linux.get("mountLabel")
    if not label:
        yield from mounts
        return
    _check(label, "linux.mountLabel")
    for op in mounts:
        flags = op.numbers[1]
        is_new = op.name in ("mount", "memory") and not flags & ops.MOUNT_REMOUNT
        if not is_new or op.texts[0] in _UNLABELLED:
            yield op
        else:
            # mount(2) has all options in one text, where a comma of the label's would end it
            value = f'"{label}"' if flags & ops.MOUNT_CLASSIC else label
            yield op._replace(strings=(*op.strings, "context", value), size=(op.size or 0) + 1)


def require_labels(process: Process, linux: Linux, *, sys: str = "/sys") -> None:
    """Raises: Unsupported where a label is asked of a module that this kernel does not run."""
    profile = process.get("apparmorProfile")
    if profile and not _has_apparmor(sys):
        raise Unsupported(
            f"process.apparmorProfile {profile}: AppArmor is not active in this kernel "
            f"({sys}/module/apparmor/parameters/enabled); leave the profile out, or boot with apparmor=1"
        )
    for name, label in (
        ("process.selinuxLabel", process.get("selinuxLabel")),
        ("linux.mountLabel", linux.get("mountLabel")),
    ):
        if label and not os.path.exists(f"{sys}/fs/selinux/enforce"):  # noqa: PTH110 - a start's path
            raise Unsupported(
                f"{name} {label}: SELinux is not active in this kernel ({sys}/fs/selinux); "
                "leave the label out, or boot with selinux=1 and a policy"
            )


def _has_apparmor(sys: str) -> bool:
    try:
        with open(f"{sys}/module/apparmor/parameters/enabled", "rb") as file:
            return file.read(1) == b"Y"
    except FileNotFoundError:
        return False


def _check(label: str, field: str) -> None:
    if "\0" in label or "\n" in label:
        raise InvalidArgument(f"{label!r} is no label: it has a NUL or a newline", field=field)
