"""A chain's plugins, one after the other.

Spec: CNI SPEC.md, "Section 3: Execution of Network Configurations", "Section 4: Plugin Delegation"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from containerlib.errors import Error, InvalidArgument, PluginError, Unavailable, Unsupported
from containerlib.networking.cni.configuration import Chain
from containerlib.networking.cni.plugin import find, run
from containerlib.networking.cni.result import Result

__all__ = ["Attachment", "add", "check", "collect", "delete", "ready", "status"]

_ARGUMENTS = "IgnoreUnknown=1"


@frozen
class Attachment:
    """A container's place on a network. `namespace` is a path, "" where there is none any more.

    `given`: what plugins with these capabilities are told; `result`: what the last of them has answered.
    """

    container_id: str
    interface: str
    namespace: str
    given: Mapping[str, Any]
    result: Mapping[str, Any] | None = None

    def words(self) -> Mapping[str, str]:
        return {
            "CNI_CONTAINERID": self.container_id,
            "CNI_NETNS": self.namespace,
            "CNI_IFNAME": self.interface,
            "CNI_ARGS": _ARGUMENTS,
        }


def ready(chain: Chain) -> Chain:
    """With the newest version that it is written for and all of its plugins speak.

    Raises: NotFound for a plugin that is not there; Unsupported; PluginError; Timeout.
    """
    kinds = dict.fromkeys(_kinds(chain))
    spoken = {kind: _versions(chain, find(kind, chain.path)) for kind in kinds}
    agreed = tuple(one for one in chain.versions if all(one in each for each in spoken.values()))
    if not agreed:
        said = "; ".join(f"{kind}: {', '.join(each)}" for kind, each in spoken.items())
        raise Unsupported(
            f"the configuration {chain.name!r} is of CNI {', '.join(chain.versions)}, which not all of its plugins "
            f"speak ({said})"
        )
    return evolve(chain, versions=agreed[-1:])


def _kinds(chain: Chain) -> Iterable[str]:
    """Of its plugins, and of those that hand out addresses for them."""
    for plugin in chain.plugins:
        yield plugin["type"]
        delegate = dict(plugin.get("ipam") or {}).get("type")
        if delegate:
            yield delegate


def _versions(chain: Chain, program: str) -> Sequence[str]:
    answer = run(
        program, "VERSION", {"cniVersion": chain.version}, path=chain.path, words={}, timeout=chain.timeout
    )
    said = dict(answer or {}).get("supportedVersions")
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise PluginError("it does not say which versions it speaks", plugin=program, command="VERSION")
    return said


def add(chain: Chain, attachment: Attachment, kept: Sequence[int] = ()) -> Mapping[str, Any]:
    """What came of it; where that is an error, the caller deletes what was made. `kept`: open as long as one runs.

    Raises: PluginError; Timeout; NotFound for a plugin that is not there.
    """
    previous: Mapping[str, Any] | None = None
    for plugin in chain.plugins:
        answer = _run(chain, "ADD", plugin, evolve(attachment, result=previous), kept)
        program = find(plugin["type"], chain.path)
        if answer is None:
            raise PluginError("it wrote no result", plugin=program, command="ADD")
        previous = {"cniVersion": chain.version, **answer}
        try:
            Result.of(previous, attachment.interface)
        except InvalidArgument as error:
            raise PluginError(str(error), plugin=program, command="ADD") from error
    return previous or {}


def delete(chain: Chain, attachment: Attachment, kept: Sequence[int] = ()) -> None:
    """Takes back what was made; once more does no harm. Raises: as `add`."""
    for plugin in reversed(chain.plugins):
        _run(chain, "DEL", plugin, attachment, kept)


def check(chain: Chain, attachment: Attachment, kept: Sequence[int] = ()) -> None:
    """Whether all is as it was made; a chain may say that it is not asked. Raises: as `add`."""
    if chain.disable_check:
        return
    for plugin in chain.plugins:
        _run(chain, "CHECK", plugin, attachment, kept)


def status(chain: Chain) -> None:
    """Whether it can take a container; before CNI 1.1 nobody can ask. Raises: Unavailable; as `add`."""
    if not chain.has_status:
        return
    for plugin in chain.plugins:
        program = find(plugin["type"], chain.path)
        try:
            run(program, "STATUS", _told(chain, plugin, {}), path=chain.path, words={}, timeout=chain.timeout)
        except PluginError as error:
            raise Unavailable(f"the network {chain.name!r} takes no container now: {error}") from error


def collect(chain: Chain, valid: Iterable[tuple[str, str]]) -> None:
    """Has plugins forget all but these, (container's id, interface); before CNI 1.1 nobody can tell them.

    Raises: as `add`, after all have been told.
    """
    if not chain.has_status or chain.disable_gc:
        return
    attachments = [{"containerID": container, "ifname": interface} for container, interface in valid]
    # the first libraries that knew GC read the second name, and would take its absence for nobody
    more = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
    failed: Error | None = None
    for plugin in chain.plugins:
        told = {**_told(chain, plugin, {}), **more}
        try:
            program = find(plugin["type"], chain.path)
            run(program, "GC", told, path=chain.path, words={}, timeout=chain.timeout)
        except Error as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _run(
    chain: Chain, command: str, plugin: Mapping[str, Any], attachment: Attachment, kept: Sequence[int]
) -> Mapping[str, Any] | None:
    told = _told(chain, plugin, attachment.given)
    if attachment.result is not None:
        told["prevResult"] = attachment.result
    return run(
        find(plugin["type"], chain.path),
        command,
        told,
        path=chain.path,
        words=attachment.words(),
        timeout=chain.timeout,
        kept=kept,
    )


def _told(chain: Chain, plugin: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Spec: CNI SPEC.md, "Deriving execution configuration from plugin configuration"."""
    told = {key: value for key, value in plugin.items() if key not in ("capabilities", "cniVersions")}
    wanted = dict(plugin.get("capabilities") or {})
    runtime = {key: value for key, value in given.items() if value and wanted.get(key) is True}
    told |= {"cniVersion": chain.version, "name": chain.name}
    if runtime:
        told["runtimeConfig"] = runtime
    return told
