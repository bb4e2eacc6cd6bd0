"""Networks that plugins make: programs of the host's, each a link of a chain that a configuration names.

    chain = read(data, name="lan", path=("/usr/lib/cni",))     # what is asked for
    chain = ready(chain)                                       # the plugins are there, and a version is agreed on
    add(chain, attachment) -> result                           # in order, each is told what the one before it has made
    delete(chain, attachment)                                  # in the opposite one; also where there is nothing left

configuration.py reads, plugin.py runs one program, chain.py all of them, result.py says what came of it. Those that run
programs are imported by who does: subprocess is 2 ms of an engine's start.

Spec: containernetworking/cni SPEC.md, 0.4.0 to 1.1.0; CONVENTIONS.md for capabilities
"""

from __future__ import annotations

from containerlib.networking.cni.configuration import DEFAULT_PATH, DEFAULT_TIMEOUT, Chain, CniNetwork, read
from containerlib.networking.cni.result import Result

__all__ = ["DEFAULT_PATH", "DEFAULT_TIMEOUT", "Chain", "CniNetwork", "Result", "read"]
