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

__all__ = ["connection", "disconnection", "links", "resolver"]


def links(wirings: Iterable[Wiring], resolver: Op) -> Links:
    """Of each place, in their order, and of who answers for names there."""
    made = [_links(wiring) for wiring in wirings]
    return Links(
        (*(op for one in made for op in one.host), resolver),
        tuple(op for one in made for op in one.own),
        tuple(op for one in made for op in one.end),
    )


def connection(wiring: Wiring, resolver: Op) -> Links:
    """What connects a container that runs. It may have a resolver."""
    made = _links(wiring)
    return Links((*made.host, resolver), made.own)


def disconnection(device: str, wiring: Wiring, inside: Sequence[Request]) -> Links:
    """The opposite; `inside`: what becomes of the container's own namespace.

    The device goes when the container has been disconnected: that takes the kernel some 20 ms.
    """
    gone = [_tolerant(Netlink.NETFILTER, batch, errno.ENOENT) for batch in wiring.end]
    own = [_tolerant(Netlink.ROUTE, [request], errno.ENODEV) for request in inside]
    removal = _tolerant(Netlink.ROUTE, [route.remove(device)], errno.ENODEV)
    return Links(tuple(gone), tuple(own), (removal,))


def resolver(directory: str, view: str) -> Op:
    """Who answers for names, by the file `view` of that directory."""
    requests, messages = _redirect()
    return ops.resolver(
        directory,
        view,
        Netlink.NETFILTER,
        messages,
        answers=_answers(requests),
        tolerated=errno.EEXIST,  # in a namespace that outlives its runs
    )


@functools.cache
def _redirect() -> tuple[Sequence[Request], bytes]:
    requests = names.redirect()
    return requests, packed(requests)


def _links(wiring: Wiring) -> Links:
    quiet = [_tolerant(Netlink.ROUTE, wiring.quiet, errno.EAFNOSUPPORT)] if wiring.quiet else []
    return Links(
        (_pair(wiring), *_ops(Netlink.NETFILTER, wiring.host)),
        (*quiet, *_ops(Netlink.ROUTE, wiring.own)),
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
    return (_tolerant(protocol, requests, 0),) if requests else ()


def _tolerant(protocol: int, requests: Sequence[Request], tolerated: int) -> Op:
    return ops.netlink(
        protocol, packed(requests), _subject(requests), answers=_answers(requests), tolerated=tolerated
    )


def _answers(requests: Sequence[Request]) -> int:
    return sum(1 for request in requests if request.flags & 0x4)


def _subject(requests: Sequence[Request]) -> str:
    return next(request.subject for request in requests if request.flags & 0x4)
