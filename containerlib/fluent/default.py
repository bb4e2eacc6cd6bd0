"""The same words on one engine for the whole process: `cl.container("alpine:3.20").run("ls")`."""

from __future__ import annotations

from functools import cache

from containerlib.fluent.engine import Engine
from containerlib.fluent.image import HostImage, Image, ImageRecipe
from containerlib.fluent.network import NetworkRecipe
from containerlib.fluent.recipe import ContainerRecipe
from containerlib.fluent.volume import VolumeRecipe

__all__ = ["container", "default_engine", "host_image", "image", "network", "volume"]


@cache
def default_engine() -> Engine:
    """The engine behind `cl.container(...)` and the like: `Engine()` with its defaults."""
    return Engine()


def container(image: str | ImageRecipe | Image | HostImage, /) -> ContainerRecipe:
    """`Engine.container` on the default engine."""
    return default_engine().container(image)


def image(reference: str, /) -> ImageRecipe:
    """`Engine.image` on the default engine."""
    return default_engine().image(reference)


def host_image() -> HostImage:
    """`Engine.host_image` on the default engine."""
    return default_engine().host_image()


def network(name: str, /) -> NetworkRecipe:
    """`Engine.network` on the default engine."""
    return default_engine().network(name)


def volume(name: str | None = None, /) -> VolumeRecipe:
    """`Engine.volume` on the default engine."""
    return default_engine().volume(name)
