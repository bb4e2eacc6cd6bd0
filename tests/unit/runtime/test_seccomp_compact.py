"""Small filters answer as large ones do: both are read by an interpreter, and the small ones installed."""

from __future__ import annotations

import ctypes.util
import errno
import itertools
import platform
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containerlib.bundles.capabilities import DEFAULT
from containerlib.bundles.seccomp import resolve
from containerlib.runtime.seccomp.bpf import Graph, Node, assemble
from containerlib.runtime.seccomp.compact import compact
from containerlib.runtime.seccomp.newer import newer_syscalls
from rig.bpf import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, parse_classic, run_classic

needs_libseccomp = pytest.mark.skipif(
    ctypes.util.find_library("seccomp") is None, reason="no libseccomp.so.2: install libseccomp2"
)
needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")

ALLOW, EPERM, KILL = 0x7FFF0000, 0x00050001, 0
AUDIT_ARCH_AARCH64 = 0xC00000B7
X32 = 0x40000000
TOP = 0xFFFFFFFF
LOAD, AND, RETURN, JUMP, EQUAL, GREATER, GREATER_EQUAL, ANY_BIT = (
    0x20,
    0x54,
    0x06,
    0x05,
    0x15,
    0x25,
    0x35,
    0x45,
)
ARCHITECTURES = (AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, TOP)
EDGES = (X32 - 1, 0x7FFFFFFF, 0x80000000, X32 | 0x80000000, TOP - 1, TOP)
NUMBERS = (*range(601), *range(X32, X32 + 601), *EDGES)

Instruction = tuple[int, int, int, int]


def written(*instructions: Instruction) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def large(section: Mapping[str, Any]) -> bytes:
    """What is compiled before it is made small."""
    from containerlib._sys.libseccomp import action_word, compile_filter, resolve_syscall

    return newer_syscalls(section, resolve_syscall, action_word) + compile_filter(section)


def docker(*capabilities: str) -> Mapping[str, Any]:
    return resolve(None, frozenset(capabilities), "amd64", (6, 1))


def assert_same(
    before: bytes,
    after: bytes,
    architectures: Iterable[int],
    numbers: Sequence[int],
    arguments: Sequence[Sequence[int]] = ((),),
) -> None:
    old, new = parse_classic(before), parse_classic(after)
    for arch, nr, args in itertools.product(architectures, numbers, arguments):
        expected = run_classic(old, nr=nr, arch=arch, args=args)
        assert run_classic(new, nr=nr, arch=arch, args=args) == expected, (hex(arch), nr, args)


def around(values: Iterable[int], top: int = TOP) -> list[int]:
    """Each value, its neighbours, and what its bits may be confused with."""
    near = {value + step for value in values for step in (-1, 0, 1)} | {0, top}
    return sorted(value for value in near if 0 <= value <= top)


# ---- Docker's profile ----


@needs_libseccomp
@needs_x86
@pytest.mark.parametrize(
    "capabilities", [(), DEFAULT, (*DEFAULT, "CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYS_PTRACE")]
)
@pytest.mark.parametrize("arguments", [(0,) * 6, (TOP << 32 | TOP,) * 6])
def test_every_number_of_dockers_profile_is_answered_alike(
    capabilities: Sequence[str], arguments: tuple[int, ...]
) -> None:
    program = large(docker(*capabilities))
    assert_same(program, compact(program), ARCHITECTURES, NUMBERS, [arguments])


@needs_libseccomp
@needs_x86
@pytest.mark.parametrize("abi", ["X86_64", "X86", "X32"])
def test_every_argument_that_dockers_profile_reads_is_answered_alike(abi: str) -> None:
    from containerlib._sys.libseccomp import resolve_syscall

    rules = [rule for rule in docker(*DEFAULT)["syscalls"] if rule.get("args")]
    names = {name for rule in rules for name in rule["names"]}
    assert names == {"clone", "personality", "socket"}
    values = {
        arg[key] for rule in rules for arg in rule["args"] for key in ("value", "valueTwo") if key in arg
    }
    values |= {1 << bit for bit in range(64)} | {value | 1 << 32 for value in values}
    values |= {value << 32 for value in values if value <= TOP}
    arguments = [(value, *rest) for value in around(values, 2**64 - 1) for rest in ((0,) * 5, (value,) * 5)]
    numbers = [resolve_syscall(name, f"SCMP_ARCH_{abi}") for name in sorted(names)]
    arch = AUDIT_ARCH_I386 if abi == "X86" else AUDIT_ARCH_X86_64
    program = large(docker(*DEFAULT))
    assert_same(
        program, compact(program), [arch], [number for number in numbers if number is not None], arguments
    )


@needs_libseccomp
@needs_x86
def test_dockers_profile_is_a_fifth_of_its_size() -> None:
    program = large(docker(*DEFAULT))
    assert len(compact(program)) < len(program) / 5


# ---- any profile ----

NAMES = """
read write open close stat mmap ioctl clone socket socketcall ipc execve fork vfork personality mount
unshare setuid chown32 fcntl64 mkdir chroot bpf seccomp statx futex_waitv mseal openat2 io_uring_setup keyctl ptrace
"""
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
WORDS = st.one_of(
    st.sampled_from((0, 1, 2, 0x7E020000, TOP, 1 << 32, TOP << 32, 2**64 - 1)), st.integers(0, 2**64 - 1)
)
ACTIONS = st.fixed_dictionaries(
    {
        "action": st.sampled_from(
            [f"SCMP_ACT_{name}" for name in ("ALLOW", "ERRNO", "KILL", "TRAP", "LOG", "TRACE")]
        )
    },
    optional={"errnoRet": st.integers(0, 0xFFFF)},
)
COMPARISONS = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "op": st.sampled_from([f"SCMP_CMP_{name}" for name in OPERATORS]),
        "value": WORDS,
        "valueTwo": WORDS,
    }
)
RULES = st.builds(
    lambda names, action, args: {"names": names, **action, "args": args},
    st.lists(st.sampled_from(NAMES.split()), min_size=1, max_size=12, unique=True),
    ACTIONS,
    st.lists(COMPARISONS, max_size=3),
)


def section_of(
    default: Mapping[str, Any], architectures: Sequence[str], rules: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A call whose rule compares several arguments has no other: libseccomp 2.5.4 may not return from a second."""
    seen: set[str] = set()
    alone: set[str] = set()
    kept = []
    for rule in rules:
        several = len(rule["args"]) > 1
        names = [name for name in rule["names"] if name not in (seen if several else alone)]
        seen.update(names)
        alone.update(names if several else ())
        if names:
            kept.append({**rule, "names": names})
    return {
        "defaultAction": default["action"],
        "defaultErrnoRet": default.get("errnoRet", 1),
        "architectures": [f"SCMP_ARCH_{name}" for name in architectures],
        "syscalls": kept,
    }


SECTIONS = st.builds(
    section_of,
    ACTIONS,
    st.lists(st.sampled_from(("X86_64", "X86", "X32", "AARCH64", "RISCV64")), unique=True),
    st.lists(RULES, max_size=6),
)


def compiles(section: Mapping[str, Any]) -> bytes | None:
    from containerlib.errors import StageError

    try:
        return large(section)
    except StageError:  # libseccomp's word on rules that contradict each other
        return None


def arguments_of(section: Mapping[str, Any]) -> list[tuple[int, ...]]:
    args = [arg for rule in section["syscalls"] for arg in rule["args"]]
    values = {arg["value"] for arg in args} | {arg["valueTwo"] for arg in args}
    values |= {arg["value"] & arg["valueTwo"] for arg in args}
    near = around(values, 2**64 - 1)
    return [(value,) * 6 for value in near] + [
        tuple(near[(at + step) % len(near)] for step in range(6)) for at in range(len(near))
    ]


@needs_libseccomp
@settings(max_examples=60, deadline=None)
@given(SECTIONS)
def test_any_section_is_answered_alike(section: Mapping[str, Any]) -> None:
    from containerlib._sys.libseccomp import resolve_syscall

    program = compiles(section)
    if program is None:
        return
    small = compact(program)
    assert len(small) <= len(program)
    assert_same(program, small, (*ARCHITECTURES, 0xC00000F3), NUMBERS[::7])
    names = {name for rule in section["syscalls"] for name in rule["names"]}
    arguments = arguments_of(section)
    for abi, arch in (("X86_64", AUDIT_ARCH_X86_64), ("X86", AUDIT_ARCH_I386), ("X32", AUDIT_ARCH_X86_64)):
        numbers = [resolve_syscall(name, f"SCMP_ARCH_{abi}") for name in sorted(names)]
        known = [number for number in numbers if number is not None]
        assert_same(program, small, [arch], known, arguments)


@needs_libseccomp
@needs_x86
def test_filter_beyond_the_reach_of_a_jump_is_answered_alike() -> None:
    from containerlib._sys.libseccomp import resolve_syscall

    section = dict(docker(*DEFAULT))
    names = sorted({name for rule in section["syscalls"] for name in rule["names"] if not rule.get("args")})
    section["syscalls"] = [
        {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errnum, "args": []}
        for errnum, name in enumerate(names, 2)
    ] + [
        {
            "names": ["clone", "socket", "ioctl"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": index, "op": "SCMP_CMP_EQ", "value": 5}],
        }
        for index in range(6)
    ]
    program = large(section)
    small = compact(program)
    assert len(program) > len(small) > 3 * 256 * 8
    assert_same(program, small, ARCHITECTURES, NUMBERS)
    numbers = [resolve_syscall(name, "SCMP_ARCH_X86") or 0 for name in ("clone", "socket", "ioctl")]
    arguments = [tuple(5 * (at == index) for at in range(6)) for index in range(7)]
    assert_same(program, small, [AUDIT_ARCH_I386], numbers, arguments)


# ---- any program ----

FIELDS = (0, 0, 0, 4, 4, 16, 20, 24, 28)
CONSTANTS = (0, 1, 2, 3, 5, 8, 0x0F, X32, AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, TOP)


BLOCKS = st.one_of(
    st.tuples(st.just(0), st.sampled_from((EQUAL, GREATER, GREATER_EQUAL)), st.just(TOP)),
    st.tuples(st.just(4), st.just(EQUAL), st.just(TOP)),
    st.tuples(
        st.sampled_from((16, 20, 24)),
        st.sampled_from((EQUAL, GREATER, GREATER_EQUAL, ANY_BIT)),
        st.sampled_from((TOP, TOP, 0, 3, X32)),
    ),
)


@st.composite
def understood(draw: st.DrawFn) -> bytes:
    """Comparisons that load their word, or find it loaded by the one before; their ways go anywhere behind them."""
    blocks = draw(st.lists(BLOCKS, min_size=1, max_size=25))
    program: list[Instruction] = []
    starts, jumps = [], []
    for offset, code, mask in blocks:
        starts.append(len(program))
        program.append((LOAD, 0, 0, offset))
        if mask != TOP:
            program.append((AND, 0, 0, mask))
        for _ in range(draw(st.integers(1, 3))):
            jumps.append((len(program), len(starts)))
            program.append((code, 0, 0, draw(st.sampled_from(CONSTANTS))))
    starts += [len(program), len(program) + 1, len(program) + 2]
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, EPERM), (RETURN, 0, 0, KILL)]
    for at, behind in jumps:
        code, _, _, value = program[at]
        # to the next comparison of the block, to a block, or to an answer
        ways = [at + 1, *starts[behind : behind + 4], *starts[-3:]]
        then, otherwise = (draw(st.sampled_from(ways)) - at - 1 for _ in range(2))
        program[at] = code, then, otherwise, value
    return written(*program)


@st.composite
def programs(draw: st.DrawFn) -> bytes:
    """Valid, and seldom of what is understood alone."""
    size = draw(st.integers(3, 40))
    program: list[Instruction] = [(LOAD, 0, 0, draw(st.sampled_from(FIELDS)))]
    for left in range(size - 3, -1, -1):
        code = draw(st.sampled_from((LOAD, AND, RETURN, JUMP, *[EQUAL] * 4, GREATER, GREATER_EQUAL, ANY_BIT)))
        value = draw(st.sampled_from(CONSTANTS))
        jumps = (0, 0)
        if code == LOAD:
            value = draw(st.sampled_from(FIELDS))
        elif code == RETURN:
            value = draw(st.sampled_from((ALLOW, EPERM, KILL)))
        elif code == JUMP:
            value = draw(st.integers(0, min(3, left)))
        elif code != AND:
            jumps = draw(st.integers(0, min(left, 6))), draw(st.integers(0, min(left, 6)))
        program.append((code, *jumps, value))
    return written(*program, (RETURN, 0, 0, draw(st.sampled_from((ALLOW, EPERM)))))


@settings(max_examples=300, deadline=None)
@given(st.one_of(understood(), understood(), programs()))
def test_any_program_is_answered_alike(program: bytes) -> None:
    small = compact(program)
    assert len(small) <= len(program)
    if small != program:
        values = around(CONSTANTS)
        arguments = [(low | high << 32,) * 2 for low, high in itertools.product((0, 1, 5, TOP), repeat=2)]
        arguments.append((5 << 32 | 3, 8 << 32 | 2))
        assert_same(program, small, (0, AUDIT_ARCH_I386, AUDIT_ARCH_X86_64), values, arguments)


def test_neighbours_with_one_answer_become_one_comparison() -> None:
    program = written(
        (LOAD, 0, 0, 0),
        *((EQUAL, 40 - at, 0, at + 10) for at in range(40)),
        (RETURN, 0, 0, EPERM),
        (RETURN, 0, 0, ALLOW),
    )
    small = compact(program)
    assert len(small) == 5 * 8
    assert_same(program, small, [0], [*range(60), *EDGES])


def test_comparisons_deeper_than_python_recurses_are_followed() -> None:
    checks = [(EQUAL, 0, 1, value) for value in range(1, 1500)]
    answers = [(RETURN, 0, 0, ALLOW | value & 1) for value in range(1, 1500)]
    program = written(
        (LOAD, 0, 0, 0),
        (EQUAL, 0, 0, 7),  # says nothing, and so makes room for a smaller program
        (LOAD, 0, 0, 16),
        *itertools.chain.from_iterable(zip(checks, answers, strict=True)),
        (RETURN, 0, 0, EPERM),
    )
    small = compact(program)
    assert len(small) < len(program)
    assert_same(
        program, small, [0], [0, 7], [(value,) for value in (0, 1, 2, 254, 255, 256, 1498, 1499, 1500)]
    )


@pytest.mark.parametrize("masks", [(0xFF, 0x0F), (0x0F, 0xFF), (0x0F, 0xF0), (TOP, 0x0F), (0,)])
@pytest.mark.parametrize("code", [EQUAL, GREATER, GREATER_EQUAL, ANY_BIT])
@pytest.mark.parametrize("value", [0, 5, 0xFF])
def test_masks_add_up(masks: Sequence[int], code: int, value: int) -> None:
    program = written(
        *[(LOAD, 0, 0, 16)] * 4,
        *((AND, 0, 0, mask) for mask in masks),
        (code, 0, 1, value),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, EPERM),
    )
    small = compact(program)
    assert len(small) < len(program)
    assert_same(program, small, [0], [0], [(argument,) for argument in range(0x200)])


def test_word_is_loaded_anew_for_another_mask() -> None:
    program = written(
        *[(LOAD, 0, 0, 16)] * 4,
        (AND, 0, 0, 0x0F),
        (EQUAL, 0, 3, 1),
        (LOAD, 0, 0, 16),
        (AND, 0, 0, 0xF0),
        (EQUAL, 1, 0, 0x10),
        (RETURN, 0, 0, EPERM),
        (RETURN, 0, 0, ALLOW),
    )
    small = compact(program)
    assert len(small) == 8 * 8
    assert_same(program, small, [0], [0], [(argument,) for argument in range(0x200)])


@pytest.mark.parametrize("odd", [0, 1])
def test_answers_at_the_edge_of_a_jump_are_reached(odd: int) -> None:
    """A ladder of decisions whose answers are both at its foot, in steps of two instructions."""
    graph = Graph()
    low, high, foot = (graph.answer(word) for word in (1, 2, 3))
    ladder: Node = foot if not odd else graph.decision((16, TOP), EQUAL, 1000, low, foot)
    for step in range(400, 0, -1):
        rung = graph.decision((16, TOP), GREATER, step * 2, high, low)
        ladder = graph.decision((16, TOP), GREATER_EQUAL, step * 2, rung, ladder)
    program = parse_classic(assemble(ladder))
    assert len(program) > 800 + 2 * 3
    for argument in range(900):
        expected = 3 if argument < 2 else 2 if argument > 2 else 1
        assert run_classic(program, nr=0, arch=0, args=(argument,)) == expected


def test_answer_that_depends_on_nothing_is_one_instruction() -> None:
    program = written((LOAD, 0, 0, 4), (EQUAL, 0, 1, 5), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ALLOW))
    assert compact(program) == written((RETURN, 0, 0, ALLOW))


PADDING = [(EQUAL, 0, 0, 1)] * 8
END = (RETURN, 0, 0, ALLOW)


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"\0" * 7,
        written((LOAD, 0, 0, 0)),
        written((LOAD, 0, 0, 2), *PADDING, END),
        written((LOAD, 0, 0, 64), *PADDING, END),
        written((LOAD, 0, 0, 0), *PADDING, (EQUAL, 1, 0, 1), END),
        written((LOAD, 0, 0, 0), *PADDING, (JUMP, 0, 0, 1), END),
        written((LOAD, 0, 0, 0), *PADDING, END, (0x07, 0, 0, 0), END),  # TAX, out of reach
        written((LOAD, 0, 0, 0), (0x44, 0, 0, 1), *PADDING, END),  # OR
        written((LOAD, 0, 0, 0), (AND, 0, 0, 1), *PADDING, END),
        written((LOAD, 0, 0, 0), *PADDING, (ANY_BIT, 0, 0, 1), END),
        written((LOAD, 0, 0, 4), *PADDING, (GREATER, 0, 0, 1), END),
        written(*PADDING, END),
        written((LOAD, 0, 0, 0), *PADDING, (0x16, 0, 0, 0)),  # the accumulator is returned
    ],
)
def test_what_is_not_understood_comes_back_as_it_is(program: bytes) -> None:
    assert compact(program) == program


def test_program_that_cannot_be_smaller_comes_back_as_it_is() -> None:
    program = written((LOAD, 0, 0, 0), (EQUAL, 1, 0, 9), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, EPERM))
    assert compact(program) == program


# ---- the kernel's view ----

INSTALL = """
import ctypes, sys
program = open(sys.argv[1], "rb").read()
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
buffer = ctypes.create_string_buffer(program, len(program))
filter = Program(len(program) // 8, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.syscall(317, 1, 0, ctypes.byref(filter)) == 0, ctypes.get_errno()  # SECCOMP_SET_MODE_FILTER
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, args))
    return ctypes.get_errno() if result < 0 else 0
print(call(39), call(250, 0, 0, 0), call(600), call(41, 40, 1, 0), call(135, 0xFFFFFFFF), call(135, 5))
"""


@needs_libseccomp
@needs_x86
def test_kernel_takes_the_small_filter_and_answers_alike(tmp_path: Path) -> None:
    program = large(docker(*DEFAULT))
    answers = []
    for filter_ in (program, compact(program)):
        (tmp_path / "filter").write_bytes(filter_)
        command = [sys.executable, "-c", INSTALL, str(tmp_path / "filter")]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        answers.append([int(word) for word in result.stdout.split()])
    assert answers[0] == answers[1] == [0, errno.EPERM, errno.ENOSYS, errno.EPERM, 0, errno.EPERM]
