"""What this runtime knows, as the document that callers ask a runtime for: `containerlib-oci features`.

It is put together from what the implementation goes by: a mount option is listed because the parser takes it for one,
an action because a filter can be compiled with it, `intelRdt` because its row in the table of properties says that it
is implemented. Nothing in it depends on the machine but `seccomp.supportedFlags`, as the specification has it.

Spec: runtime-spec features.md, features-linux.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime import kernel
from containerlib.runtime.config.properties import implemented
from containerlib.runtime.plan import capabilities, mount_options
from containerlib.runtime.plan.namespaces import CLONE_FLAGS
from containerlib.runtime.seccomp import rules
from containerlib.spec import vocabulary

__all__ = ["features"]

_EXTRA_OPTIONS = frozenset({"copy-symlink"})
"""Options that are not the specification's, and that other runtimes know too."""
_FLAG_KERNELS = {
    "SECCOMP_FILTER_FLAG_TSYNC": (3, 17),
    "SECCOMP_FILTER_FLAG_LOG": (4, 14),
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": (4, 17),
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": (5, 19),
}
_UNSAFE_ANNOTATIONS = ("org.systemd.property.",)


def features(release: tuple[int, int] | None = None) -> dict[str, Any]:
    """The document. `release`: the kernel's version in place of the running one's. Needs no rights."""
    document: dict[str, Any] = {
        "ociVersionMin": vocabulary.VERSION_MIN,
        "ociVersionMax": vocabulary.VERSION,
        "hooks": [name for name in vocabulary.HOOKS if implemented(f"hooks.{name}")],
        "mountOptions": _known(vocabulary.MOUNT_OPTIONS | _EXTRA_OPTIONS, _is_mount_option),
        "linux": _linux(release or kernel.release()),
        "annotations": _annotations(),
    }
    unsafe = [name for name in _UNSAFE_ANNOTATIONS if implemented(f"annotations: {name}*")]
    if unsafe:
        document["potentiallyUnsafeConfigAnnotations"] = unsafe
    return document


def _linux(release: tuple[int, int]) -> dict[str, Any]:
    return {
        "namespaces": sorted(CLONE_FLAGS),
        "capabilities": list(capabilities.NAMES),
        "cgroup": {
            "v1": True,
            "v2": True,
            "systemd": implemented("linux.cgroupsPath: systemd"),
            "systemdUser": implemented("linux.cgroupsPath: systemd of a user"),
            "rdma": implemented("linux.resources.rdma"),
        },
        "seccomp": _seccomp(release),
        "apparmor": {"enabled": implemented("process.apparmorProfile")},
        "selinux": {"enabled": implemented("process.selinuxLabel")},
        "intelRdt": {
            "enabled": implemented("linux.intelRdt"),
            "schemata": implemented("linux.intelRdt.schemata"),
            "monitoring": implemented("linux.intelRdt.enableMonitoring"),
        },
        "memoryPolicy": {
            "modes": _known(
                vocabulary.MEMORY_POLICY_MODES, lambda mode: implemented(f"linux.memoryPolicy.mode={mode}")
            ),
            "flags": _known(
                vocabulary.MEMORY_POLICY_FLAGS, lambda flag: implemented(f"linux.memoryPolicy.flags[]={flag}")
            ),
        },
        "mountExtensions": {"idmap": {"enabled": implemented("mounts[].uidMappings")}},
        "netDevices": {"enabled": implemented("linux.netDevices")},
    }


def _seccomp(release: tuple[int, int]) -> dict[str, Any]:
    known = _known(vocabulary.SECCOMP_FLAGS, lambda flag: implemented(f"linux.seccomp.flags[]={flag}"))
    return {
        "enabled": True,
        "actions": _known(vocabulary.SECCOMP_ACTIONS, _is_action),
        "operators": _known(vocabulary.SECCOMP_OPERATORS, rules.OPERATORS.__contains__),
        "archs": sorted(vocabulary.SECCOMP_ARCHITECTURES),
        "knownFlags": known,
        "supportedFlags": [flag for flag in known if release >= _FLAG_KERNELS[flag]],
    }


def _known(words: Iterable[str], is_known: Callable[[str], bool]) -> list[str]:
    return sorted(word for word in words if is_known(word))


def _is_mount_option(word: str) -> bool:
    """What the parser refuses, or takes for a word of the file system's, is not one that it knows."""
    try:
        return not mount_options.parse(["bind", word]).data
    except Unsupported:
        return False


def _is_action(word: str) -> bool:
    try:
        rules.action_word(word, None)
    except InvalidArgument:
        return False
    return True


def _annotations() -> dict[str, str]:
    found = {}
    try:
        found["io.containerlib.version"] = version("containerlib")
    except PackageNotFoundError:  # run from a tree that was not installed
        found["io.containerlib.version"] = "0"
    return found
