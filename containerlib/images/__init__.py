"""Container images: pulled from registries, loaded from archives, kept as blobs and as unpacked layers.

store = Store(root)
images = ImageStore(root, store)
record = images.pull("redis:7")                     # or images.load("redis.tar")
layers = record.layers                              # what a root is stacked of, the top one first
images.tag("redis:7", "localhost:5000/redis:mine")
images.remove("redis:7")
"""

from __future__ import annotations

from containerlib.images.image_store import ImageStore
from containerlib.images.records import ImageRecord, ImagesPruned, Progress, PruneReport

__all__ = ["ImageRecord", "ImageStore", "ImagesPruned", "Progress", "PruneReport"]
