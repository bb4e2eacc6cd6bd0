"""One registry, spoken to as the distribution specification has it: no privilege, no store, any operating system.

with Registry("ghcr.io", auth=BasicAuth("ci", token)) as registry:
    registry.resolve("acme/app:1.0")
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.images.registry.client import Registry

__all__ = ["Registry"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Loads the client, and httpx with it (100 ms), when it is asked for."""
        if name != "Registry":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from containerlib.images.registry.client import Registry  # noqa: PLC0415

        return Registry
