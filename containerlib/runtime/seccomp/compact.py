"""A seccomp filter made small: the same answers from a program of a few hundred instructions. Pure.

The kernel pays for a filter at each start of a container: it translates the program, and runs it for every
system call of every architecture to learn which are always allowed. libseccomp's program compares with each
number that a profile names. Here neighbours with the same answer become one range, and ranges are told apart
by a binary search:

    the program    to what it says of each architecture and number                 seccomp_outcomes
                   to a search per architecture, which ends in answers or in comparisons of arguments
                   to instructions, equal parts once                               bpf

Docker's profile for x86_64, with i386 and x32, goes from some 1290 instructions to some 230.

Spec: seccomp(2); linux kernel/seccomp.c#seccomp_cache_prepare_bitmap
"""

from __future__ import annotations

import bisect
import itertools

from containerlib.runtime.seccomp.bpf import (
    ARCHITECTURE,
    FULL,
    JUMP_EQUAL,
    JUMP_GREATER_EQUAL,
    NUMBER,
    Graph,
    Node,
    assemble,
)
from containerlib.runtime.seccomp.outcomes import NotUnderstood, Ranges, outcomes

__all__ = ["compact"]

_PRECOMPUTED = 512
"""Numbers that the kernel runs the filter for when it installs it, rounded up: NR_syscalls."""
_INSTRUCTION_COST = 50
"""What an instruction costs to translate, in instructions run."""
_WINDOW = 2
"""Splits that are tried to each side of the middle."""
_CHAIN = 3
"""Single numbers that are compared one by one at the end of a search."""


def compact(program: bytes) -> bytes:
    """A program that answers as `program` does; `program` itself where none smaller is found.

    `program` is an array of struct sock_filter as libseccomp writes it; what holds other instructions comes
    back as it is.
    """
    graph = Graph()
    try:
        others, known = outcomes(program, graph)
    except NotUnderstood:
        return program
    root = _Search(others, graph).node()
    for architecture, ranges in reversed(known.items()):
        then = _Search(ranges, graph).node()
        root = graph.decision(ARCHITECTURE, JUMP_EQUAL, architecture, then, root)
    smaller = assemble(root)
    return smaller if len(smaller) < len(program) else program


class _Search:
    """The cheapest search over ranges of numbers: few comparisons, and few on the way to a number that counts.

    Ranges are named by their index; a part of them by the first index and the one behind the last.
    """

    def __init__(self, ranges: Ranges, graph: Graph) -> None:
        self._graph = graph
        self._firsts = [first for first, _ in ranges]
        self._nodes = [node for _, node in ranges]
        behinds = [*self._firsts[1:], FULL + 1]
        self._single = [behind - first == 1 for first, behind in zip(self._firsts, behinds, strict=True)]
        # each counts for one more than the kernel runs, so that the rest is balanced too
        runs = (
            max(0, min(behind, _PRECOMPUTED) - first) + 1
            for first, behind in zip(self._firsts, behinds, strict=True)
        )
        self._runs = [0, *itertools.accumulate(runs)]
        self._best: dict[tuple[int, int], tuple[int, int | Node]] = {}

    def node(self) -> Node:
        return self._build(0, len(self._nodes))

    def _build(self, start: int, end: int) -> Node:
        _, choice = self._cheapest(start, end)
        if isinstance(choice, int):
            left, right = self._build(start, choice), self._build(choice, end)
            first = self._firsts[choice]
            return self._graph.decision(NUMBER, JUMP_GREATER_EQUAL, first, right, left)
        node = choice
        for index in reversed(self._others(start, end, choice)):
            first = self._firsts[index]
            node = self._graph.decision(NUMBER, JUMP_EQUAL, first, self._nodes[index], node)
        return node

    def _cheapest(self, start: int, end: int) -> tuple[int, int | Node]:
        """The cost, and where to split, or the outcome of all but a few single numbers."""
        known = self._best.get((start, end))
        if known is not None:
            return known
        choices = [
            *self._chains(start, end),
            *(self._split(start, end, at) for at in self._middle(start, end)),
        ]
        best = min(choices, key=lambda choice: choice[0])
        self._best[start, end] = best
        return best

    def _chains(self, start: int, end: int) -> list[tuple[int, Node]]:
        if end - start > 2 * _CHAIN + 1:
            return []
        chains = []
        for most in dict.fromkeys(self._nodes[start : start + 2]):
            others = self._others(start, end, most)
            if len(others) <= _CHAIN and all(self._single[index] for index in others):
                run = len(others) * (self._runs[end] - self._runs[start])
                chains.append((_INSTRUCTION_COST * len(others) + run, most))
        return chains

    def _others(self, start: int, end: int, most: Node) -> list[int]:
        return [index for index in range(start, end) if self._nodes[index] is not most]

    def _middle(self, start: int, end: int) -> range:
        """Splits near the one that halves what is run."""
        runs = self._runs
        middle = bisect.bisect(runs, (runs[start] + runs[end]) // 2, start + 1, max(start + 1, end - 1))
        return range(max(start + 1, middle - _WINDOW), min(end, middle + _WINDOW + 1))

    def _split(self, start: int, end: int, at: int) -> tuple[int, int]:
        left, right = self._cheapest(start, at)[0], self._cheapest(at, end)[0]
        return _INSTRUCTION_COST + self._runs[end] - self._runs[start] + left + right, at
