"""rtnetlink(7) and nf_tables, spoken in this process: no `ip` and no `nft` is run to connect a container.

    with Netlink(Netlink.ROUTE) as kernel:
        kernel.run([route.bridge("br0"), route.up("br0")])      # one datagram, one answer for each
    packed(route.veth("v0", peer="eth0"))                       # the same bytes, for a helper to send

message.py packs, socket.py sends and hears, route.py and nftables.py have a function for each thing that is asked.
"""

from __future__ import annotations

from containerlib.networking.netlink.message import Request, packed
from containerlib.networking.netlink.pool import FilterSockets
from containerlib.networking.netlink.socket import KeptNetlink, Netlink

__all__ = ["FilterSockets", "KeptNetlink", "Netlink", "Request", "packed"]
