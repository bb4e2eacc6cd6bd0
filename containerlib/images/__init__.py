"""Container images: pulled from registries, loaded from archives, kept as blobs and as unpacked layers.

store = Store(root)
images = ImageStore(root, store)
record = images.pull("redis:7")                     # or images.load("redis.tar")
layers = record.layers                              # what a root is stacked of, the top one first
images.tag("redis:7", "localhost:5000/redis:mine")
images.remove("redis:7")
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.images.image_store import ImageStore
    from containerlib.images.records import ImageRecord, ImagesPruned, ImageUsage, Progress, PruneReport

__all__ = ["ImageRecord", "ImageStore", "ImageUsage", "ImagesPruned", "Progress", "PruneReport"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Loads what is asked for: the store needs Linux, and a registry alone (images.registry) does not."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415

        home = "image_store" if name == "ImageStore" else "records"
        return getattr(import_module(f"{__name__}.{home}"), name)
