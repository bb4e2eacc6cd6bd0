"""The head of a seccomp filter: answers for system calls newer than libseccomp or than the profile. Pure.

A filter that answers EPERM to a call that did not exist when its profile was written breaks programs: a
libc takes ENOSYS as "use the older call", and EPERM as a refusal. So, per architecture, before libseccomp's
program:

    number <= the highest that the library knows of the profile's calls    libseccomp's program decides
    allowed by the profile under a name that only we know                  the profile's action
    above every call that the profile names                                ENOSYS
    between                                                                libseccomp's program decides

runc does the same. Only for profiles that refuse by default: one that allows by default says nothing of new
calls.

Spec: linux/filter.h, linux/seccomp.h, linux/audit.h
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["newer_syscalls"]

Resolve = Callable[[str, str], int | None]
"""(name, "SCMP_ARCH_...") to a number"""
ActionWord = Callable[[object, int | None], int]

# the same numbers on every architecture, as for all calls since Linux 5.1
_NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            "cachestat",
            "fchmodat2",
            "map_shadow_stack",
            "futex_wake",
            "futex_wait",
            "futex_requeue",
            "statmount",
            "listmount",
            "lsm_get_self_attr",
            "lsm_set_self_attr",
            "lsm_list_modules",
            "mseal",
            "setxattrat",
            "getxattrat",
            "listxattrat",
            "removexattrat",
            "open_tree_attr",
            "file_getattr",
            "file_setattr",
        ),
        451,
    )
}
# AUDIT_ARCH_*: what seccomp_data.arch holds. x32 shares x86_64's and is told by a bit; MIPS counts from
# other bases
_AUDIT = {
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
    "SCMP_ARCH_S390": 0x00000016,
    "SCMP_ARCH_S390X": 0x80000016,
    "SCMP_ARCH_LOONGARCH64": 0xC0000102,
}
_NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64", "riscv64": "SCMP_ARCH_RISCV64"}
_X32_BIT = 0x40000000
_ENOSYS_WORD = 0x00050000 | 38
_REFUSING = frozenset(f"SCMP_ACT_{n}" for n in ("ERRNO", "KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"))

# class | size or operation | source
_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data


def newer_syscalls(seccomp: Mapping[str, Any], resolve: Resolve, action_word: ActionWord) -> bytes:
    """struct sock_filter[] that falls through to what is appended to it; empty if it has nothing to say."""
    default = seccomp.get("defaultAction")
    if default not in _REFUSING or (default == "SCMP_ACT_ERRNO" and seccomp.get("defaultErrnoRet") == 38):
        return b""
    native = _NATIVE.get(os.uname().machine)
    names = dict.fromkeys(seccomp.get("architectures") or ([native] if native else []))
    blocks = [(_AUDIT[name], _block(seccomp, name, resolve, action_word)) for name in names if name in _AUDIT]
    left = sum(len(block) + 2 for _, block in blocks)
    program = [_instruction(_LOAD, _ARCHITECTURE)] if blocks else []
    for audit, block in blocks:
        left -= len(block) + 2
        program += [_instruction(_JUMP_EQUAL, audit, 0, len(block) + 1), *block, _instruction(_JUMP, left)]
    return b"".join(program)


def _block(
    seccomp: Mapping[str, Any], architecture: str, resolve: Resolve, action_word: ActionWord
) -> list[bytes]:
    """Leaves an answer, or runs off its end."""
    rules = seccomp.get("syscalls") or ()
    known = [resolve(name, architecture) for rule in rules for name in rule["names"]]
    highest_known = max((number for number in known if number is not None), default=0)
    named = {
        _NUMBERS[name]: rule
        for rule in rules
        for name in rule["names"]
        if _NUMBERS.get(name, 0) > highest_known
    }
    answers: list[bytes] = []
    for number, rule in sorted(named.items()):
        if not rule.get("args"):
            word = action_word(rule.get("action"), rule.get("errnoRet"))
            answers += [_instruction(_JUMP_EQUAL, number, 0, 1), _instruction(_RETURN, word)]
    highest = max([highest_known, *named])
    answers += [_instruction(_JUMP_GREATER, highest, 0, 1), _instruction(_RETURN, _ENOSYS_WORD)]
    head = [_instruction(_LOAD, _NUMBER), _instruction(_JUMP_GREATER, highest_known, 0, len(answers))]
    if architecture == "SCMP_ARCH_X86_64":
        # x32's numbers start at a bit of their own: not newer, only other
        head[1] = _instruction(_JUMP_GREATER, highest_known, 0, len(answers) + 1)
        head.append(_instruction(_JUMP_GREATER_EQUAL, _X32_BIT, len(answers), 0))
    return [*head, *answers]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter"""
    return struct.pack("=HBBI", code, if_true, if_false, value)
