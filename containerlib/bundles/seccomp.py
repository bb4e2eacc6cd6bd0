"""Seccomp profiles to the runtime-spec's `linux.seccomp`: what holds for this container on this machine.

    section = resolve(None, capabilities, "amd64", (6, 1))          # Docker's default
    section = resolve(profile_text, capabilities, "amd64", (6, 1))  # Docker's or the runtime-spec's form

A profile in Docker's form has rules with conditions (capabilities, architectures, kernel); the result has
none. Results are kept: the same question costs a dictionary look-up.

Spec: runtime-spec config-linux.md#seccomp
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from containerlib.bundles.default_seccomp import PROFILE
from containerlib.errors import InvalidArgument
from containerlib.spec.seccomp import SeccompSection

__all__ = ["resolve"]

_NATIVE = {
    "386": "SCMP_ARCH_X86",
    "amd64": "SCMP_ARCH_X86_64",
    "arm": "SCMP_ARCH_ARM",
    "arm64": "SCMP_ARCH_AARCH64",
    "loong64": "SCMP_ARCH_LOONGARCH64",
    "mips64": "SCMP_ARCH_MIPS64",
    "mips64le": "SCMP_ARCH_MIPSEL64",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "riscv64": "SCMP_ARCH_RISCV64",
    "s390x": "SCMP_ARCH_S390X",
}
_ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in ("KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY")
)
_OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
_PASSED_ON = ("flags", "listenerPath", "listenerMetadata", "defaultErrnoRet")


@functools.lru_cache(maxsize=64)
def resolve(
    profile: str | None, capabilities: frozenset[str], architecture: str, kernel: tuple[int, int]
) -> SeccompSection:
    """The rules of `profile` (JSON text; None: Docker's default) that hold with these capabilities, here.

    `architecture` is in OCI's words; `kernel` is (major, minor). The result is shared: it must not be
    changed.

    Raises: InvalidArgument(field="seccomp") for a text that is no profile.
    """
    parsed = PROFILE if profile is None else _parse(profile)
    section: dict[str, Any] = {
        "defaultAction": _checked(parsed.get("defaultAction"), _ACTIONS, "defaultAction")
    }
    section.update((key, parsed[key]) for key in _PASSED_ON if parsed.get(key) not in (None, "", []))
    architectures = _architectures(parsed, architecture)
    if architectures:
        section["architectures"] = architectures
    syscalls = [
        _syscall(rule)
        for rule in _objects(parsed.get("syscalls"), "syscalls")
        if _holds(rule, capabilities, architecture, kernel)
    ]
    if syscalls:
        section["syscalls"] = syscalls
    return SeccompSection(section)


def _parse(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(
            f'it is neither "default", nor "unconfined", nor the JSON of a profile: {error}', field="seccomp"
        ) from error
    if not isinstance(parsed, dict):
        raise InvalidArgument("a profile is a JSON object", field="seccomp")
    if parsed.get("architectures") and parsed.get("archMap"):
        raise InvalidArgument("architectures and archMap exclude each other", field="seccomp")
    return parsed


def _architectures(profile: Mapping[str, Any], architecture: str) -> list[str]:
    if profile.get("architectures"):
        return [str(name) for name in profile["architectures"]]
    native = _NATIVE.get(architecture)
    for entry in _objects(profile.get("archMap"), "archMap"):
        if entry.get("architecture") == native and native is not None:
            return [native, *(entry.get("subArchitectures") or ())]
    return []


def _holds(
    rule: Mapping[str, Any], capabilities: frozenset[str], architecture: str, kernel: tuple[int, int]
) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if architecture in (excludes.get("arches") or ()):
        return False
    if any(name in capabilities for name in excludes.get("caps") or ()):
        return False
    if excludes.get("minKernel") and kernel >= _version(excludes["minKernel"]):
        return False
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if not all(name in capabilities for name in includes.get("caps") or ()):
        return False
    return not (includes.get("minKernel") and kernel < _version(includes["minKernel"]))


def _version(text: str) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    try:
        return int(major), int(minor.partition(".")[0] or 0)
    except ValueError as error:
        raise InvalidArgument(f"minKernel {text!r} is not a version such as 4.8", field="seccomp") from error


def _syscall(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidArgument("a rule without names of system calls", field="seccomp")
    result: dict[str, Any] = {
        "names": list(names),
        "action": _checked(rule.get("action"), _ACTIONS, "action"),
    }
    if rule.get("errnoRet") is not None:
        result["errnoRet"] = int(rule["errnoRet"])
    args = [_arg(arg) for arg in _objects(rule.get("args"), "args")]
    if args:
        result["args"] = args
    return result


def _arg(arg: Mapping[str, Any]) -> dict[str, Any]:
    index, value = arg.get("index"), arg.get("value")
    if not isinstance(index, int) or not 0 <= index <= 5 or not isinstance(value, int):
        raise InvalidArgument(f"{dict(arg)!r} is not a comparison of one of six arguments", field="seccomp")
    result = {"index": index, "value": value, "op": _checked(arg.get("op"), _OPERATORS, "op")}
    if arg.get("valueTwo"):
        result["valueTwo"] = int(arg["valueTwo"])
    return result


def _checked(value: object, known: frozenset[str], what: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidArgument(f"{value!r} is not a seccomp {what}", field="seccomp")
    return value


def _objects(value: object, what: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidArgument(f"{what} is not a list of objects", field="seccomp")
    return value
