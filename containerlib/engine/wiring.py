"""What a network says of a container's place in it, as the ops of its plan."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from containerlib.networking import names
from containerlib.networking.bridge import Wiring
from containerlib.networking.netlink import Netlink, Request, packed, route
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.links import Links
from containerlib.runtime.plan.op import Op

__all__ = ["links"]


def links(wirings: Iterable[Wiring], resolver: Op) -> Links:
    """Of each place, in their order, and of who answers for names there."""
    host: list[Op] = []
    own: list[Op] = []
    end: list[Op] = []
    for wiring in wirings:
        host.append(_pair(wiring))
        host += _op(Netlink.NETFILTER, wiring.host)
        own += _op(Netlink.ROUTE, wiring.own)
        for batch in wiring.end:
            end += _op(Netlink.NETFILTER, batch)
    host.append(resolver)
    own += _op(Netlink.NETFILTER, names.redirect())
    return Links(tuple(host), tuple(own), tuple(end))


def _pair(wiring: Wiring) -> Op:
    earlier, pair = wiring.pair[:2]
    at = len(earlier.pack()) + route.NAMESPACE_AT
    return ops.netlink(
        Netlink.ROUTE,
        packed(wiring.pair),
        pair.subject,
        answers=len(wiring.pair),
        pid_at=at,
        tolerated=errno.ENODEV,
    )


def _op(protocol: int, requests: Sequence[Request]) -> Sequence[Op]:
    if not requests:
        return ()
    answers = sum(1 for request in requests if request.flags & 0x4)
    subject = next(request.subject for request in requests if request.flags & 0x4)
    return (ops.netlink(protocol, packed(requests), subject, answers=answers),)
