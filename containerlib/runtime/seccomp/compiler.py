"""A runtime-spec `linux.seccomp` section to classic BPF. Pure.

    the section    to the rules of each call on each architecture                   syscalls has the numbers
                   to a decision about each call's arguments                        rules
                   to a search for the number per architecture                      search
                   to instructions, equal parts once                                bpf

Calls that are not named get the default action. But a filter that answers EPERM to a call which did not exist when
its profile was written breaks programs: a libc takes ENOSYS as "use the older call", and EPERM as a refusal. So what
is above every call that the profile names is ENOSYS where the default is a refusal, as runc has it.

Another architecture than the native one and those of the section kills the caller. Names and architectures that are
not known are passed over, as the specification has it.

Spec: runtime-spec config-linux.md#seccomp; seccomp(2)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from containerlib.errors import InvalidArgument
from containerlib.runtime.seccomp.arguments import argument_masks
from containerlib.runtime.seccomp.bpf import (
    ARCHITECTURE,
    FULL,
    INSTRUCTION,
    JUMP_EQUAL,
    Graph,
    Node,
    assemble,
)
from containerlib.runtime.seccomp.rules import Comparison, Rule, action_word, alternatives, as_read, decide
from containerlib.runtime.seccomp.search import Ranges, Search
from containerlib.runtime.seccomp.syscalls import ARCHITECTURES, MULTIPLEXED, NATIVE, Architecture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["compile_section"]

_LONGEST = 4096  # BPF_MAXINSNS
_KILL = action_word("SCMP_ACT_KILL", None)
_ALLOWING = frozenset({action_word("SCMP_ACT_ALLOW", None), action_word("SCMP_ACT_LOG", None)})
_ENOSYS = action_word("SCMP_ACT_ERRNO", 38)
_REFUSING = frozenset(f"SCMP_ACT_{n}" for n in ("ERRNO", "KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"))
_PRIVATE = 0x10000
"""Calls from here on are an architecture's own, and say nothing of how new a profile is."""


def compile_section(seccomp: Mapping[str, Any], machine: str | None = None) -> bytes:
    """The filter of a section: struct sock_filter[]. `machine`: as uname(2) has it; None: this one.

    Raises: InvalidArgument(field="seccomp").
    """
    graph = Graph()
    section = _Section(seccomp, graph)
    root: Node = graph.answer(_KILL)
    for audit, ranges in reversed(section.ranges(_architectures(seccomp, machine)).items()):
        root = graph.decision(ARCHITECTURE, JUMP_EQUAL, audit, Search(ranges, graph).node(), root)
    program = assemble(root)
    if len(program) > _LONGEST * INSTRUCTION.size:
        raise InvalidArgument(
            f"the profile makes a filter of more than {_LONGEST} instructions", field="seccomp"
        )
    return program


def _architectures(seccomp: Mapping[str, Any], machine: str | None) -> Sequence[str]:
    """The native one first: it is asked for most."""
    native = NATIVE[machine or os.uname().machine]
    return [native, *(name for name in seccomp.get("architectures") or () if name != native)]


class _Section:
    """A section, read once for all architectures."""

    def __init__(self, seccomp: Mapping[str, Any], graph: Graph) -> None:
        default = seccomp.get("defaultAction")
        word = action_word(default, seccomp.get("defaultErrnoRet"))
        self._graph = graph
        self._default = graph.answer(word)
        self._newer = graph.answer(_ENOSYS) if default in _REFUSING else self._default
        # what changes nothing is no exception to other rules either: libseccomp refuses it
        self._rules = [
            (rule.get("names") or (), [found for found in alternatives(rule) if found.word != word])
            for rule in seccomp.get("syscalls") or ()
        ]

    def ranges(self, names: Sequence[str]) -> dict[int, Ranges]:
        """What is said of every number, by AUDIT_ARCH_*, in the order of `names`; two of them may share one."""
        known = {name: ARCHITECTURES[name] for name in names if name in ARCHITECTURES}
        return {
            audit: [*self._ranges_of_all(audit, known), (FULL, self._default)]  # -1: what a tracer took out
            for audit in dict.fromkeys(architecture.audit for architecture in known.values())
        }

    def _ranges_of_all(self, audit: int, known: Mapping[str, Architecture]) -> Iterator[tuple[int, Node]]:
        for name, architecture in ARCHITECTURES.items():
            if architecture.audit != audit:
                continue
            if name in known:
                yield from self._ranges_of(architecture)
            else:
                yield architecture.first, self._graph.answer(_KILL)

    def _ranges_of(self, architecture: Architecture) -> Iterator[tuple[int, Node]]:
        rules, newest = self._by_number(architecture)
        nodes = {
            number: decide(found, self._default, self._graph, is_32bit=architecture.is_32bit)
            for number, found in rules.items()
        }
        for first in sorted({architecture.first, newest + 1, *nodes, *(number + 1 for number in nodes)}):
            yield first, nodes.get(first, self._newer if first > newest else self._default)

    def _by_number(self, architecture: Architecture) -> tuple[dict[int, list[Rule]], int]:
        """The rules of each call, in their order; and the highest number that the profile knows of."""
        found: dict[int, list[Rule]] = {}
        numbers, newest = architecture.numbers, architecture.first
        for names, rules in self._rules:
            for name in names:
                number = numbers.get(name)
                if number is not None:
                    newest = max(newest, number if number - architecture.first < _PRIVATE else 0)
                    found.setdefault(number, []).extend(as_read(rule, argument_masks(name)) for rule in rules)
                call, which = MULTIPLEXED.get(name, ("", 0))
                if call in numbers:
                    shared = (_multiplexed(rule, which) for rule in rules)
                    found.setdefault(numbers[call], []).extend(filter(None, shared))
        return found, newest


def _multiplexed(rule: Rule, which: int) -> Rule | None:
    """The rule for the call that many share, whose first argument says which of them is meant.

    The arguments of that one are behind a pointer, out of the filter's sight. A rule that compares them holds whatever
    they are where it restricts the call, and never where it allows it.
    """
    if rule.comparisons and rule.word in _ALLOWING:
        return None
    return Rule(rule.word, (Comparison(0, "EQ", which),))
