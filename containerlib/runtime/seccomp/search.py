"""The cheapest search for a system call's number, as decisions. Pure.

The kernel pays for a filter at each start of a container: it translates the program, and runs it for every
system call of every architecture to learn which are always allowed. A list compares with each number that a
profile names. Here neighbours with the same answer are one range, and ranges are told apart by a binary search:
Docker's profile for x86_64, with i386 and x32, is 224 instructions.

Spec: seccomp(2); linux kernel/seccomp.c#seccomp_cache_prepare_bitmap
"""

from __future__ import annotations

import bisect
import itertools

from containerlib.runtime.seccomp.bpf import FULL, JUMP_EQUAL, JUMP_GREATER_EQUAL, NUMBER, Graph, Node

__all__ = ["Ranges", "Search"]

Ranges = list[tuple[int, Node]]
"""(first number, what becomes of the call) of each range, ascending from 0."""
_PRECOMPUTED = 512
"""Numbers that the kernel runs the filter for when it installs it, rounded up: NR_syscalls."""
_INSTRUCTION_COST = 50
"""What an instruction costs to translate, in instructions run."""
_WINDOW = 2
"""Splits that are tried to each side of the middle."""
_CHAIN = 3
"""Single numbers that are compared one by one at the end of a search."""


class Search:
    """The cheapest search over ranges of numbers: few comparisons, and few on the way to a number that counts.

    Ranges are named by their index; a part of them by the first index and the one behind the last.
    """

    def __init__(self, ranges: Ranges, graph: Graph) -> None:
        """`ranges` may have neighbours that are alike."""
        ranges = [next(alike) for _, alike in itertools.groupby(ranges, key=lambda range_: id(range_[1]))]
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
