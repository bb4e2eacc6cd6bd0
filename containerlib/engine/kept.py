"""What a configuration does not say of a recipe, or says in other words: kept for `inspect`.

memo = Memo(words=words_of(options))
facts(memo)                               # as fields of ContainerInfo
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from containerlib.spec.options import DeviceLimit, DeviceOption

if TYPE_CHECKING:
    from containerlib.engine.instance import Memo
    from containerlib.spec.options import ContainerOptions

__all__ = ["device_limits", "facts", "words_of"]

_KEPT = ("hosts", "dns", "dns_search", "dns_options", "timezone", "device_rules", "cdi")


def words_of(options: ContainerOptions) -> tuple[tuple[str, Any], ...]:
    """Those that were used: most recipes have none."""
    found = [(name, value) for name in _KEPT if (value := getattr(options, name))]
    if options.gpus is not None:
        found.append(("gpus", options.gpus))
    if options.devices:
        found.append(("devices", tuple((each.path, each.target, each.access) for each in options.devices)))
    if options.limits.devices:
        found.append(("device_limits", tuple(map(_limit, options.limits.devices))))
    if options.seccomp != "default":
        found.append(("seccomp", options.seccomp if options.seccomp == "unconfined" else "custom"))
    return tuple(found)


def facts(memo: Memo) -> dict[str, Any]:
    """Every one of them, those that were not used too."""
    words = dict(memo.words)
    return {
        **{name: words.get(name, None if name == "timezone" else ()) for name in _KEPT},
        "gpus": words.get("gpus"),
        "devices": tuple(DeviceOption(*each) for each in words.get("devices", ())),
        "seccomp": words.get("seccomp", "default"),
    }


def device_limits(memo: Memo) -> tuple[DeviceLimit, ...]:
    """By path, where a configuration has numbers."""
    return tuple(DeviceLimit(*each) for each in dict(memo.words).get("device_limits", ()))


def _limit(each: DeviceLimit) -> tuple[Any, ...]:
    return (each.path, each.weight, each.read_bps, each.write_bps, each.read_iops, each.write_iops)
