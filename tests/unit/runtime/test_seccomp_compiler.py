"""Filters do as their profiles say: by an interpreter, held against a plain reading of the rules and libseccomp."""

from __future__ import annotations

import functools
import itertools
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containerlib.bundles.capabilities import DEFAULT
from containerlib.bundles.seccomp import resolve
from containerlib.errors import InvalidArgument
from containerlib.runtime.seccomp.compiler import compile_section
from containerlib.runtime.seccomp.rules import action_word
from containerlib.runtime.seccomp.syscalls import ARCHITECTURES, MULTIPLEXED
from rig.bpf import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, parse_classic, run_classic
from rig.libseccomp import compile_filter, name_of, needs_libseccomp, pseudo_number, resolve_syscall

needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="libseccomp's native filter is another")

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0
AUDIT_ARCH_AARCH64 = 0xC00000B7
X32 = 0x40000000
TOP = 0xFFFFFFFF
WIDEST = 2**64 - 1
GETPID = 39


def around(values: Iterable[int], top: int = WIDEST) -> list[int]:
    """Each value, its neighbours, and what its bits may be confused with."""
    near = {value + step for value in values for step in (-1, 0, 1)} | {0, top}
    return sorted(value for value in near if 0 <= value <= top)


def docker(*capabilities: str) -> Mapping[str, Any]:
    return resolve(None, frozenset(capabilities), "amd64", (6, 1))


# ---- the numbers ----


@needs_libseccomp
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_number_that_libseccomp_knows_is_in_the_table(architecture: str) -> None:
    known = ARCHITECTURES[architecture]
    names = {number: name for name, number in known.numbers.items()}
    private = range(0xF0000, 0xF0010)
    theirs = {
        number: name
        for number in (*range(known.first, known.first + 600), *private)
        if (name := name_of(number, architecture))
    }
    assert len(theirs) > 300
    assert {number: names.get(number) for number in theirs} == theirs


@needs_libseccomp
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_name_of_the_table_has_libseccomps_number_where_it_knows_one(architecture: str) -> None:
    numbers = ARCHITECTURES[architecture].numbers
    theirs = {name: resolve_syscall(name, architecture) for name in numbers}
    known = {name: number for name, number in theirs.items() if number is not None}
    assert len(known) > 300
    assert {name: numbers[name] for name in known} == known


@needs_libseccomp
def test_calls_that_x86_has_as_one_are_those_of_libseccomp() -> None:
    """It has pseudo numbers for them, from -101 and from -201 on."""
    for name, (call, which) in MULTIPLEXED.items():
        assert pseudo_number(name, "SCMP_ARCH_X86") == -(100 if call == "socketcall" else 200) - which


# ---- Docker's profile ----


_KNOWN = [number for number in range(451) if number not in (335, 336)]  # uretprobe and uprobe are newer
NUMBERS: Mapping[int, Sequence[int]] = {
    AUDIT_ARCH_X86_64: [*_KNOWN, *(number | X32 for number in (*_KNOWN, *range(512, 548))), TOP],
    AUDIT_ARCH_I386: [*_KNOWN, TOP],
    AUDIT_ARCH_AARCH64: [0, 1, 450],
    0: [0],
}
"""Each up to the newest that libseccomp knows, behind which ours says ENOSYS."""


INT = TOP
READ: Mapping[str, Mapping[int, int]] = {
    "read": {0: INT},
    "ioctl": {0: INT, 1: INT},
    "clone": {0: INT},
    "personality": {0: INT},
    "socket": {0: INT, 1: INT, 2: INT},
    "shmget": {0: INT, 2: INT},
    "openat2": {0: INT},
    "chmod": {1: 0xFFFF},
}
"""By the kernel's prototypes of the calls below: the bits that it reads of an argument where these are not all 64."""


def read_by_kernel(arch: int, nr: int, args: Sequence[int]) -> list[int]:
    masks = READ.get(name_at(arch, nr), {})
    return [value & masks.get(position, WIDEST) for position, value in enumerate(args)]


@functools.cache
def name_at(arch: int, nr: int) -> str:
    known = (kind.numbers for kind in ARCHITECTURES.values() if kind.audit == arch)
    return next((name for numbers in known for name, number in numbers.items() if number == nr), "")


def as_read(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section with a rule a name, whose numbers are bound to the bits that the kernel reads of it."""
    rules = [
        {**rule, "names": [name], "args": [bound(arg, READ.get(name, {})) for arg in rule.get("args") or ()]}
        for rule in section["syscalls"]
        for name in rule["names"]
    ]
    return {**section, "syscalls": rules}


def bound(arg: Mapping[str, Any], masks: Mapping[int, int]) -> dict[str, Any]:
    """Masks lose the bits that the kernel does not read; other numbers are as written, but a negative int."""
    mask = masks.get(arg["index"], WIDEST)
    op, value, two = arg["op"], arg["value"], arg.get("valueTwo", 0)
    if op == "SCMP_CMP_MASKED_EQ" and value != WIDEST:
        return {**arg, "value": value & mask, "valueTwo": two & value & mask}
    if op == "SCMP_CMP_MASKED_EQ":
        op, value = "SCMP_CMP_EQ", two
    return {**arg, "op": op, "value": value & mask if value >= 2**64 - 2**31 else value}


def assert_same(
    section: Mapping[str, Any], numbers: Mapping[int, Sequence[int]], arguments: Sequence[Sequence[int]]
) -> None:
    """libseccomp compares 64 bits of every argument: it is given those that the kernel reads, and a rule of them."""
    ours, theirs = parse_classic(compile_section(section)), parse_classic(compile_filter(as_read(section)))
    for arch, nrs in numbers.items():
        for nr, args in itertools.product(nrs, arguments):
            expected = run_classic(theirs, nr=nr, arch=arch, args=read_by_kernel(arch, nr, args))
            assert run_classic(ours, nr=nr, arch=arch, args=args) == expected, (hex(arch), nr, args)


@needs_libseccomp
@needs_x86
@pytest.mark.parametrize(
    "capabilities", [(), DEFAULT, (*DEFAULT, "CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYS_PTRACE")]
)
def test_every_number_of_dockers_profile_is_answered_as_libseccomp_does(capabilities: Sequence[str]) -> None:
    section = docker(*capabilities)
    assert_same(section, NUMBERS, [(0,) * 6, (WIDEST,) * 6])


@needs_libseccomp
@needs_x86
@pytest.mark.parametrize("abi", ["X86_64", "X86", "X32"])
def test_every_argument_that_dockers_profile_reads_is_judged_as_libseccomp_does(abi: str) -> None:
    rules = [rule for rule in docker(*DEFAULT)["syscalls"] if rule.get("args")]
    names = {name for rule in rules for name in rule["names"]}
    assert names == {"clone", "personality", "socket"}
    values = {
        arg[key] for rule in rules for arg in rule["args"] for key in ("value", "valueTwo") if key in arg
    }
    values |= {1 << bit for bit in range(64)} | {value | 1 << 32 for value in values}
    values |= {value << 32 for value in values if value <= TOP}
    arguments = [(value, *rest) for value in around(values) for rest in ((0,) * 5, (value,) * 5)]
    architecture = ARCHITECTURES[f"SCMP_ARCH_{abi}"]
    numbers = [architecture.numbers[name] for name in sorted(names)]
    assert_same(docker(*DEFAULT), {architecture.audit: numbers}, arguments)


@needs_libseccomp
@needs_x86
def test_dockers_profile_is_a_fifth_of_libseccomps_size() -> None:
    section = docker(*DEFAULT)
    assert len(compile_section(section)) < len(compile_filter(section)) / 5


# ---- any profile, by a plain reading of it ----

Section = dict[str, Any]
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
NAMES = (
    "read",
    "getpid",
    "ioctl",
    "clone",
    "socket",
    "shmget",
    "mount",
    "openat2",
    "mseal",
    "breakpoint",
    "chmod",
)
WORDS = st.one_of(
    st.sampled_from((0, 1, 2, 3, 5, TOP, 1 << 32, (1 << 32) + 5, TOP << 32, WIDEST)), st.integers(0, WIDEST)
)
ACTIONS = st.fixed_dictionaries(
    {
        "action": st.sampled_from(
            [f"SCMP_ACT_{name}" for name in ("ALLOW", "ERRNO", "KILL", "TRAP", "LOG", "TRACE")]
        )
    },
    optional={"errnoRet": st.integers(0, 4094)},
)
COMPARISONS = st.fixed_dictionaries(
    {
        "index": st.integers(0, 2),
        "op": st.sampled_from([f"SCMP_CMP_{name}" for name in OPERATORS]),
        "value": WORDS,
        "valueTwo": WORDS,
    }
)
RULES = st.builds(
    lambda names, action, args: {"names": names, **action, "args": args},
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    ACTIONS,
    st.lists(COMPARISONS, max_size=3),
)
SECTIONS = st.builds(
    lambda default, architectures, rules: {
        "defaultAction": default["action"],
        "defaultErrnoRet": default.get("errnoRet", 1),
        "architectures": [f"SCMP_ARCH_{name}" for name in architectures],
        "syscalls": rules,
    },
    ACTIONS,
    st.lists(st.sampled_from(("X86_64", "X86", "X32", "AARCH64", "ARM", "PDP11")), unique=True),
    st.lists(RULES, max_size=6),
)


def holds(arg: Mapping[str, Any], argument: int, mask: int, *, is_32bit: bool) -> bool:
    arg = bound(arg, {arg["index"]: mask})
    narrow = TOP if is_32bit else WIDEST
    value, two, argument = arg["value"] & narrow, arg["valueTwo"] & narrow, argument & mask & narrow
    return {
        "NE": argument != value,
        "LT": argument < value,
        "LE": argument <= value,
        "EQ": argument == value,
        "GE": argument >= value,
        "GT": argument > value,
        "MASKED_EQ": argument & value == two & value,
    }[arg["op"].removeprefix("SCMP_CMP_")]


def matches(
    rule: Mapping[str, Any], args: Sequence[int], masks: Mapping[int, int], *, is_32bit: bool
) -> bool:
    """Of two comparisons of one argument either will do."""
    found = [
        holds(arg, args[arg["index"]], masks.get(arg["index"], WIDEST), is_32bit=is_32bit)
        for arg in rule["args"]
    ]
    twice = len({arg["index"] for arg in rule["args"]}) < len(rule["args"])
    return any(found) if twice else all(found)


def answers(section: Section, architecture: str, name: str, args: Sequence[int]) -> set[int]:
    """What the profile may be understood to say of a call that it names."""
    default = action_word(section["defaultAction"], section["defaultErrnoRet"])
    rules = [
        (action_word(rule["action"], rule.get("errnoRet")), rule)
        for rule in section["syscalls"]
        if name in rule["names"]
    ]
    rules = [(word, rule) for word, rule in rules if word != default]
    plain = [word for word, rule in rules if not rule["args"]]
    is_32bit = ARCHITECTURES[architecture].is_32bit
    found = {word for word, rule in rules if matches(rule, args, READ.get(name, {}), is_32bit=is_32bit)}
    return {plain[0]} if plain else found or {default}


@settings(max_examples=150, deadline=None)
@given(SECTIONS, st.lists(st.tuples(*[WORDS] * 3), min_size=5, max_size=20))
def test_call_is_answered_by_a_rule_that_matches_it(
    section: Section, arguments: list[tuple[int, ...]]
) -> None:
    program = parse_classic(compile_section(section, "x86_64"))
    compared = [arg for rule in section["syscalls"] for arg in rule["args"]]
    values = around({arg[key] for arg in compared for key in ("value", "valueTwo")})[:40]
    arguments += [(value,) * 3 for value in values] + [(*pair, 0) for pair in itertools.pairwise(values)]
    kinds = {"SCMP_ARCH_X86_64", *section["architectures"]} & ARCHITECTURES.keys()
    for kind, name in itertools.product(sorted(kinds), NAMES):
        architecture = ARCHITECTURES[kind]
        if name not in architecture.numbers or not any(name in rule["names"] for rule in section["syscalls"]):
            continue
        for args in arguments:
            padded = [*args, *[0] * (6 - len(args))]
            answer = run_classic(program, nr=architecture.numbers[name], arch=architecture.audit, args=padded)
            assert answer in answers(section, kind, name, padded), (kind, name, args)


@settings(max_examples=100, deadline=None)
@given(SECTIONS)
def test_call_that_is_not_named_gets_the_default_or_is_newer(section: Section) -> None:
    program = parse_classic(compile_section(section, "x86_64"))
    default = action_word(section["defaultAction"], section["defaultErrnoRet"])
    refuses = section["defaultAction"] not in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
    named = {name for rule in section["syscalls"] for name in rule["names"]}
    for kind in sorted({"SCMP_ARCH_X86_64", *section["architectures"]} & ARCHITECTURES.keys()):
        architecture = ARCHITECTURES[kind]
        numbers = {architecture.numbers[name] for name in named & architecture.numbers.keys()}
        newest = max((n for n in numbers if n - architecture.first < 0x10000), default=architecture.first)
        for number in {architecture.first + step for step in (1, 2, 100, 334, 423, 461, 470, 5000)} - numbers:
            if kind == "SCMP_ARCH_X86" and number in (102, 117):  # what several of them are together
                continue
            expected = ENOSYS if refuses and number > newest else default
            assert run_classic(program, nr=number, arch=architecture.audit) == expected, (kind, number)
        assert run_classic(program, nr=TOP, arch=architecture.audit) == default


@settings(max_examples=50, deadline=None)
@given(SECTIONS)
def test_architecture_that_is_not_the_profiles_is_killed(section: Section) -> None:
    program = parse_classic(compile_section(section, "x86_64"))
    audits = {
        ARCHITECTURES[kind].audit
        for kind in {"SCMP_ARCH_X86_64", *section["architectures"]} & ARCHITECTURES.keys()
    }
    for arch in {known.audit for known in ARCHITECTURES.values()} | {0, TOP}:
        if arch not in audits:
            assert run_classic(program, nr=0, arch=arch) == KILL
    if "SCMP_ARCH_X32" not in section["architectures"]:
        for number in (X32, X32 + 1, 0x80000000, TOP - 1):
            assert run_classic(program, nr=number, arch=AUDIT_ARCH_X86_64) == KILL


# ---- what libseccomp can be trusted with: one rule with comparisons for a call ----


def only_one_compares(section: Section) -> Section:
    """A call has one rule with comparisons, or any number without, all with one action."""
    seen: set[str] = set()
    kept = []
    for rule in section["syscalls"]:
        names = [name for name in rule["names"] if name not in seen]
        seen.update(names)
        if names and len({arg["index"] for arg in rule["args"]}) == len(rule["args"]):
            kept.append({**rule, "names": names})
    return {**section, "syscalls": kept}


@needs_libseccomp
@needs_x86
@settings(max_examples=60, deadline=None)
@given(SECTIONS.map(only_one_compares))
def test_section_is_compiled_as_libseccomp_does(section: Section) -> None:
    values = around(
        {arg[k] for rule in section["syscalls"] for arg in rule["args"] for k in ("value", "valueTwo")}
    )
    arguments = [(value,) * 6 for value in values]
    arguments += [tuple(values[(at + step) % len(values)] for step in range(6)) for at in range(len(values))]
    named = {name for rule in section["syscalls"] for name in rule["names"]}
    # libseccomp allows all of a call that x86 has with others where a rule allows some of it
    behind_pointers = any(
        rule["args"] and set(rule["names"]) & MULTIPLEXED.keys() for rule in section["syscalls"]
    )
    numbers: dict[int, list[int]] = {}
    for kind in ("X86_64", "X86", "X32", "AARCH64", "ARM"):
        known = ARCHITECTURES[f"SCMP_ARCH_{kind}"]
        found = [resolve_syscall(name, f"SCMP_ARCH_{kind}") for name in sorted(named)]
        is_shared = kind == "X86" and max((n or 0 for n in found), default=0) > 117 and not behind_pointers
        shared = [102, 117] if is_shared else []
        numbers.setdefault(known.audit, []).extend([*shared, *(n for n in found if n is not None)])
    assert_same(section, numbers, arguments)


# ---- what libseccomp does not compile, or wrongly ----


def errno_rules(*rules: Sequence[tuple[int, str, int]], name: str = "getpid") -> Section:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {
                "names": [name],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": number,
                "args": [{"index": i, "op": f"SCMP_CMP_{op}", "value": value} for i, op, value in rule],
            }
            for number, rule in enumerate(rules, 1)
        ],
    }


def judge(section: Section, *args: int, nr: int = GETPID) -> int:
    """The errno of a call; 0: it is allowed."""
    word = run_classic(
        parse_classic(compile_section(section, "x86_64")), nr=nr, arch=AUDIT_ARCH_X86_64, args=args
    )
    return 0 if word == ALLOW else word & 0xFFFF


@pytest.mark.timeout(20)
def test_two_rules_of_two_comparisons_each_are_compiled() -> None:
    """libseccomp 2.5.4 does not come back from the smallest of these."""
    section = errno_rules([(0, "NE", 1), (1, "LT", 2)], [(0, "NE", 1), (1, "EQ", 2)])
    assert [judge(section, 0, second) for second in (1, 2, 3)] == [1, 2, 0]
    assert [judge(section, 1, second) for second in (1, 2, 3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("rules", "args"),
    [
        (([(0, "LE", 0)], [(0, "LT", (1 << 32) + 5)]), (5,)),
        (([(0, "LT", 1 << 32)], [(0, "LE", 1)]), (2,)),
        (([(0, "LE", (2 << 32) + 1)], [(0, "LT", 5)]), (5,)),
        (([(0, "GE", 255)], [(0, "GE", 2), (1, "EQ", 0)]), (2, 0)),
    ],
)
def test_rule_is_not_lost_beside_another(
    rules: Sequence[Sequence[tuple[int, str, int]]], args: Sequence[int]
) -> None:
    """libseccomp 2.5.4 allows these calls, each of which a rule refuses."""
    assert judge(errno_rules(*rules), *args) != 0


# ---- which of several ----


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    ("special", "general", "args"),
    [
        ([(0, "EQ", 5)], [(0, "LT", 9)], (5,)),
        ([(0, "EQ", 5)], [(0, "GE", 3)], (5,)),
        ([(0, "LT", 9)], [(0, "GT", 3)], (5,)),
        ([(0, "GE", 5)], [(0, "GE", 3)], (6,)),
        ([(0, "LE", 5)], [(0, "LE", 7)], (4,)),
        ([(1, "GT", 5)], [(0, "EQ", 1)], (1, 6)),
    ],
)
def test_more_special_rule_decides_whatever_the_order(
    special: Sequence[tuple[int, str, int]],
    general: Sequence[tuple[int, str, int]],
    args: Sequence[int],
    swap: bool,
) -> None:
    rules = (general, special) if swap else (special, general)
    assert judge(errno_rules(*rules), *args) == 1 + swap


def test_first_rule_of_two_alike_decides() -> None:
    rule = [(0, "EQ", 1)]
    assert judge(errno_rules(rule, rule), 1) == 1
    assert judge(errno_rules([*rule, (1, "EQ", 2)], [*rule, (1, "GE", 1)]), 1, 2) == 1


def test_rule_without_comparisons_is_an_answer_to_all() -> None:
    assert judge(errno_rules([(0, "EQ", 1)], []), 1) == 2
    assert judge(errno_rules([], [(0, "EQ", 1)]), 1) == 1


# ---- bounds ----


@pytest.mark.parametrize("index", [-1, 6, 2**32])
def test_argument_that_no_call_has_is_refused(index: int) -> None:
    with pytest.raises(InvalidArgument, match="6 arguments"):
        compile_section(errno_rules([(index, "EQ", 1)]))


def test_filter_beyond_the_kernels_length_is_refused() -> None:
    section = errno_rules(*([(i % 6, "EQ", i << 33 | i)] for i in range(2500)))
    with pytest.raises(InvalidArgument, match="4096"):
        compile_section(section)


def test_filter_beyond_the_reach_of_a_jump_is_answered_as_its_profile_says() -> None:
    section = errno_rules(*([(0, "EQ", value)] for value in range(0, 3000, 3)))
    program = parse_classic(compile_section(section, "x86_64"))
    assert len(program) > 3 * 256
    for value in range(3000):
        word = run_classic(program, nr=GETPID, arch=AUDIT_ARCH_X86_64, args=[value])
        assert word == (ALLOW if value % 3 else 0x00050000 | value // 3 + 1)
