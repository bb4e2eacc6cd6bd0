"""What connects a container's network namespace, as ops: the caller says what is sent, a helper sends it."""

from __future__ import annotations

from containerlib.runtime.plan.op import Op
from containerlib.spec.values import frozen

__all__ = ["NO_LINKS", "Links"]


@frozen
class Links:
    """NETLINK ops: `host` of the shim once the namespace is there, `own` in the namespace itself.

    `end`: of the shim when the container has ended, whatever becomes of them.
    """

    host: tuple[Op, ...] = ()
    own: tuple[Op, ...] = ()
    end: tuple[Op, ...] = ()


NO_LINKS = Links()
