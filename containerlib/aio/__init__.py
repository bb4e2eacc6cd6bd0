"""The engine for event loops: the words of `containerlib`, and verbs to await, on asyncio or trio.

    from containerlib import aio

    async with aio.Engine() as engine:
        async with await engine.container("redis:7").start() as redis:
            await redis.wait_for(log="Ready to accept connections")
            print((await redis.exec("redis-cli", "ping")).text)

Waiting takes no thread: a thousand containers are waited for in one loop. What is cancelled is cleaned up first: a
cancelled `run` leaves no container behind.
"""

from containerlib.aio.container import Container
from containerlib.aio.container_path import ContainerPath
from containerlib.aio.engine import Engine
from containerlib.aio.image import HostImage, Image, ImageRecipe, KeptCheckpoint
from containerlib.aio.network import Network, NetworkRecipe
from containerlib.aio.process import Process
from containerlib.aio.recipe import ContainerRecipe
from containerlib.aio.volume import Volume, VolumeRecipe

__all__ = [
    "Container",
    "ContainerPath",
    "ContainerRecipe",
    "Engine",
    "HostImage",
    "Image",
    "ImageRecipe",
    "KeptCheckpoint",
    "Network",
    "NetworkRecipe",
    "Process",
    "Volume",
    "VolumeRecipe",
]
