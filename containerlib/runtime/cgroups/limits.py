"""`linux.resources` to writes to the files of a container's groups: pure. What both versions of cgroup share.

    for setting in v1_settings(resources):        # limits_v1.py; v2_settings is its sibling
        setting.controller, setting.file, setting.value, setting.property

A section, and a number in it, that is null counts as absent, and so does 0 where 0 is no value of the limit: tools
write it for "not set". A property that runtime-spec does not know is passed over, as it wants.

Spec: runtime-spec config-linux.md#control-groups, config.md#extensibility
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.values import evolve, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Section",
    "Setting",
    "hugepage_settings",
    "io_weight",
    "or_max",
    "pids_settings",
    "rdma_settings",
    "refused_on_v2",
    "section",
    "weight_of_shares",
]

_PAGE_SIZE = re.compile(r"[1-9][0-9]*[KMG]B")
_MAX_INT64, _MAX_UINT64 = 2**63 - 1, 2**64 - 1


@frozen
class Setting:
    """One write: `value` to `file` in the group of `controller`, for `property` of linux.resources.

    `optional`: a kernel without the file keeps the limit by other means, or none was asked for. `instead`: what is
    written where the kernel has no such file.
    """

    controller: str
    file: str
    value: str
    property: str = ""
    optional: bool = False
    instead: Setting | None = None

    def or_else(self, file: str, value: str | None = None) -> Setting:
        """This, or the same to another file where the kernel does not have this one."""
        other = evolve(self, file=file, value=self.value if value is None else value)
        return evolve(self, instead=other)


@frozen
class Section:
    """An object of the configuration, read with its types checked. `name`: what it is called in messages."""

    name: str
    values: Mapping[str, Any]

    def number(self, key: str, *, least: int = -_MAX_INT64 - 1, most: int = _MAX_INT64) -> int | None:
        """Raises: InvalidArgument."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(key, f"{value!r} is not a whole number")
        if not least <= value <= most:
            raise self.wrong(key, f"{value} is not within {least} and {most}")
        return value

    def count(self, key: str, most: int = _MAX_UINT64) -> int | None:
        return self.number(key, least=0, most=most)

    def bytes(self, key: str) -> int | None:
        """A size, or -1 for no limit."""
        return self.number(key, least=-1)

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or any(character.isspace() for character in value):
            raise self.wrong(key, f"{value!r} is not text without spaces")
        return value

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, f"{value!r} is neither true nor false")
        return value

    def objects(self, key: str) -> Iterator[Section]:
        """Each object of a list."""
        value = self.values.get(key) or ()
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.wrong(key, "is not a list")
        for index, item in enumerate(value):
            yield _object(f"{self.property(key)}[{index}]", item)

    def device(self) -> str:
        """MAJOR:MINOR of an object that names a device."""
        numbers = [self.count(key, 0xFFFFFFFF) for key in ("major", "minor")]
        if None in numbers:
            raise self.wrong("major", "and minor are both needed")
        return f"{numbers[0]}:{numbers[1]}"

    def property(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def wrong(self, key: str, why: str) -> InvalidArgument:
        return InvalidArgument(why, field=f"resources.{self.property(key)}")


def section(resources: Mapping[str, Any], name: str) -> Section:
    """An object of linux.resources; an empty one where there is none."""
    return _object(name, resources.get(name))


def _object(name: str, value: Any) -> Section:
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise InvalidArgument("is not an object", field=f"resources.{name}")
    return Section(name, value)


def pids_settings(resources: Mapping[str, Any]) -> list[Setting]:
    """0 is written as 1: a group that may hold no process could never be entered, and systemd refuses it.

    Spec: runtime-spec config-linux.md#pids (a missing limit is none, -1 is the explicit word for that)
    """
    limit = section(resources, "pids").number("limit", least=-1)
    return [] if limit is None else [Setting("pids", "pids.max", or_max(limit or 1), "pids.limit")]


def rdma_settings(resources: Mapping[str, Any]) -> list[Setting]:
    """v1 and v2 alike. Spec: kernel cgroup-v1/rdma.rst"""
    settings = []
    devices = section(resources, "rdma")
    for name in devices.values:
        device = _object(f"rdma.{name}", devices.values[name])
        if not name or "/" in name or any(character.isspace() for character in name):
            raise InvalidArgument(f"{name!r} is not the name of a device", field="resources.rdma")
        words = [
            f"{word}={number}"
            for word, key in (("hca_handle", "hcaHandles"), ("hca_object", "hcaObjects"))
            if (number := device.count(key, 0xFFFFFFFF)) is not None
        ]
        if not words:
            raise InvalidArgument("hcaHandles, hcaObjects or both are needed", field=f"resources.rdma.{name}")
        settings.append(Setting("rdma", "rdma.max", f"{name} {' '.join(words)}", f"rdma.{name}"))
    return settings


def hugepage_settings(resources: Mapping[str, Any], limit_file: str) -> list[Setting]:
    """Both what a process may reserve and what it may touch: a kernel before 5.7 only knows the latter.

    `limit_file`: what follows the page's size in the file's name. Spec: kernel admin-guide/cgroup-v1/hugetlb.rst
    """
    settings = []
    for item in Section("", resources).objects("hugepageLimits"):
        size, limit = item.text("pageSize"), item.count("limit")
        if not _PAGE_SIZE.fullmatch(size):
            raise item.wrong("pageSize", f"{size!r} is not the size of a page, e.g. 2MB")
        if limit is None:
            raise item.wrong("limit", "is missing")
        name = f"hugepageLimits.{size}"
        settings.append(Setting("hugetlb", f"hugetlb.{size}.{limit_file}", str(limit), name))
        settings.append(
            Setting("hugetlb", f"hugetlb.{size}.rsvd.{limit_file}", str(limit), name, optional=True)
        )
    return settings


def weight_of_shares(shares: int) -> int:
    """cpu.shares (2 to 262144, default 1024) as cpu.weight (1 to 10000, default 100).

    A curve through (2, 1), (1024, 100) and (262144, 10000): a container with the default of v1 has that of v2.
    Engines and peers count on it: runc since 1.3.2, crun since 1.23 (opencontainers/cgroups#20).
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    exponent = math.log2(shares)
    power = (exponent * exponent + 125 * exponent) / 612 - 7 / 34
    return math.ceil(round(10**power, 6))  # 1024 gives 100 and a last binary digit of something


def io_weight(weight: int) -> int:
    """blkio.weight (10 to 1000) as io.weight (1 to 10000): linear, as its peers convert it."""
    return 1 + (max(weight, 10) - 10) * 9999 // 990


def or_max(value: int) -> str:
    return "max" if value < 0 else str(value)


def refused_on_v2(name: str, why: str) -> Unsupported:
    return Unsupported(f"resources.{name}: {why}; leave it out of the configuration")
