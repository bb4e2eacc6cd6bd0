"""What connects a container's network namespace, as ops: the caller says what is sent, its supervisor sends it.

They are in files of the container's directory, beside its plan, since they may be others by its next start.
"""

from __future__ import annotations

from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op, Plan
from containerlib.spec.values import frozen

__all__ = ["NO_LINKS", "Links"]


@frozen
class Links:
    """NETLINK and RESOLVER ops: `host` in the host's network namespace, then `own` in the container's.

    `end`: in the host's when the container has ended, whatever becomes of them.
    """

    host: tuple[Op, ...] = ()
    own: tuple[Op, ...] = ()
    end: tuple[Op, ...] = ()
    filter: int = -1
    """A socket to nf_tables for the supervisor; -1: it opens one."""

    def plan(self) -> Plan:
        """As the supervisor reads it."""
        return Plan((*ops.handover(*self.host), *self.own), self.end)


NO_LINKS = Links()
