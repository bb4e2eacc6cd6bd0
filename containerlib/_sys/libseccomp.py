"""libseccomp through ctypes: a runtime-spec `linux.seccomp` section to classic BPF.

The library is loaded when the first filter is compiled; results are cached above (runtime/seccomp/filters.py), so a
machine that has run one container with a profile does not load it again.

Spec: runtime-spec config-linux.md#seccomp; seccomp_init(3), seccomp_rule_add(3), seccomp_attr_set(3)
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from containerlib.errors import InvalidArgument, StageError, Unsupported

__all__ = ["OPERATORS", "action_word", "compile_filter", "resolve_syscall", "version"]

_LIBRARY = "libseccomp.so.2"
_UNKNOWN_SYSCALL = -1  # __NR_SCMP_ERROR
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2
_EPERM = 1

# seccomp.h; the low 16 bits of ERRNO and TRACE carry a number
_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_NUMBER = frozenset({"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"})
_OPERATORS = {
    f"SCMP_CMP_{name}": number
    for number, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)
}
OPERATORS = frozenset(_OPERATORS)
"""The names of the comparisons that a rule may make."""


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Version(ctypes.Structure):
    """struct scmp_version"""

    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise Unsupported(
            f"{_LIBRARY} is needed to compile a seccomp profile: install libseccomp2 (Debian, Ubuntu) or "
            'libseccomp (Fedora, Alpine, Arch), or run with seccomp="unconfined"'
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.restype = None
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    return library


def version() -> tuple[int, int, int]:
    """The library's version. Raises: Unsupported where it is not installed."""
    found = _library().seccomp_version().contents
    return found.major, found.minor, found.micro


def resolve_syscall(name: str, architecture: str) -> int | None:
    """The number of a system call on `architecture` ("SCMP_ARCH_X86_64"); None where none is known."""
    library = _library()
    token = _token(library, architecture)
    if not token:
        return None
    number: int = library.seccomp_syscall_resolve_name_arch(token, os.fsencode(name))
    return number if number >= 0 else None


def compile_filter(seccomp: Mapping[str, Any]) -> bytes:
    """The filter as an array of struct sock_filter. Takes milliseconds.

    System calls and architectures that the library does not know are passed over, as the specification has
    it. Two comparisons of one argument in a rule are alternatives, as in runc: libseccomp cannot have both.

    Raises: Unsupported without the library; InvalidArgument(field="seccomp"); StageError(stage="seccomp").
    """
    library = _library()
    default = action_word(seccomp.get("defaultAction"), seccomp.get("defaultErrnoRet"))
    with _context(library, default) as context:
        for name in seccomp.get("architectures") or ():
            token = _token(library, name)
            if token:
                _check(library.seccomp_arch_add(context, token), name, tolerated=errno.EEXIST)
        # a tree of comparisons in place of a list: absent before 2.5, and then the list does
        library.seccomp_attr_set(context, _OPTIMIZE, _BINARY_TREE)
        for rule in seccomp.get("syscalls") or ():
            _add_rule(library, context, rule, default)
        return _export(library, context)


@contextmanager
def _context(library: ctypes.CDLL, default: int) -> Iterator[int]:
    context = library.seccomp_init(default)
    if not context:
        raise StageError("seccomp", errno.ENOMEM, "seccomp_init")
    try:
        yield context
    finally:
        library.seccomp_release(context)


def _token(library: ctypes.CDLL, architecture: str) -> int:
    """0 for an architecture that the library does not know."""
    name = architecture.removeprefix("SCMP_ARCH_").lower()
    token: int = library.seccomp_arch_resolve_name(os.fsencode(name))
    return token


def _add_rule(library: ctypes.CDLL, context: int, rule: Mapping[str, Any], default: int) -> None:
    action = action_word(rule.get("action"), rule.get("errnoRet"))
    if action == default:
        return  # libseccomp refuses what changes nothing
    comparisons = [_comparison(arg) for arg in rule.get("args") or ()]
    alternatives = [comparisons]
    if len({comparison.arg for comparison in comparisons}) < len(comparisons):
        alternatives = [[comparison] for comparison in comparisons]
    for name in rule.get("names") or ():
        number = library.seccomp_syscall_resolve_name(os.fsencode(name))
        if number == _UNKNOWN_SYSCALL:
            continue
        for alternative in alternatives:
            array = (_Comparison * len(alternative))(*alternative)
            result = library.seccomp_rule_add_array(context, action, number, len(alternative), array)
            _check(result, name, tolerated=errno.EEXIST)


def action_word(name: object, number: int | None) -> int:
    """What a filter returns for an action: SECCOMP_RET_* with its number."""
    if not isinstance(name, str) or name not in _ACTIONS:
        raise InvalidArgument(f"{name!r} is not a seccomp action", field="seccomp")
    if name not in _WITH_NUMBER:
        return _ACTIONS[name]
    return _ACTIONS[name] | ((_EPERM if number is None else number) & 0xFFFF)


def _comparison(arg: Mapping[str, Any]) -> _Comparison:
    operator = _OPERATORS.get(str(arg.get("op")))
    if operator is None:
        raise InvalidArgument(f"{arg.get('op')!r} is not a comparison", field="seccomp")
    return _Comparison(int(arg["index"]), operator, int(arg["value"]), int(arg.get("valueTwo") or 0))


def _check(result: int, what: str, *, tolerated: int) -> None:
    if result < 0 and -result != tolerated:
        raise StageError("seccomp", -result, what)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(library.seccomp_export_bpf(context, descriptor), "seccomp_export_bpf", tolerated=0)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
