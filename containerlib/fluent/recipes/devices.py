"""Which devices a container may use."""

from __future__ import annotations

from typing import Literal, Self

from containerlib.engine import words_devices as words
from containerlib.engine.words import host_path
from containerlib.errors import InvalidArgument
from containerlib.fluent.recipes.base import Words

__all__ = ["DeviceWords"]


class DeviceWords(Words):
    """Device nodes, rules, and CDI's devices."""

    __slots__ = ()

    def device(self, device: str, /, *, at: str | None = None, access: str = "rwm") -> Self:
        """A device of the host's, or all of a directory, at the same path or `at`; or a CDI device by its name.

        `access` is some of r (read), w (write) and m (make nodes). A CDI name is `"vendor/class=name"`, e.g.
        `"nvidia.com/gpu=all"`: what it stands for is in files of /etc/cdi and /var/run/cdi, or where `cdi` says.
        """
        if words.is_qualified(device):
            if at is not None or access != "rwm":
                field = "at" if at is not None else "access"
                raise InvalidArgument(
                    "a CDI device is where its specification says, and as that says", field=field
                )
            return self._with(cdi=tuple(dict.fromkeys((*self.options.cdi, device))))
        option = words.device(device, at, access)
        others = tuple(other for other in self.options.devices if other.target != option.target)
        return self._with(devices=(*others, option))

    def device_cgroup_rule(self, rule: str, /) -> Self:
        """Lets it use devices whose nodes it makes or gets later, e.g. `"c 189:* rwm"`: kind, major, minor, access."""
        return self._with(device_rules=tuple(dict.fromkeys((*self.options.device_rules, words.rule(rule)))))

    def gpus(self, count: int | Literal["all"], /) -> Self:
        """The first `count` of NVIDIA's GPUs, or all, by CDI; a certain one is `device("nvidia.com/gpu=0")`."""
        return self._with(gpus=words.gpus(count))

    def cdi(self, *directories: str) -> Self:
        """Where CDI specifications are; what is in a later directory counts more. Without it /etc/cdi, /var/run/cdi."""
        return self._with(cdi_directories=tuple(host_path(each, field="cdi") for each in directories))
