"""Classic BPF for seccomp: a program as a graph of decisions, and its assembly.

    graph = Graph()
    deny, allow = graph.answer(0x00050001), graph.answer(0x7FFF0000)
    program = assemble(graph.decision(NUMBER, JUMP_EQUAL, 165, deny, allow))

Equal parts of a graph are one node, and are assembled once.

Spec: linux/filter.h, linux/bpf_common.h, linux/seccomp.h
"""

from __future__ import annotations

import struct

from containerlib.spec.values import frozen

__all__ = [
    "AND",
    "ARCHITECTURE",
    "FULL",
    "INSTRUCTION",
    "JUMP",
    "JUMP_EQUAL",
    "JUMP_GREATER",
    "JUMP_GREATER_EQUAL",
    "LOAD",
    "NUMBER",
    "RETURN",
    "Answer",
    "Decision",
    "Graph",
    "Node",
    "Test",
    "Word",
    "assemble",
    "behind",
]

INSTRUCTION = struct.Struct("=HBBI")
"""struct sock_filter: code, jump if true, jump if false, k"""

# class | size or operation | source
LOAD, AND, RETURN, JUMP = 0x20, 0x54, 0x06, 0x05
JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL = 0x15, 0x25, 0x35
FULL = 0xFFFFFFFF

Word = tuple[int, int]
"""What the accumulator holds: the word at an offset of struct seccomp_data, ANDed with a mask."""
NUMBER: Word = (0, FULL)
ARCHITECTURE: Word = (4, FULL)

_FARTHEST = 254  # a jump reaches 255; its other target may still get an instruction in between


@frozen(eq=False)
class Answer:
    """What the filter returns."""

    word: int


@frozen(eq=False)
class Decision:
    """A comparison of `word` with `value`; `code` is one of the conditional jumps."""

    word: Word
    code: int
    value: int
    then: Node
    otherwise: Node


Node = Answer | Decision
Test = tuple[Word, int, int]
"""What a decision asks: word, code and value."""


class Graph:
    """Makes nodes, and makes none twice: equal nodes of one graph are the same object."""

    def __init__(self) -> None:
        self._answers: dict[int, Answer] = {}
        self._decisions: dict[tuple[Word, int, int, Node, Node], Decision] = {}

    def answer(self, word: int) -> Answer:
        return self._answers.setdefault(word, Answer(word))

    def decision(self, word: Word, code: int, value: int, then: Node, otherwise: Node) -> Node:
        """`then` itself where it is `otherwise` too."""
        if then is otherwise:
            return then
        key = (word, code, value, then, otherwise)
        return self._decisions.setdefault(key, Decision(*key))

    def test(self, test: Test, then: Node, otherwise: Node) -> Node:
        """A decision behind which the same is not asked at once again; none where there is nothing to ask."""
        word, code, value = test
        if word[1] == 0 or (code, value) == (JUMP_GREATER_EQUAL, 0):  # `value` is within the mask
            return then
        if (code, value) == (JUMP_GREATER, FULL):
            return otherwise
        return self.decision(word, code, value, behind(then, test, True), behind(otherwise, test, False))


def behind(node: Node, test: Test, holds: bool) -> Node:
    """Where `node` leads to if the outcome of `test` is known."""
    while isinstance(node, Decision) and (node.word, node.code, node.value) == test:
        node = node.then if holds else node.otherwise
    return node


_Entry = tuple[Node, bool]
"""A node, and whether its word is to be loaded before it is compared"""


def assemble(root: Node) -> bytes:
    """The program, of any length: the kernel takes 4096 instructions."""
    nodes = _children_first(root)
    targets = {
        node: (_entry(node, node.then), _entry(node, node.otherwise))
        for node in nodes
        if isinstance(node, Decision)
    }
    entries = {(root, True)}.union(*targets.values())
    # from the end to the start, since jumps go forward: what a jump goes to has its place before the jump
    backwards: list[bytes] = []
    place: dict[_Entry, int] = {}
    for node in nodes:
        if isinstance(node, Answer):
            place[node, False] = _append(backwards, RETURN, node.word)
            continue
        for target in targets[node]:
            _bring_near(backwards, place, target)
        near = [len(backwards) - 1 - place[target] for target in targets[node]]
        place[node, False] = _append(backwards, node.code, node.value, *near)
        if (node, True) in entries:
            offset, mask = node.word
            if mask != FULL:
                _append(backwards, AND, mask)
            place[node, True] = _append(backwards, LOAD, offset)
    return b"".join(reversed(backwards))


def _entry(node: Decision, child: Node) -> _Entry:
    """After `node` its own word is in the accumulator."""
    return child, isinstance(child, Decision) and child.word != node.word


def _bring_near(backwards: list[bytes], place: dict[_Entry, int], target: _Entry) -> None:
    """A copy of the answer, or a jump without a limit, where the target is out of reach of a decision."""
    node, _ = target
    distance = len(backwards) - 1 - place[target]
    if distance > _FARTHEST:
        copy = (RETURN, node.word) if isinstance(node, Answer) else (JUMP, distance)
        place[target] = _append(backwards, *copy)


def _append(backwards: list[bytes], code: int, value: int, if_true: int = 0, if_false: int = 0) -> int:
    backwards.append(INSTRUCTION.pack(code, if_true, if_false, value))
    return len(backwards) - 1


def _children_first(root: Node) -> list[Node]:
    """Every node once, behind its children. A long chain of comparisons is deeper than Python recurses."""
    order: dict[Node, None] = {}
    pending = [(root, False)]
    while pending:
        node, visited = pending.pop()
        if node in order:
            continue
        if visited or isinstance(node, Answer):
            order[node] = None
        else:
            pending += [(node, True), (node.then, False), (node.otherwise, False)]
    return list(order)
