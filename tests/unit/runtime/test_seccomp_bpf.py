"""Graphs of decisions become programs that decide alike, with each part of them once."""

from __future__ import annotations

import struct

import pytest

from containerlib.runtime.seccomp.bpf import (
    ARCHITECTURE,
    FULL,
    JUMP_EQUAL,
    JUMP_GREATER,
    JUMP_GREATER_EQUAL,
    NUMBER,
    Graph,
    Node,
    assemble,
    behind,
)
from containerlib.runtime.seccomp.search import Search
from rig.bpf import parse_classic, run_classic

ALLOW, EPERM = 0x7FFF0000, 0x00050001
LOAD, AND, RETURN, EQUAL = 0x20, 0x54, 0x06, 0x15
LOW = (16, FULL)

Instruction = tuple[int, int, int, int]


def written(*instructions: Instruction) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def test_answer_that_depends_on_nothing_is_one_instruction() -> None:
    graph = Graph()
    allow = graph.answer(ALLOW)
    assert assemble(graph.decision(ARCHITECTURE, JUMP_EQUAL, 5, allow, allow)) == written(
        (RETURN, 0, 0, ALLOW)
    )


def test_equal_parts_are_one_node() -> None:
    graph = Graph()
    deny, allow = graph.answer(EPERM), graph.answer(ALLOW)
    assert graph.answer(EPERM) is deny
    assert graph.decision(NUMBER, JUMP_EQUAL, 1, deny, allow) is graph.decision(
        NUMBER, JUMP_EQUAL, 1, deny, allow
    )


def test_word_is_loaded_anew_for_another_mask() -> None:
    graph = Graph()
    deny, allow = graph.answer(EPERM), graph.answer(ALLOW)
    inner = graph.decision((16, 0xF0), JUMP_EQUAL, 0x10, allow, deny)
    program = assemble(graph.decision((16, 0x0F), JUMP_EQUAL, 1, inner, deny))
    assert len(program) == 8 * 8
    for argument in range(0x200):
        expected = ALLOW if argument & 0xFF == 0x11 else EPERM
        assert run_classic(parse_classic(program), nr=0, arch=0, args=(argument,)) == expected


def test_test_is_not_made_twice_on_one_way() -> None:
    graph = Graph()
    one, two, none = (graph.answer(word) for word in (1, 2, 3))
    high = ((20, FULL), JUMP_EQUAL, 0)
    rest = graph.test(high, graph.test((LOW, JUMP_EQUAL, 8), two, none), none)
    both = graph.test(high, graph.test((LOW, JUMP_EQUAL, 7), one, behind(rest, high, True)), rest)
    program = parse_classic(assemble(both))
    assert [value for code, _, _, value in program if code == EQUAL] == [0, 7, 8]
    assert [run_classic(program, nr=0, arch=0, args=(a,)) for a in (7, 8, 9, 7 | 1 << 32)] == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("word", "code", "value", "holds"),
    [
        ((16, 0), JUMP_EQUAL, 0, True),
        (LOW, JUMP_GREATER_EQUAL, 0, True),
        (LOW, JUMP_GREATER, FULL, False),
    ],
)
def test_test_whose_outcome_is_known_is_none(
    word: tuple[int, int], code: int, value: int, holds: bool
) -> None:
    graph = Graph()
    then, otherwise = graph.answer(1), graph.answer(2)
    assert graph.test((word, code, value), then, otherwise) is (then if holds else otherwise)


@pytest.mark.parametrize("odd", [0, 1])
def test_answers_at_the_edge_of_a_jump_are_reached(odd: int) -> None:
    """A ladder of decisions whose answers are both at its foot, in steps of two instructions."""
    graph = Graph()
    low, high, foot = (graph.answer(word) for word in (1, 2, 3))
    ladder: Node = foot if not odd else graph.decision(LOW, JUMP_EQUAL, 1000, low, foot)
    for step in range(400, 0, -1):
        rung = graph.decision(LOW, JUMP_GREATER, step * 2, high, low)
        ladder = graph.decision(LOW, JUMP_GREATER_EQUAL, step * 2, rung, ladder)
    program = parse_classic(assemble(ladder))
    assert len(program) > 800 + 2 * 3
    for argument in range(900):
        expected = 3 if argument < 2 else 2 if argument > 2 else 1
        assert run_classic(program, nr=0, arch=0, args=(argument,)) == expected


def test_decisions_deeper_than_python_recurses_are_assembled() -> None:
    graph = Graph()
    node: Node = graph.answer(EPERM)
    for value in range(1500, 0, -1):
        node = graph.test((LOW, JUMP_EQUAL, value), graph.answer(ALLOW | value & 1), node)
    program = parse_classic(assemble(node))
    for argument in (0, 1, 2, 254, 255, 256, 1499, 1500, 1501):
        expected = ALLOW | argument & 1 if 0 < argument <= 1500 else EPERM
        assert run_classic(program, nr=0, arch=0, args=(argument,)) == expected


def test_neighbours_with_one_answer_become_one_comparison() -> None:
    graph = Graph()
    deny, allow = graph.answer(EPERM), graph.answer(ALLOW)
    ranges = [(0, allow), *((number, deny) for number in range(10, 50)), (50, allow), (51, allow)]
    program = assemble(Search(ranges, graph).node())
    assert len(program) == 5 * 8
    for number in (0, 9, 10, 30, 49, 50, 51, FULL):
        expected = EPERM if 10 <= number < 50 else ALLOW
        assert run_classic(parse_classic(program), nr=number, arch=0) == expected
