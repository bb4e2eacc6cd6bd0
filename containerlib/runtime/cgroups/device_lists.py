"""The device rules of a cgroup v1 group, exchanged for others while its container runs.

    with changed_lists(directory, rules, before, standing_still):          # an exception brings the old ones back
        ...

A group allows nothing but what is on its list, or everything but what is denied. Within the former only the
difference is written, so that a device that stays allowed is so at every instant. From the one to the other leads no
way but by "nothing" or by "everything", and the container must not run meanwhile.

Spec: kernel admin-guide/cgroup-v1/devices.rst
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from containerlib.runtime.cgroups.apply import write_devices
from containerlib.runtime.cgroups.devices import AllowList, Node, allow_list, device_lines, node_line
from containerlib.runtime.cgroups.files import read, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

__all__ = ["changed_lists", "listed", "transition"]


def listed(text: str) -> AllowList:
    """What devices.list says. Of everything it does not show what is denied."""
    nodes = {}
    for line in text.splitlines():
        kind, numbers, access = line.split(" ")
        if kind == "a":
            return AllowList({}, everything=True)
        major, minor = (None if number == "*" else int(number) for number in numbers.split(":"))
        nodes[(kind, major, minor)] = access
    return AllowList(nodes)


def transition(now: AllowList, rules: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[str, str]], bool]:
    """The lines from `now` to `rules`, as `write_devices` takes them, and whether something else is allowed between.

    Raises: InvalidArgument(field="resources.devices").
    """
    wanted = allow_list(rules)
    if wanted.everything:
        lines = _of_everything(rules)
        return lines, len(lines) > 1 or not now.everything  # the kernel empties the list first
    if now.everything:
        allowed = [("devices.allow", node_line(node, access)) for node, access in wanted.nodes.items()]
        return [("devices.deny", "a"), *allowed], True
    return [
        *(("devices.allow", line) for line in _difference(wanted, now)),
        *(("devices.deny", line) for line in _difference(now, wanted)),
    ], False


def _of_everything(rules: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """From the last rule on that is for every device."""
    lines = device_lines(rules)
    return lines[max(index for index, (_, text) in enumerate(lines) if text == "a") :]


def _difference(more: AllowList, less: AllowList) -> Iterator[str]:
    for node, access in more.nodes.items():
        if missing := "".join(letter for letter in access if letter not in less.nodes.get(node, "")):
            yield node_line(node, missing)


@contextlib.contextmanager
def changed_lists(
    directory: str,
    rules: Sequence[Mapping[str, Any]],
    before: Sequence[Mapping[str, Any]],
    standing_still: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """`before`: the rules that the container had, for what the kernel does not tell of them.

    `standing_still`: keeps its processes from running. Raises: StageError; InvalidArgument.
    """
    old = listed(_list_of(directory))
    if not old.everything:
        before = [_rule(node, access) for node, access in old.nodes.items()]
    elif allow_list(rules).everything and _of_everything(rules) == _of_everything(before):
        yield  # the kernel refuses even this where the container has made groups below
        return

    def put(wanted: Sequence[Mapping[str, Any]]) -> None:
        lines, gap = transition(listed(_list_of(directory)), wanted)
        with standing_still() if gap else contextlib.nullcontext():
            write_devices(directory, lines)

    try:
        put(rules)
        yield
    except BaseException as error:
        try:
            put(before)
        except Exception as cleanup:
            error.add_note(f"the device rules of {directory} could not be brought back: {cleanup}")
        raise


def _list_of(directory: str) -> str:
    with stage(f"{directory}/devices.list"):
        return read(f"{directory}/devices.list")


def _rule(node: Node, access: str) -> Mapping[str, Any]:
    kind, major, minor = node
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}
