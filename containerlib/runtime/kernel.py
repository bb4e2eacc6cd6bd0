"""What the kernel must have, and what it may lack."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable

from containerlib._sys.privilege import in_user_namespace
from containerlib.errors import Unsupported
from containerlib.spec.values import frozen

__all__ = [
    "HOST_FILES",
    "KernelFiles",
    "keeps_memory",
    "layers_one_by_one",
    "release",
    "require_kernel",
    "shares_layers",
]

MINIMUM = (5, 12)
"""mount_setattr(2); all else (openat2, clone3 into a cgroup, close_range, pidfds) is older."""
_LAYERS_ONE_BY_ONE = (6, 7)
_SHARES_LAYERS = (6, 15)
_KEEPS_MEMORY = (6, 4)


@frozen
class KernelFiles:
    """Where the kernel's file systems are."""

    sys: str = "/sys"
    resctrl: str | None = None
    """None: where it is mounted."""
    mkdir: Callable[[str], None] = os.mkdir
    """Makes a directory in resctrl, and a fake the files too that the kernel makes in it."""


HOST_FILES = KernelFiles()


def release(text: str | None = None) -> tuple[int, int]:
    """Major and minor version of the running kernel, or of the one named `text`."""
    match = re.match(r"(\d+)\.(\d+)", text or os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


@functools.cache
def require_kernel(version: tuple[int, int] | None = None) -> None:
    """Raises: Unsupported for a kernel that is too old to make containers as they are made here."""
    found = version or release()
    if found < MINIMUM:
        raise Unsupported(
            f"containers need Linux {MINIMUM[0]}.{MINIMUM[1]} or later, and this is {found[0]}.{found[1]}: "
            "mount_setattr(2) is not there"
        )


@functools.cache
def layers_one_by_one() -> bool:
    """Whether overlayfs takes its layers one at a time, without a limit on the length of all their paths."""
    return release() >= _LAYERS_ONE_BY_ONE


@functools.cache
def shares_layers() -> bool:
    """Whether overlayfs takes a mount for a layer that is attached nowhere."""
    return release() >= _SHARES_LAYERS


def keeps_memory() -> bool:
    """Whether a tmpfs can be kept from being swapped, which is the host's root's to say."""
    return release() >= _KEEPS_MEMORY and not in_user_namespace()
