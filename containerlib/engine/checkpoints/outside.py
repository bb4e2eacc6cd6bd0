"""What a checkpoint had outside of itself, found again: files of the host, volumes, networks, its configuration.

By their names, or those that the caller gives: what cannot be found is refused before anything is made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from containerlib.bundles.resources import resources_of
from containerlib.engine.checkpoints.capture import DOCUMENT, IMAGES, SPEC
from containerlib.engine.checkpoints.checking import checked_memo, checked_spec, require_files
from containerlib.engine.checkpoints.document import Document
from containerlib.engine.instance import Instance, Memo
from containerlib.engine.kept_networks import in_kept_network
from containerlib.engine.late import part_path
from containerlib.engine.network_drivers import network_of
from containerlib.engine.network_names import names_inside
from containerlib.engine.networks import find
from containerlib.errors import InvalidArgument, NotFound
from containerlib.networking import Names, write_files
from containerlib.networking.files import file_mounts
from containerlib.networking.files import network as files_of
from containerlib.runtime.config.read import parse_object
from containerlib.runtime.plan.mount_entry import MountEntry, read_mounts
from containerlib.spec.options import ContainerOptions, Limits, NetworkOption

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.sources import Resolved
    from containerlib.spec.runtime import Mount, Spec

__all__ = ["Begun", "networks_of", "sources_of", "spec_of"]


@frozen
class Begun:
    """A checkpoint that is open: its files, and what a container of it is stacked of."""

    directory: str
    document: Document
    memo: Memo
    spec: Spec
    image: Resolved
    is_own: bool = True
    """It was made here; another one says nothing of this host's paths."""

    @classmethod
    def of(cls, directory: str, image: Resolved, *, is_own: bool = True) -> Begun:
        """Raises: InvalidArgument where something of it is missing, damaged or none of ours; Unsupported."""
        require_files(directory, IMAGES)
        document = Document.unpack(_read(directory, DOCUMENT))
        memo = checked_memo(document.memo)
        spec = checked_spec(parse_object(_read(directory, SPEC), SPEC), is_own=is_own)
        return cls(directory, document, memo, spec, image, is_own)


def _read(directory: str, name: str) -> bytes:
    try:
        with open(f"{directory}/{name}", "rb", buffering=0) as file:
            return file.readall()
    except FileNotFoundError as error:
        raise InvalidArgument(f"the checkpoint has no {name}", field="checkpoint") from error


# ---- what was outside ----


def sources_of(core: Core, begun: Begun, given: Mapping[str, str]) -> dict[str, str]:
    """Where each bind comes from now, by its place. Raises: NotFound; InvalidArgument for a place that is none."""
    volumes = {m.target: m.source for m in begun.memo.mounts if m.kind == "volume"}
    own = {mount["destination"]: mount["source"] for mount in file_mounts(begun.document.directory)}
    binds = {m.mount["destination"]: m.source for m in read_mounts(begun.spec) if m.binds}
    binds = {target: source for target, source in binds.items() if own.get(target) != source}
    for target in given:
        if target not in binds:
            raise InvalidArgument(f"the checkpoint has no mount on {target}", field="mounts")
    found = {}
    for target, source in binds.items():
        if target in volumes:
            found[target] = _volume(core, given.get(target, volumes[target]), target)
        else:
            found[target] = _path(begun, target, source, given.get(target))
    return found


def _path(begun: Begun, target: str, source: str, given: str | None) -> str:
    how = f'name a path with mounts={{"{target}": ...}}'
    if given is None and not begun.is_own:
        raise InvalidArgument(
            f"the checkpoint had {source} of its machine mounted on {target}: {how}", field="mounts"
        )
    path = source if given is None else given
    if not os.path.lexists(path):
        raise NotFound(f"the checkpoint had {source} mounted on {target}, and there is no {path} here: {how}")
    return path


def _volume(core: Core, name: str, target: str) -> str:
    """Its directory."""
    try:
        return core.volumes.path(name)
    except (NotFound, InvalidArgument) as error:
        raise NotFound(
            f"the checkpoint has the volume {name!r} mounted on {target}, and it is not here: its files are no part of "
            f'a checkpoint. Restore it first, or name another with mounts={{"{target}": ...}}'
        ) from error


def networks_of(
    core: Core, document: Document, wanted: tuple[NetworkOption, ...] | None
) -> tuple[NetworkOption, ...]:
    """Those that are wanted, or its own, with the addresses that it had, as far as they are free. Raises: NotFound."""
    if wanted is not None:
        return wanted
    return tuple(_network(core, each) for each in document.networks)


def _network(core: Core, each: NetworkOption) -> NetworkOption:
    try:
        record = find(core, each.network)
    except NotFound as error:
        raise NotFound(
            f"the container was on the network {each.network!r}, which is not here: make it, or name others with "
            "networks="
        ) from error
    subnets = [one.subnet for one in getattr(network_of(record), "subnets", ())]
    taken = core.store.networks.taken(record.id)

    def kept(address: str | None) -> str | None:
        if address is None or address in taken:
            return None
        return address if any(ip_address(address) in one for one in subnets) else None

    macs = {one.mac for one in core.store.networks.endpoints(record.id)}
    mac = each.mac if each.mac not in macs else None
    return evolve(
        each, network=record.name, address=kept(each.address), address6=kept(each.address6), mac=mac
    )


# ---- its configuration ----


def spec_of(instance: Instance, begun: Begun, limits: Limits | None, sources: Mapping[str, str]) -> Spec:
    """The configuration of the new container."""
    spec = begun.spec
    files = {mount["destination"]: mount["source"] for mount in _files(instance, spec)}
    parts = {m.target: part_path(instance, m.target) for m in instance.memo.mounts if m.subpath}
    places = {**files, **sources, **parts}

    def moved(mount: MountEntry) -> Mount:
        return {**mount.mount, "source": places[mount.mount["destination"]]} if mount.binds else mount.mount

    linux: dict[str, Any] = {
        **spec["linux"],
        "cgroupsPath": instance.core.cgroup_path(instance.id),
        "namespaces": [_own_network(each) for each in spec["linux"]["namespaces"]],
    }
    if limits is not None:
        devices = spec["linux"].get("resources", {}).get("devices", [])
        linux["resources"] = {**resources_of(ContainerOptions(limits=limits)), "devices": devices}
    root: Any = {**spec.get("root", {}), "path": "rootfs"}
    made: Any = {**spec, "root": root, "mounts": list(map(moved, read_mounts(spec))), "linux": linux}
    return in_kept_network(instance, made)


def _own_network(namespace: Any) -> Any:
    """One that plugins had made is made anew."""
    return {"type": "network"} if namespace["type"] == "network" and namespace.get("path") else namespace


def _files(instance: Instance, spec: Spec) -> list[Mount]:
    """/etc/hosts and the like, of the new addresses."""
    words: dict[str, Any] = dict(instance.memo.words)
    given = Names(*(words.get(name, ()) for name in ("hosts", "dns", "dns_search", "dns_options")))
    hostname = spec.get("hostname", "")
    has_own = any(each["type"] == "network" for each in spec["linux"]["namespaces"])
    return write_files(
        instance.directory,
        files_of("none" if has_own else "host"),
        hostname,
        names=names_inside(instance, given, hostname),
    )
