"""Device rules to the eBPF program that a cgroup v2 group enforces them with: pure.

The kernel calls the program for each mknod and open of a device, with a pointer to this in r1, and lets the
access happen where it returns 1:

    struct bpf_cgroup_dev_ctx { u32 access_type;  /* access << 16 | type */  u32 major;  u32 minor; };

The last rule that matches counts, so the program asks them from the last to the first and stops at the
first hit. A rule to allow must cover every kind of access asked for at once; one to deny, any of them. What
no rule matches is denied.

Spec: runtime-spec config-linux.md#allowed-device-list; linux/bpf.h
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from containerlib.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["device_filter", "rule_access", "rule_kind", "rule_number"]

# linux/bpf_common.h and bpf.h: class | operation | source
_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE_REGISTER = 0xBC  # BPF_ALU | BPF_MOV | BPF_X, 32 bits
_MOVE = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_SHIFT_RIGHT = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_JUMP_NOT_EQUAL = 0x55  # BPF_JMP | BPF_JNE | BPF_K
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_EXIT = 0x95

_CONTEXT, _RESULT = 1, 0
_TYPE, _ACCESS, _MAJOR, _MINOR, _SCRATCH = 2, 3, 4, 5, 6

_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
_ACCESSES = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*
_EVERY_ACCESS = 7
_MAX_NUMBER = 0xFFFFFFFF


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> int:
    """struct bpf_insn as the u64 that a little-endian machine reads it as."""
    return code | target << 8 | source << 12 | (offset & 0xFFFF) << 16 | (immediate & 0xFFFFFFFF) << 32


_PROLOGUE = [
    _instruction(_LOAD_WORD, _TYPE, _CONTEXT, 0),
    _instruction(_MOVE_REGISTER, _ACCESS, _TYPE),
    _instruction(_AND, _TYPE, immediate=0xFFFF),
    _instruction(_SHIFT_RIGHT, _ACCESS, immediate=16),
    _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
    _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
]


def device_filter(rules: Sequence[Mapping[str, Any]]) -> list[int]:
    """Instructions for BPF_PROG_TYPE_CGROUP_DEVICE that enforce `rules` of `linux.resources.devices`.

    Raises: InvalidArgument(field="resources.devices").
    """
    program = list(_PROLOGUE)
    for rule in reversed(rules):
        block = _rule(rule)
        program.extend(block)
        if len(block) == 2:  # it matches everything: no earlier rule counts
            return program
    return program + _verdict(False)


def _rule(rule: Mapping[str, Any]) -> list[int]:
    """Tests that jump behind the rule where it does not match, then its verdict."""
    allow = bool(rule.get("allow"))
    tests: list[tuple[list[int], int, int, int]] = []  # (before, jump, register, value)
    kind = rule_kind(rule)
    if kind != "a":
        tests.append(([], _JUMP_NOT_EQUAL, _TYPE, _TYPES[kind]))
    for name, register in (("major", _MAJOR), ("minor", _MINOR)):
        number = rule_number(rule, name)
        if number is not None and kind != "a":
            tests.append(([], _JUMP_NOT_EQUAL, register, number))
    access = sum(_ACCESSES[letter] for letter in set(rule_access(rule)))
    if access != _EVERY_ACCESS:
        move = _instruction(_MOVE_REGISTER, _SCRATCH, _ACCESS)
        mask = _instruction(_AND, _SCRATCH, immediate=_EVERY_ACCESS & ~access if allow else access)
        tests.append(([move, mask], _JUMP_NOT_EQUAL if allow else _JUMP_EQUAL, _SCRATCH, 0))
    size = sum(len(before) + 1 for before, _, _, _ in tests) + 2
    block: list[int] = []
    for before, jump, register, value in tests:
        block.extend(before)
        block.append(_instruction(jump, register, offset=size - len(block) - 1, immediate=value))
    return block + _verdict(allow)


def _verdict(allow: bool) -> list[int]:
    return [_instruction(_MOVE, _RESULT, immediate=int(allow)), _instruction(_EXIT)]


def rule_kind(rule: Mapping[str, Any]) -> str:
    """a, b or c; an unbuffered device (u) is a character device. Raises: InvalidArgument."""
    text = rule.get("type") or "a"
    kind = "c" if text == "u" else text
    if kind not in ("a", *_TYPES):
        raise InvalidArgument(f"{text!r} is not a type of device: a, b or c", field="resources.devices")
    return str(kind)


def rule_number(rule: Mapping[str, Any], name: str) -> int | None:
    """The major or minor number; None for any. Raises: InvalidArgument."""
    number = rule.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or number > _MAX_NUMBER:
        raise InvalidArgument(f"{number!r} is not a {name} number", field="resources.devices")
    return number if number >= 0 else None


def rule_access(rule: Mapping[str, Any]) -> str:
    """Letters of rwm, all of them where the rule has none. Raises: InvalidArgument."""
    text = rule.get("access") or "rwm"
    if not isinstance(text, str) or not set(text) <= set(_ACCESSES):
        raise InvalidArgument(f"{text!r} is not an access: letters of rwm", field="resources.devices")
    return text
