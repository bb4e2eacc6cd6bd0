"""What a rule of a profile compares, as decisions about the words of a call's arguments. Pure.

    rules = [Rule(0x00050001, (Comparison(0, "EQ", 5),)), ...]         # all of one call
    node = decide(rules, default, graph, is_32bit=False)

A rule matches where all its comparisons hold, and the call gets the rule's answer. Where several match with
different answers, one without comparisons comes before all that have some, and among these the more special one
before the more general: equality, then "less", then "greater", each with the narrower bound first; else the first
of the profile. libseccomp arranges them so, and with it runc and crun.

An argument has 64 bits, which a filter sees as two words; of a 32-bit architecture only the low one counts. Where
the kernel reads fewer bits of an argument, `as_read` has the rule compare these alone.

Spec: runtime-spec config-linux.md#seccomp; seccomp_rule_add(3)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from containerlib.errors import InvalidArgument
from containerlib.runtime.seccomp.bpf import (
    FULL,
    JUMP_EQUAL,
    JUMP_GREATER,
    JUMP_GREATER_EQUAL,
    Graph,
    Node,
    behind,
)
from containerlib.spec.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["OPERATORS", "Comparison", "Rule", "action_word", "alternatives", "as_read", "decide"]

_EPERM = 1
# linux/seccomp.h; the low 16 bits of ERRNO and TRACE carry a number
_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_NUMBER = frozenset({"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"})
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
"""The names of the comparisons that a rule may make."""
_ARGUMENTS = 6
_FIRST_ARGUMENT, _ARGUMENT_BYTES = 16, 8  # in struct seccomp_data, the low word first
_WIDEST = 2**64 - 1
_NEGATIVE = 2**64 - 2**31
"""The lowest of the numbers that are an int below zero, sign-extended."""
_SPECIAL = {"EQ": 0, "NE": 0, "LT": 1, "LE": 1, "GT": 2, "GE": 2}


class Comparison(NamedTuple):
    """`op` is EQ, NE, LT, LE, GT or GE; what is compared is the argument ANDed with `mask`."""

    argument: int
    op: str
    value: int
    mask: int = _WIDEST


class Rule(NamedTuple):
    """What a call is answered with where all comparisons hold."""

    word: int
    comparisons: tuple[Comparison, ...] = ()


def action_word(name: object, number: int | None) -> int:
    """What a filter returns for an action: SECCOMP_RET_* with its number. Raises: InvalidArgument."""
    if not isinstance(name, str) or name not in _ACTIONS:
        raise InvalidArgument(f"{name!r} is not a seccomp action", field="seccomp")
    if name not in _WITH_NUMBER:
        return _ACTIONS[name]
    return _ACTIONS[name] | ((_EPERM if number is None else number) & 0xFFFF)


def alternatives(rule: Mapping[str, Any]) -> Iterator[Rule]:
    """The rules that one of a profile stands for: several that compare one argument twice, as runc has it.

    Raises: InvalidArgument.
    """
    word = action_word(rule.get("action"), rule.get("errnoRet"))
    comparisons = sorted(map(_comparison, rule.get("args") or ()), key=lambda found: found.argument)
    if len({comparison.argument for comparison in comparisons}) == len(comparisons):
        yield Rule(word, tuple(comparisons))
    else:
        yield from (Rule(word, (comparison,)) for comparison in comparisons)


def as_read(rule: Rule, masks: Mapping[int, int]) -> Rule:
    """The rule with each comparison bound to the bits that the kernel reads of the argument."""
    if not masks:
        return rule
    return Rule(
        rule.word, tuple(_bound(found, masks.get(found.argument, _WIDEST)) for found in rule.comparisons)
    )


def decide(rules: Sequence[Rule], default: Node, graph: Graph, *, is_32bit: bool) -> Node:
    """What becomes of a call with these rules."""
    unconditional = next((rule for rule in rules if not rule.comparisons), None)
    if unconditional is not None:
        return graph.answer(unconditional.word)
    node = default
    for rule in reversed(sorted(rules, key=_speciality)):  # noqa: C413 - among equals the first comes last here
        node = _matched(rule, node, graph, is_32bit=is_32bit)
    return node


def _comparison(arg: Mapping[str, Any]) -> Comparison:
    name, index, value = str(arg.get("op")), int(arg["index"]), int(arg["value"])
    if name not in OPERATORS:
        raise InvalidArgument(f"{arg.get('op')!r} is not a comparison", field="seccomp")
    if not 0 <= index < _ARGUMENTS:
        raise InvalidArgument(
            f"a call has {_ARGUMENTS} arguments, and none of number {index}", field="seccomp"
        )
    op = name.removeprefix("SCMP_CMP_")
    if op == "MASKED_EQ":
        return Comparison(index, "EQ", int(arg.get("valueTwo") or 0) & value, value)
    return Comparison(index, op, value)


def _bound(comparison: Comparison, mask: int) -> Comparison:
    """A number that the kernel cannot read stays one that no argument equals; a negative int is its low word."""
    argument, op, value, own = comparison
    is_cut = own != _WIDEST or value >= _NEGATIVE
    return Comparison(argument, op, value & mask if is_cut else value, own & mask)


def _speciality(rule: Rule) -> tuple[int, int, int]:
    first = rule.comparisons[0]
    narrow = first.value if first.op in ("LT", "LE") else -first.value
    return -first.argument, _SPECIAL[first.op], narrow


def _matched(rule: Rule, otherwise: Node, graph: Graph, *, is_32bit: bool) -> Node:
    node: Node = graph.answer(rule.word)
    for comparison in reversed(rule.comparisons):
        node = _compared(comparison, node, otherwise, graph, is_32bit=is_32bit)
    return node


def _compared(comparison: Comparison, then: Node, otherwise: Node, graph: Graph, *, is_32bit: bool) -> Node:
    argument, op, value, mask = comparison
    if op in ("NE", "LT", "LE"):  # the others with their branches exchanged
        op, then, otherwise = {"NE": "EQ", "LT": "GE", "LE": "GT"}[op], otherwise, then
    low = (_FIRST_ARGUMENT + argument * _ARGUMENT_BYTES, mask & FULL)
    high = (low[0] + 4, mask >> 32)
    code = {"EQ": JUMP_EQUAL, "GE": JUMP_GREATER_EQUAL, "GT": JUMP_GREATER}[op]
    if not mask >> 32 and value >> 32 and not is_32bit:  # more than what is read of the argument can be
        return otherwise
    if is_32bit or not mask >> 32:
        return graph.test((low, code, value & FULL), then, otherwise)
    equal, greater = (high, JUMP_EQUAL, value >> 32), (high, JUMP_GREATER, value >> 32)
    ways = behind(then, equal, True), behind(otherwise, equal, True)
    unequal = otherwise
    if op != "EQ":  # what is not 0 is greater
        unequal = graph.test(greater, then, otherwise) if value >> 32 else then
    return graph.test(equal, graph.test((low, code, value & FULL), *ways), unequal)
