"""Network devices of the host that move into the container, and stay until its namespace ends.

Spec: runtime-spec config-linux.md#network-devices
"""

from __future__ import annotations

from collections.abc import Iterator

from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Linux

__all__ = ["net_device_ops"]

_NAME_BYTES = 15  # IFNAMSIZ, less its NUL


def net_device_ops(linux: Linux) -> Iterator[Op]:
    """One HANDOVER, when the container's network namespace is there and its loopback device is up."""
    devices = linux.get("netDevices") or {}
    if not devices:
        return
    if not any(namespace["type"] == "network" for namespace in linux.get("namespaces") or ()):
        raise InvalidArgument(
            "is for a network namespace, and linux.namespaces has none", field="linux.netDevices"
        )
    yield from ops.handover(
        *(ops.link(device, _name(device, properties.get("name"))) for device, properties in devices.items())
    )


def _name(device: str, wanted: str | None) -> str:
    name = wanted or device
    field = f"linux.netDevices.{device}.name"
    if not 0 < len(name.encode(errors="surrogateescape")) <= _NAME_BYTES or "\0" in name:
        raise InvalidArgument(f"{name!r} is no name of a device: 1 to {_NAME_BYTES} bytes", field=field)
    if name.count("%") > 1 or ("%" in name and "%d" not in name):
        raise InvalidArgument(f'{name!r} is no template: "%d" stands once for the number', field=field)
    return name
