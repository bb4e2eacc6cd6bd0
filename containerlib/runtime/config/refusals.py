"""What of the runtime-spec is never done, and why.

    raise refuse("linux.personality.flags")     # Unsupported: linux.personality.flags: the specification has ...

Spec: runtime-spec config.md#valid-values: a runtime chooses which valid values it supports, and says so of the others.
"""

from __future__ import annotations

from containerlib.errors import Unsupported

__all__ = ["REFUSALS", "refuse"]

REFUSALS = {
    "vm": "a virtual machine around the container is not made; leave the section out, or use a runtime that makes one",
    "windows": "this runtime is for Linux",
    "solaris": "this runtime is for Linux",
    "zos": "this runtime is for Linux",
    "freebsd": "this runtime is for Linux",
    "process.commandLine": "it is for Windows; say the command in process.args",
    "process.user.username": "it is for Windows; give uid and gid",
    "linux.personality.flags": "the specification has no flag yet; leave the list empty",
}
"""What is never done, and why: the sentence of the error. The table of properties has the same rows."""


def refuse(name: str, path: str = "") -> Unsupported:
    """The error for `name` of REFUSALS; `path`: where it was, if not there."""
    return Unsupported(f"{path or name}: {REFUSALS[name]}")
