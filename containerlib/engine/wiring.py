"""What a network says of a container's place in it, as the ops of its plan."""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterable, Sequence

from containerlib.networking import names
from containerlib.networking.bridge import Wiring
from containerlib.networking.netlink import Netlink, Request, packed, route
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.links import Links
from containerlib.runtime.plan.op import Op

__all__ = ["connection", "disconnection", "links"]


def links(wirings: Iterable[Wiring], resolver: Op) -> Links:
    """Of each place, in their order, and of who answers for names there."""
    made = [_links(wiring) for wiring in wirings]
    return Links(
        (*(op for one in made for op in one.host), resolver),
        (*(op for one in made for op in one.own), *_redirect()),
        tuple(op for one in made for op in one.end),
    )


def connection(wiring: Wiring, resolver: Op) -> Links:
    """What connects a container that runs. It may have a resolver."""
    made = _links(wiring)
    return Links((*made.host, resolver), (*made.own, *_redirect()))


def disconnection(device: str, wiring: Wiring, routes: Sequence[Request]) -> Links:
    """The opposite; `routes`: what is to lead through another place of its now."""
    gone = [
        ops.netlink(
            Netlink.NETFILTER, packed(batch), _subject(batch), answers=_answers(batch), tolerated=errno.ENOENT
        )
        for batch in wiring.end
    ]
    removal = ops.netlink(
        Netlink.ROUTE, packed([route.remove(device)]), f"link {device}", answers=1, tolerated=errno.ENODEV
    )
    return Links((*gone, removal), tuple(_ops(Netlink.ROUTE, routes)))


@functools.cache
def _redirect() -> Sequence[Op]:
    requests = names.redirect()
    return (
        ops.netlink(
            Netlink.NETFILTER,
            packed(requests),
            _subject(requests),
            answers=_answers(requests),
            tolerated=errno.EEXIST,
        ),
    )


def _links(wiring: Wiring) -> Links:
    return Links(
        (_pair(wiring), *_ops(Netlink.NETFILTER, wiring.host)),
        tuple(_ops(Netlink.ROUTE, wiring.own)),
        tuple(op for batch in wiring.end for op in _ops(Netlink.NETFILTER, batch)),
    )


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


def _ops(protocol: int, requests: Sequence[Request]) -> Sequence[Op]:
    if not requests:
        return ()
    return (ops.netlink(protocol, packed(requests), _subject(requests), answers=_answers(requests)),)


def _answers(requests: Sequence[Request]) -> int:
    return sum(1 for request in requests if request.flags & 0x4)


def _subject(requests: Sequence[Request]) -> str:
    return next(request.subject for request in requests if request.flags & 0x4)
