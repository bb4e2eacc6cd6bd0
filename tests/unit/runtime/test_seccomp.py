"""Filters are compiled for real, read by an interpreter, and installed in child processes."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.capabilities import DEFAULT
from containerlib.bundles.seccomp import resolve
from containerlib.errors import InvalidArgument
from containerlib.runtime.seccomp.compiler import compile_section
from containerlib.runtime.seccomp.filters import FilterCache, compiled
from containerlib.runtime.seccomp.syscalls import ARCHITECTURES
from containerlib.spec.seccomp import SeccompSection
from rig.bpf import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, parse_classic, run_classic

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the expectations are in x86_64's system call numbers"
)

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
X32 = 0x40000000
CLONE_NEWUSER = 0x10000000
# linux/unistd.h, x86_64
CALLS = {
    "read": 0, "mmap": 9, "socket": 41, "clone": 56, "personality": 135, "chroot": 161, "mount": 165, "reboot": 169,
    "keyctl": 250, "unshare": 272, "bpf": 321, "clone3": 435, "fchmodat2": 452, "mseal": 462, "removexattrat": 466,
}  # fmt: skip


def default(*extra: str) -> SeccompSection:
    return resolve(None, frozenset({*DEFAULT, *extra}), "amd64", (6, 1))


def answer(program: list[tuple[int, int, int, int]], name: str, *args: int) -> int:
    return run_classic(program, nr=CALLS[name], arch=AUDIT_ARCH_X86_64, args=args)


@pytest.fixture(scope="module")
def program() -> list[tuple[int, int, int, int]]:
    return parse_classic(compiled(default()))


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("read", (), ALLOW),
        ("mmap", (), ALLOW),
        ("keyctl", (), ERRNO | errno.EPERM),
        ("mount", (), ERRNO | errno.EPERM),
        ("unshare", (CLONE_NEWUSER,), ERRNO | errno.EPERM),
        ("clone", (0x11,), ALLOW),
        ("clone", (CLONE_NEWUSER,), ERRNO | errno.EPERM),
        ("clone3", (), ERRNO | errno.ENOSYS),
        ("chroot", (), ALLOW),
        ("reboot", (), ERRNO | errno.EPERM),
        ("socket", (2,), ALLOW),
        ("socket", (38,), ERRNO | errno.EPERM),
        ("socket", (40,), ERRNO | errno.EPERM),
        ("fchmodat2", (), ALLOW),
        ("mseal", (), ALLOW),
        ("removexattrat", (), ALLOW),
    ],
)
def test_default_filter_answers_as_dockers_profile_says(
    program: list[tuple[int, int, int, int]], name: str, args: tuple[int, ...], expected: int
) -> None:
    assert answer(program, name, *args) == expected


def test_capability_opens_what_goes_with_it() -> None:
    admin = parse_classic(compiled(default("CAP_SYS_ADMIN")))
    for name in ("mount", "clone3", "unshare", "bpf"):
        assert answer(admin, name) == ALLOW
    assert answer(admin, "reboot") == ERRNO | errno.EPERM


def test_every_call_is_judged_as_the_section_says(program: list[tuple[int, int, int, int]]) -> None:
    """All x86_64 calls, with the rules without comparisons as the expectation."""
    plain: dict[int, int] = {}
    conditional: set[int] = set()
    for rule in default()["syscalls"]:
        for name in rule["names"]:
            number = ARCHITECTURES["SCMP_ARCH_X86_64"].numbers.get(name)
            if number is None:
                continue
            if rule.get("args"):
                conditional.add(number)
            else:
                plain[number] = ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else ERRNO | rule["errnoRet"]
    assert len(plain) > 280
    for number in range(457):
        if number not in conditional:
            expected = plain.get(number, ERRNO | errno.EPERM)
            assert run_classic(program, nr=number, arch=AUDIT_ARCH_X86_64) == expected, number


def test_call_newer_than_the_profile_is_enosys_and_one_it_refuses_is_eperm(
    program: list[tuple[int, int, int, int]],
) -> None:
    for arch in (AUDIT_ARCH_X86_64, AUDIT_ARCH_I386):
        assert run_classic(program, nr=600, arch=arch) == ERRNO | errno.ENOSYS
        assert run_classic(program, nr=466, arch=arch) == ALLOW
        assert run_classic(program, nr=460, arch=arch) == ERRNO | errno.EPERM  # lsm_set_self_attr


def test_other_architectures_of_the_machine_are_filtered_too(
    program: list[tuple[int, int, int, int]],
) -> None:
    assert run_classic(program, nr=3, arch=AUDIT_ARCH_I386) == ALLOW  # read
    assert run_classic(program, nr=21, arch=AUDIT_ARCH_I386) == ERRNO | errno.EPERM  # mount
    assert run_classic(program, nr=X32 | 0, arch=AUDIT_ARCH_X86_64) == ALLOW  # read
    assert run_classic(program, nr=X32 | CALLS["mount"], arch=AUDIT_ARCH_X86_64) == ERRNO | errno.EPERM
    assert run_classic(program, nr=0, arch=0xC00000B7) == 0  # aarch64: killed


def test_profile_that_allows_by_default_says_nothing_of_new_calls() -> None:
    section = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
    }
    program = parse_classic(compiled(section))
    assert run_classic(program, nr=83, arch=AUDIT_ARCH_X86_64) == ERRNO | errno.EACCES
    assert run_classic(program, nr=900, arch=AUDIT_ARCH_X86_64) == ALLOW


def compare(op: str, value: int, *args: int, value_two: int = 0, index: int = 0) -> int:
    comparison = {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}
    section = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mmap"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [comparison]}],
    }
    return run_classic(parse_classic(compiled(section)), nr=CALLS["mmap"], arch=AUDIT_ARCH_X86_64, args=args)


@pytest.mark.parametrize(
    ("op", "value", "hit", "miss"),
    [
        ("EQ", 1 << 40, 1 << 40, 0),
        ("NE", 5, 6, 5),
        ("LT", 5, 4, 5),
        ("LE", 5, 5, 6),
        ("GE", 5, 5, 4),
        ("GT", 1 << 33, (1 << 33) + 1, 1 << 33),
    ],
)
def test_arguments_are_compared_in_all_their_64_bits(op: str, value: int, hit: int, miss: int) -> None:
    assert compare(op, value, hit) == ERRNO | 7
    assert compare(op, value, miss) == ALLOW


def test_masked_comparison_takes_the_mask_first() -> None:
    assert compare("MASKED_EQ", 0xF0, 0x5A, value_two=0x50) == ERRNO | 7
    assert compare("MASKED_EQ", 0xF0, 0x6A, value_two=0x50) == ALLOW


def test_names_of_bytes_that_are_no_text_are_passed_over() -> None:
    section = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["\udc80"], "action": "SCMP_ACT_ALLOW"}],
    }
    assert compile_section(section)


def test_architecture_that_is_there_many_times_is_compiled_once() -> None:
    rules = [{"names": ["read"] * 1000, "action": "SCMP_ACT_ALLOW"}]
    section = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}
    many = {**section, "architectures": ["SCMP_ARCH_X86_64"] * 1000}
    started = time.thread_time()
    assert compile_section(many) == compile_section(section)
    assert time.thread_time() - started < 1.0


def test_unknown_names_and_architectures_are_passed_over() -> None:
    section = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_PDP11"],
        "syscalls": [{"names": ["no_such_call", "mkdir"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    assert run_classic(parse_classic(compiled(section)), nr=83, arch=AUDIT_ARCH_X86_64) == 0x80000000


@pytest.mark.parametrize("section", [{}, {"defaultAction": "SCMP_ACT_NONE"}])
def test_section_without_a_usable_action_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        compiled(section)
    assert caught.value.field == "seccomp"


# ---- the cache ----

SMALL = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_LOG"}]}


class Compiler:
    """The real one, counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, section: Mapping[str, Any]) -> bytes:
        self.calls += 1
        return compile_section(section)


def test_filter_is_compiled_once_and_then_found_in_memory() -> None:
    compiler = Compiler()
    cache = FilterCache(compiler)
    assert cache.get(dict(reversed(SMALL.items()))) == cache.get(SMALL) == compile_section(SMALL)
    assert compiler.calls == 1


def test_filter_of_another_process_is_found_on_disk(tmp_path: Path) -> None:
    compiler = Compiler()
    first = FilterCache(compiler).get(SMALL, tmp_path / "cache")
    assert FilterCache(compiler).get(SMALL, tmp_path / "cache") == first
    assert compiler.calls == 1
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".bpf"]
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, None])
def test_damaged_file_is_compiled_anew(damage: bytes | None, tmp_path: Path) -> None:
    compiler = Compiler()
    first = FilterCache(compiler).get(SMALL, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-8] if damage is None else damage)
    assert FilterCache(compiler).get(SMALL, tmp_path) == first
    assert compiler.calls == 2


def test_file_of_another_section_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """Two sections may have the same checksum, which names the file."""
    other = {**SMALL, "defaultAction": "SCMP_ACT_LOG"}
    for section, name in ((SMALL, "small"), (other, "other")):
        FilterCache().get(section, tmp_path / name)
    (small,), (others,) = (tuple((tmp_path / name).iterdir()) for name in ("small", "other"))
    others.replace(small)
    assert FilterCache().get(SMALL, tmp_path / "small") == compile_section(SMALL)


def test_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert FilterCache().get(SMALL, tmp_path / "file" / "cache") == compile_section(SMALL)


# ---- the kernel's view ----

INSTALL = """
import ctypes, os, sys
program = open(sys.argv[1], "rb").read()
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
buffer = ctypes.create_string_buffer(program, len(program))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, ctypes.addressof(buffer)))) == 0, ctypes.get_errno()
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, args))
    return ctypes.get_errno() if result < 0 else 0
fork = os.waitpid(os.fork() or os._exit(0), 0)[1]
print(call(250, 0, 0, 0), call(272, 0x10000000), call(435, 0, 0), call(600), call(41, 38, 1, 0), call(39), fork)
"""


def test_kernel_takes_the_filter_and_answers_as_the_profile_says(tmp_path: Path) -> None:
    (tmp_path / "filter").write_bytes(compiled(default()))
    result = subprocess.run(
        [sys.executable, "-c", INSTALL, str(tmp_path / "filter")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    keyctl, unshare, clone3, newer, af_alg, getpid, fork = map(int, result.stdout.split())
    assert (keyctl, unshare, clone3) == (errno.EPERM, errno.EPERM, errno.ENOSYS)
    assert (newer, af_alg) == (errno.ENOSYS, errno.EPERM)
    assert (getpid, fork) == (0, 0)


UPPER = 1 << 32


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("socket", (38 | UPPER,), ERRNO | errno.EPERM),
        ("socket", (40 | UPPER,), ERRNO | errno.EPERM),
        ("socket", (40 | UPPER << 31,), ERRNO | errno.EPERM),
        ("socket", (2 | UPPER,), ALLOW),
        ("personality", (0x40000 | UPPER,), ERRNO | errno.EPERM),
        ("personality", (0xFFFFFFFFFFFFFFFF,), ALLOW),
        ("clone", (CLONE_NEWUSER | UPPER,), ERRNO | errno.EPERM),
        ("clone", (0x11 | UPPER,), ALLOW),
    ],
)
def test_default_filter_looks_at_the_bits_that_the_kernel_reads(
    program: list[tuple[int, int, int, int]], name: str, args: tuple[int, ...], expected: int
) -> None:
    assert answer(program, name, *args) == expected


@pytest.mark.parametrize(
    ("op", "value", "hits", "misses"),
    [
        ("EQ", 5, (5, 5 | UPPER), (6, UPPER)),
        ("EQ", 2**64 - 1, (2**32 - 1, 2**64 - 1), (0, 1)),
        ("EQ", 5 | UPPER, (), (5, 5 | UPPER)),
        ("NE", 5, (6, 6 | UPPER), (5, 5 | UPPER)),
        ("LT", 5, (4, 4 | UPPER), (5, 5 | UPPER)),
        ("LT", UPPER, (0, 2**32 - 1, UPPER), ()),
        ("GT", 5, (6, 6 | UPPER), (5, UPPER)),
        ("GE", UPPER, (), (0, 2**32 - 1, UPPER)),
    ],
)
def test_comparison_of_a_descriptor_is_of_its_32_bits(
    op: str, value: int, hits: tuple[int, ...], misses: tuple[int, ...]
) -> None:
    rule = {
        "names": ["read"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": 7,
        "args": [{"index": 0, "op": f"SCMP_CMP_{op}", "value": value}],
    }
    found = parse_classic(compiled({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    assert {answer(found, "read", argument) for argument in hits} <= {ERRNO | 7}
    assert {answer(found, "read", argument) for argument in misses} <= {ALLOW}


@pytest.mark.parametrize("call", range(1, 21))
def test_default_filter_opens_no_socket_by_the_call_that_x86_has_for_all(
    program: list[tuple[int, int, int, int]], call: int
) -> None:
    """socketcall(SYS_SOCKET, ...) has the family behind a pointer; the others need a socket."""
    socketcall = ARCHITECTURES["SCMP_ARCH_X86"].numbers["socketcall"]
    word = run_classic(program, nr=socketcall, arch=AUDIT_ARCH_I386, args=(call, 40))
    assert word == (ERRNO | errno.EPERM if call == 1 else ALLOW)
