"""libseccomp through ctypes, the compiler that other runtimes use, to hold ours against: a runtime-spec
`linux.seccomp` section to classic BPF, and the numbers of system calls.

It does not come back from some sections: two rules for one call that each compare two arguments.

Spec: runtime-spec config-linux.md#seccomp; seccomp_init(3), seccomp_rule_add(3), seccomp_attr_set(3)
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from containerlib.runtime.seccomp.rules import action_word

__all__ = ["compile_filter", "name_of", "needs_libseccomp", "pseudo_number", "resolve_syscall"]

needs_libseccomp = pytest.mark.skipif(
    ctypes.util.find_library("seccomp") is None, reason="no libseccomp.so.2: install libseccomp2"
)

_LIBRARY = "libseccomp.so.2"
_UNKNOWN_SYSCALL = -1  # __NR_SCMP_ERROR
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2
_OPERATORS = {
    f"SCMP_CMP_{name}": number
    for number, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)
}


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_LIBRARY)
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
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    library.seccomp_syscall_resolve_num_arch.argtypes = (ctypes.c_uint32, ctypes.c_int)
    return library


def resolve_syscall(name: str, architecture: str) -> int | None:
    """The number of a system call on `architecture` ("SCMP_ARCH_X86_64"); None where none is known."""
    number = pseudo_number(name, architecture)
    return number if number >= 0 else None


def pseudo_number(name: str, architecture: str) -> int:
    """Negative for a call that the architecture has together with others, or has not; -1: unknown."""
    library = _library()
    number: int = library.seccomp_syscall_resolve_name_arch(_token(library, architecture), name.encode())
    return number


def name_of(number: int, architecture: str) -> str | None:
    """The name of a system call on `architecture`; None where the number has none."""
    library = _library()
    name: bytes | None = library.seccomp_syscall_resolve_num_arch(_token(library, architecture), number)
    return None if name is None else name.decode()


def compile_filter(seccomp: Mapping[str, Any]) -> bytes:
    """The filter as an array of struct sock_filter. Takes milliseconds.

    System calls and architectures that the library does not know are passed over, as the specification has
    it. Two comparisons of one argument in a rule are alternatives, as in runc: libseccomp cannot have both.

    Raises: OSError, for rules that contradict each other among others.
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
    assert context
    try:
        yield context
    finally:
        library.seccomp_release(context)


def _token(library: ctypes.CDLL, architecture: str) -> int:
    """0 for an architecture that the library does not know."""
    token: int = library.seccomp_arch_resolve_name(architecture.removeprefix("SCMP_ARCH_").lower().encode())
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
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN_SYSCALL:
            continue
        for alternative in alternatives:
            array = (_Comparison * len(alternative))(*alternative)
            result = library.seccomp_rule_add_array(context, action, number, len(alternative), array)
            _check(result, name, tolerated=errno.EEXIST)


def _comparison(arg: Mapping[str, Any]) -> _Comparison:
    operator = _OPERATORS[arg["op"]]
    return _Comparison(int(arg["index"]), operator, int(arg["value"]), int(arg.get("valueTwo") or 0))


def _check(result: int, what: str, *, tolerated: int) -> None:
    if result < 0 and -result != tolerated:
        raise OSError(-result, what)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(library.seccomp_export_bpf(context, descriptor), "seccomp_export_bpf", tolerated=0)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
