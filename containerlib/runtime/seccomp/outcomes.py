"""What a seccomp filter says of every system call: its program followed with the call known and the arguments not.

    others, known = outcomes(program, graph)
    known[0xC000003E]       # [(0, allow), (103, eperm), (104, allow), ...]

A comparison with the architecture or the number decides itself; one with an argument stays a decision in the
outcome. Numbers are followed a range at a time: the first of a range walks, and each comparison on its way
bounds the range that goes the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from containerlib.runtime.seccomp.bpf import (
    AND,
    ARCHITECTURE,
    FULL,
    INSTRUCTION,
    JUMP,
    JUMP_ANY_BIT,
    JUMP_EQUAL,
    JUMP_GREATER,
    JUMP_GREATER_EQUAL,
    LOAD,
    NUMBER,
    RETURN,
    Graph,
    Node,
    Word,
)

__all__ = ["NotUnderstood", "Ranges", "outcomes"]

_CONDITIONAL = frozenset({JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, JUMP_ANY_BIT})
_DATA_BYTES = 64  # struct seccomp_data
_KNOWN = frozenset({NUMBER, ARCHITECTURE})

Ranges = list[tuple[int, Node]]
"""(first number, outcome) of each range: ascending from 0, and neighbours differ."""

_Instruction = tuple[int, int, int, int]
_State = tuple[int, Word | None]
"""The place of an undecided comparison and what it compares, or of a return and None."""


class NotUnderstood(Exception):
    """The program has something that libseccomp does not write."""


def outcomes(program: bytes, graph: Graph) -> tuple[Ranges, dict[int, Ranges]]:
    """Those of any other architecture, and of each that the program asks for, in the order in which it asks.

    Raises: NotUnderstood.
    """
    instructions = _parse(program)
    asked: dict[int, None] = {}
    others = _sweep(instructions, None, asked, graph)
    known: dict[int, Ranges] = {}
    while len(known) < len(asked):
        for architecture in [architecture for architecture in asked if architecture not in known]:
            known[architecture] = _sweep(instructions, architecture, asked, graph)
    return others, known


def _parse(program: bytes) -> list[_Instruction]:
    """Holds every instruction, reached or not, to the kernel's own rules: what it refuses is not to become valid."""
    if not program or len(program) % INSTRUCTION.size:
        raise NotUnderstood
    instructions = list(INSTRUCTION.iter_unpack(program))
    for left, (code, if_true, if_false, value) in zip(
        range(len(instructions) - 1, -1, -1), instructions, strict=True
    ):
        farthest = value if code == JUMP else max(if_true, if_false) if code in _CONDITIONAL else -1
        loads = code == LOAD and value % 4 == 0 and value < _DATA_BYTES
        if not (loads or code in (AND, RETURN) or 0 <= farthest < left):
            raise NotUnderstood
    if instructions[-1][0] != RETURN:
        raise NotUnderstood
    return instructions


def _sweep(
    instructions: Sequence[_Instruction],
    architecture: int | None,
    asked: dict[int, None],
    graph: Graph,
) -> Ranges:
    found: Ranges = []
    number = 0
    while number <= FULL:
        walk = _Walk(instructions, architecture, number, asked)
        node = walk.outcome(graph)
        if not found or found[-1][1] is not node:
            found.append((number, node))
        number = walk.last + 1
    return found


class _Walk:
    """One architecture and a range of numbers through the program; `last` shrinks to what the walk holds for."""

    def __init__(
        self,
        instructions: Sequence[_Instruction],
        architecture: int | None,
        first: int,
        asked: dict[int, None],
    ) -> None:
        self.last = FULL
        self._first = first
        self._architecture = architecture
        self._asked = asked
        self._instructions = instructions

    def outcome(self, graph: Graph) -> Node:
        start = self._follow(0, None)
        ways: dict[_State, tuple[_State, ...]] = {}
        pending = [start]
        while pending:
            state = pending.pop()
            if state not in ways:
                ways[state] = self._ways(state)
                pending += ways[state]
        nodes: dict[_State, Node] = {}
        for state in sorted(ways, key=lambda state: state[0], reverse=True):  # jumps go forward
            code, _, _, value = self._instructions[state[0]]
            if state[1] is None:
                nodes[state] = graph.answer(value)
            else:
                then, otherwise = (nodes[way] for way in ways[state])
                nodes[state] = graph.decision(state[1], code, value, then, otherwise)
        return nodes[start]

    def _ways(self, state: _State) -> tuple[_State, ...]:
        at, held = state
        if held is None:
            return ()
        _, if_true, if_false, _ = self._instructions[at]
        return self._follow(at + 1 + if_true, held), self._follow(at + 1 + if_false, held)

    def _follow(self, at: int, held: Word | None) -> _State:
        """To the next return or undecided comparison."""
        while True:
            code, if_true, if_false, value = self._instructions[at]
            if code == RETURN:
                return at, None
            if code == LOAD:
                held = value, FULL
            elif code == JUMP:
                at += value
            elif held is None:
                raise NotUnderstood
            elif code == AND:
                held = _masked(held, value)
            else:
                taken = self._decided(code, held, value)
                if taken is None:
                    return at, held
                at += if_true if taken else if_false
            at += 1

    def _decided(self, code: int, held: Word, value: int) -> bool | None:
        if held == NUMBER:
            return self._number_decided(code, value)
        if held == ARCHITECTURE:
            if code != JUMP_EQUAL:
                raise NotUnderstood
            self._asked.setdefault(value)
            return self._architecture == value
        if held[1] == 0:  # libseccomp's mask for the half of an argument that does not matter
            return value == 0 and code in (JUMP_EQUAL, JUMP_GREATER_EQUAL)
        return None

    def _number_decided(self, code: int, value: int) -> bool:
        if code == JUMP_EQUAL and self._first == value:
            self.last = value
            return True
        if code == JUMP_ANY_BIT:
            raise NotUnderstood
        bound = value if code == JUMP_GREATER else value - 1  # the last below what the comparison tells apart
        if self._first <= bound:
            self.last = min(self.last, bound)
            return False
        return code != JUMP_EQUAL


def _masked(held: Word, value: int) -> Word:
    if held in _KNOWN and value != FULL:
        raise NotUnderstood
    offset, mask = held
    return offset, mask & value
