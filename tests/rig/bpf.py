"""Interpreters for the two kinds of BPF that the library writes: what a filter says, without the kernel.

run_classic(program, nr=39, arch=AUDIT_ARCH_X86_64)      # a seccomp filter's answer
run_device(instructions, kind="c", access="rw", major=1, minor=3)
attach_foreign(directory, instructions)                  # to the kernel, as systemd and others do
"""

from __future__ import annotations

import ctypes
import operator
import os
import struct
from collections.abc import Callable, Sequence

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003

_COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    0x15: operator.eq,
    0x25: operator.gt,
    0x35: operator.ge,
    0x45: lambda a, b: bool(a & b),
}


def parse_classic(program: bytes) -> list[tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, k) of each struct sock_filter."""
    return list(struct.iter_unpack("=HBBI", program))


def run_classic(
    program: Sequence[tuple[int, int, int, int]], *, nr: int, arch: int, args: Sequence[int] = ()
) -> int:
    """What the filter returns for a system call."""
    data = struct.pack("<IIQ6Q", nr, arch, 0, *[*args, *[0] * (6 - len(args))])
    at, accumulator, memory = 0, 0, [0] * 16
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == 0x20:  # load a word of seccomp_data
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x02:
            memory[k] = accumulator
        elif code == 0x60:
            accumulator = memory[k]
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            at += k
        elif code in _COMPARISONS:
            at += if_true if _COMPARISONS[code](accumulator, k) else if_false
        elif code == 0x06:
            return k
        else:
            raise AssertionError(f"an instruction that is not known: {code:#x}")


def run_device(instructions: Sequence[int], *, kind: str, access: str, major: int, minor: int) -> bool:
    """Whether a cgroup device program lets the access happen."""
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = struct.pack("<III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers, at = [0] * 11, 0
    while True:
        code, packed, offset, immediate = struct.unpack("<BBhi", struct.pack("<Q", instructions[at]))
        target, source = packed & 15, packed >> 4
        at += 1
        if code == 0x61:
            (registers[target],) = struct.unpack_from("<I", context, offset)
        elif code == 0xBC:
            registers[target] = registers[source] & 0xFFFFFFFF
        elif code == 0xB7:
            registers[target] = immediate
        elif code == 0x54:
            registers[target] &= immediate & 0xFFFFFFFF
        elif code == 0x74:
            registers[target] = (registers[target] & 0xFFFFFFFF) >> immediate
        elif code == 0x55:
            at += offset if registers[target] != immediate else 0
        elif code == 0x15:
            at += offset if registers[target] == immediate else 0
        elif code == 0x95:
            return bool(registers[0])
        else:
            raise AssertionError(f"an instruction that is not known: {code:#x}")


def attach_foreign(directory: str, instructions: Sequence[int]) -> None:
    """Attaches a device program without a name to a cgroup v2 directory. It goes with the directory. Spec: bpf(2)"""
    program = (ctypes.c_uint64 * len(instructions))(*instructions)
    text = ctypes.create_string_buffer(b"GPL")
    places = (ctypes.addressof(program), ctypes.addressof(text))
    loaded = _bpf(
        5, struct.pack("<IIQQ", 15, len(instructions), *places)
    )  # BPF_PROG_LOAD, of a CGROUP_DEVICE
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    _bpf(
        8, struct.pack("<IIII", group, loaded, 6, 2)
    )  # BPF_PROG_ATTACH, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI
    os.close(group)
    os.close(loaded)


def _bpf(command: int, attributes: bytes) -> int:
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    memory = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, command, memory, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return result
