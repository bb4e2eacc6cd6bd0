"""What becomes of the bytes of a config.json, as far as no container is needed: everything between them and the helper.

Only containerlib's own errors may come out, and soon.
"""

from __future__ import annotations

import time
import zlib
from typing import Any, cast

import jeepney

from containerlib.errors import InvalidArgument, NotFound, StageError, Unsupported
from containerlib.runtime.cgroups.device_filter import device_filter
from containerlib.runtime.cgroups.devices import allow_list
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.limits_v1 import v1_settings
from containerlib.runtime.cgroups.limits_v2 import v2_settings
from containerlib.runtime.cgroups.path import resolve
from containerlib.runtime.cgroups.systemd_properties import annotated_properties, unit_properties
from containerlib.runtime.cgroups.update import merged
from containerlib.runtime.config.read import parse_object
from containerlib.runtime.config.validate import validate_process, validate_rdt, validate_resources
from containerlib.runtime.containers.bundle import check_config
from containerlib.runtime.containers.groups import resources_of, with_default_devices
from containerlib.runtime.order import terminal_size
from containerlib.runtime.plan.container import Manner, container_plan, exec_plan, late_ops
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.hooks import hook_ops
from containerlib.runtime.plan.resctrl import group_of, lines_of
from containerlib.runtime.plan.roots import BindRoot
from containerlib.runtime.plan.user import Mapper
from containerlib.runtime.seccomp.filters import FilterCache
from containerlib.spec.runtime import Process, Spec

__all__ = ["LONGEST", "TooSlow", "judge"]

LONGEST = 1.0
"""Seconds of the processor's time, for all that a command does with the text."""
BUNDLE, CONTAINER_ID = "/bundle", "c1"
EXPECTED = (InvalidArgument, NotFound, StageError, Unsupported)
SYSTEMD = jeepney.DBusAddress("/x", bus_name="x.y", interface="x.y")
V1 = Layout({"memory": "/cg/memory", "cpu": "/cg/cpu"}, None)
V2 = Layout({}, "/cg")
OWN = {"memory": "/own", "cpu": "/own", "": "/own/leaf"}
GROUPS = (
    Groups(
        join_files=("/cg/memory/x/tasks",),
        directories=("/cg/memory/x",),
        hierarchies={"memory": "/cg/memory/x"},
    ),
    Groups(directories=("/cg/x",), oom_file="/cg/x/memory.events"),
)
MANNERS = (
    Manner(bundle=BUNDLE),
    Manner(hold=True, supervised=False, pivot=False, keyring=False, bundle=BUNDLE),
    Manner(bundle=BUNDLE, mapper=Mapper("/newuidmap", "/newgidmap")),
)


class TooSlow(Exception):
    """It ended, and took longer than `LONGEST`."""


def judge(text: bytes) -> str:
    """Reads it, checks it, plans it. Returns how far it came: "planned", or the kind of the error.

    Raises: whatever is no error of containerlib's; TooSlow.
    """
    start = time.thread_time()
    outcome = "planned"
    try:
        _plan(text)
    except EXPECTED as error:
        outcome = type(error).__name__
        str(error)
    if time.thread_time() - start > LONGEST:
        raise TooSlow(f"{outcome} after {time.thread_time() - start:.1f} s")
    return outcome


def _plan(text: bytes) -> None:
    spec = cast(Spec, parse_object(text, "config.json"))
    _parts(spec)
    warnings: list[str] = []
    rootfs = check_config(spec, BUNDLE, warnings.append)
    for systemd in (False, True):
        for layout in (V1, V2):
            _tried(lambda layout=layout, systemd=systemd: _limits(spec, layout, systemd=systemd))
    number = zlib.crc32(text)
    _tried(
        lambda: _container(spec, rootfs, GROUPS[number % 2], MANNERS[number % 3], sometimes=number % 16 == 0)
    )
    for kind in ("poststart", "poststop"):
        list(hook_ops(spec, kind, container_id=CONTAINER_ID, bundle=BUNDLE, pid=1))


def _tried(call: Any) -> None:
    """A refusal here is no reason not to try the rest."""
    try:
        call()
    except EXPECTED as error:
        str(error)


def _container(spec: Spec, rootfs: str, groups: Groups, manner: Manner, *, sometimes: bool) -> None:
    process = spec["process"]
    profile = spec.get("linux", {}).get("seccomp")
    program = b"\0" * 8
    if profile and sometimes:  # it takes as long as all the rest
        program = FilterCache().get(profile)
    words: Any = {"container_id": CONTAINER_ID, "seccomp": program, "manner": manner}
    container_plan(spec, rootfs, BindRoot(rootfs), groups, **words).pack()
    exec_plan(spec, process, groups, root=BindRoot(rootfs), **words).pack()
    late_ops(spec)
    terminal_size(process, None)


def _limits(spec: Spec, layout: Layout, *, systemd: bool) -> None:
    linux = spec.get("linux", {})
    resources = resources_of(spec)
    resolve(linux.get("cgroupsPath"), CONTAINER_ID, layout=layout, own=OWN, systemd=systemd)
    if systemd:
        for properties in (
            unit_properties(resources, 257, unified=layout is V2),
            annotated_properties(spec.get("annotations") or {}),
        ):
            jeepney.new_method_call(SYSTEMD, "Set", "a(sv)", (properties,)).serialise(1)
    elif layout is V1:
        v1_settings(resources)
    else:
        v2_settings(resources)
    if resources.get("devices"):
        allow_list(resources["devices"])
        device_filter(resources["devices"])
    if rdt := linux.get("intelRdt"):
        group_of(rdt, CONTAINER_ID, "/resctrl")
        lines_of(rdt)


def _parts(spec: Any) -> None:
    """What an exec's process, an update's resources and its schemas are checked for."""
    linux = spec.get("linux") if isinstance(spec, dict) else None
    linux = linux if isinstance(linux, dict) else {}

    def process() -> None:
        found = spec.get("process")
        validate_process(found)
        runs: Any = {"linux": {"namespaces": [{"type": "mount"}]}, "process": found}
        exec_plan(runs, cast(Process, found), Groups(), container_id=CONTAINER_ID).pack()

    def resources() -> None:
        found: Any = linux.get("resources")
        validate_resources(found)
        with_default_devices(merged({"memory": {"limit": 1}}, found))

    for part in (process, resources, lambda: validate_rdt(linux.get("intelRdt"))):
        _tried(part)
