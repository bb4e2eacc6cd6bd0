"""Device rules to the lines of cgroup v1's devices controller, and to one list of what is allowed: pure.

Spec: runtime-spec config-linux.md#allowed-device-list; kernel admin-guide/cgroup-v1/devices.rst
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping, Sequence

from containerlib.runtime.cgroups.device_filter import rule_access, rule_kind, rule_number
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["AllowList", "Node", "allow_list", "device_lines", "node_line"]

Node = tuple[str, int | None, int | None]
"""(b or c, major, minor), where None is any number."""


def device_lines(rules: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """("devices.allow" or "devices.deny", line) of each rule, in order: v1 takes one rule a write.

    Raises: InvalidArgument(field="resources.devices").
    """
    key = marshal.dumps([dict(rule) for rule in rules])
    known = _known_lines.get(key)
    if known is None:
        if len(_known_lines) >= _KNOWN:
            _known_lines.clear()
        known = _known_lines[key] = _without_repetition(_lines(rules))
    return list(known)


_KNOWN = 64
_known_lines: dict[bytes, list[tuple[str, str]]] = {}
"""Lines of rules, by the rules: most containers have the same."""


def _without_repetition(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is allowed a second time, and was not denied meanwhile, is allowed already."""
    return list(dict.fromkeys(lines)) if {file for file, _ in lines[1:]} <= {"devices.allow"} else lines


def _lines(rules: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    lines = []
    for rule in _of_one_kind(rules):
        kind, access = rule_kind(rule), rule_access(rule)
        file = "devices.allow" if rule.get("allow") else "devices.deny"
        node = (kind, rule_number(rule, "major"), rule_number(rule, "minor"))
        lines.append((file, "a" if kind == "a" else node_line(node, access)))
    return lines


def node_line(node: Node, access: str) -> str:
    """As the controller reads and writes it: "c 1:3 rwm", "b *:* m"."""
    kind, *numbers = node
    major, minor = ("*" if number is None else number for number in numbers)
    return f"{kind} {major}:{minor} {access}"


@frozen
class AllowList:
    """What ordered rules come to: everything (`everything`), or `nodes` with their accesses and nothing else.

    `exact`: whether they come to just that. Rules that deny a part of what an earlier one allows do not.
    """

    nodes: Mapping[Node, str]
    everything: bool = False
    exact: bool = True


def allow_list(rules: Sequence[Mapping[str, Any]]) -> AllowList:
    """Raises: InvalidArgument(field="resources.devices")."""
    nodes: dict[Node, set[str]] = {}
    everything, exact = False, True
    for rule in _of_one_kind(rules):
        kind, access, allow = rule_kind(rule), set(rule_access(rule)), bool(rule.get("allow"))
        if kind == "a":
            nodes.clear()
            everything, exact = allow, True
            continue
        node = (kind, rule_number(rule, "major"), rule_number(rule, "minor"))
        if everything:
            exact = exact and allow
        elif allow:
            nodes.setdefault(node, set()).update(access)
        else:
            exact = exact and not _is_part(node, access, nodes)
            nodes[node] = nodes.get(node, set()) - access
    listed = {node: "".join(sorted(access, key="rwm".index)) for node, access in nodes.items() if access}
    return AllowList(listed, everything, exact)


def _of_one_kind(rules: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rules, where `a` stands for every access to every device: one with less becomes one of b and one of c."""
    for rule in rules:
        if rule_kind(rule) != "a" or set(rule_access(rule)) == set("rwm"):
            yield rule
        else:
            for kind in "bc":
                yield {"allow": bool(rule.get("allow")), "type": kind, "access": rule_access(rule)}


def _is_part(denied: Node, access: set[str], nodes: Mapping[Node, set[str]]) -> bool:
    """Whether another entry allows some of what is denied, and so would go on doing it."""
    return any(
        other != denied
        and other[0] == denied[0]
        and access & allowed
        and all(a is None or b is None or a == b for a, b in zip(other[1:], denied[1:], strict=True))
        for other, allowed in nodes.items()
    )
