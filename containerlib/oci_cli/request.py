"""What a command line asks for."""

from __future__ import annotations

import os

from containerlib.errors import InvalidArgument
from containerlib.runtime.containers.containers import Container, Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.log import Log
    from containerlib.oci_cli.parser import Values

__all__ = ["Request", "default_root"]

NAME = "containerlib-oci"


class Request:
    """A verb's flags and arguments, and where the containers are."""

    def __init__(self, options: Values, values: Values, arguments: list[str], log: Log) -> None:
        self.options = options
        self.values = values
        self.arguments = arguments
        self.log = log
        self.containers = Containers(options.text("root") or default_root())

    @property
    def id(self) -> str:
        return self.arguments[0]

    @property
    def cgroup_manager(self) -> str:
        """Who makes the groups: "cgroupfs", "systemd" or "disabled". Raises: InvalidArgument."""
        word = self.options.text("cgroup-manager")
        if word not in ("", "cgroupfs", "systemd", "disabled"):
            raise InvalidArgument(
                f'invalid value "{word}" for flag -cgroup-manager: cgroupfs, systemd or disabled is needed'
            )
        return word or ("systemd" if self.options.flag("systemd-cgroup") else "cgroupfs")

    @property
    def container(self) -> Container:
        """The one that is named. Raises: NotFound."""
        return self.containers.get(self.id)


def default_root() -> str:
    """Where root's containers are, or another user's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/{NAME}" if runtime and os.geteuid() != 0 else f"/run/{NAME}"
