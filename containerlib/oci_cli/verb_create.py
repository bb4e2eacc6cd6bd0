"""create: a container whose program waits for start."""

from __future__ import annotations

from containerlib.oci_cli.new import make, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.request import Request

__all__ = ["run"]


def run(request: Request) -> int:
    tell(request, make(request, detach=True))
    return 0
