"""A container engine as a library: no daemon, no runtime binary, in the caller's own process.

    import containerlib as cl

    with cl.Engine() as engine:
        print(engine.container("alpine:3.20").run("uname", "-sr").text)

Each name is loaded when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from containerlib import aio as aio
    from containerlib import errors as errors
    from containerlib import rootless as rootless
    from containerlib.engine.completed import Completed
    from containerlib.engine.disk import DiskUsage
    from containerlib.engine.events import Event
    from containerlib.engine.host_address import HostAddress
    from containerlib.engine.inspection import ContainerInfo
    from containerlib.engine.option_files import read_env_file
    from containerlib.engine.places import PublishedPort
    from containerlib.engine.prune import PruneReport
    from containerlib.engine.stats import Stats
    from containerlib.engine.usage import ProcessInfo
    from containerlib.errors import (
        AlreadyExists,
        BuildError,
        Conflict,
        Error,
        ExitError,
        InvalidArgument,
        NotFound,
        PluginError,
        RegistryError,
        StageError,
        Timeout,
        Unauthorized,
        Unavailable,
        Unsupported,
    )
    from containerlib.fluent.checkpoint import Checkpoint, KeptCheckpoint
    from containerlib.fluent.checks import command, http, tcp
    from containerlib.fluent.container import Container
    from containerlib.fluent.container_path import ContainerPath
    from containerlib.fluent.default import container, default_engine, host_image, image, network, volume
    from containerlib.fluent.engine import Engine
    from containerlib.fluent.image import HostImage, Image, ImageRecipe
    from containerlib.fluent.mounts import Tmpfs, tmpfs
    from containerlib.fluent.network import Network, NetworkRecipe
    from containerlib.fluent.process import Process
    from containerlib.fluent.recipe import ContainerRecipe
    from containerlib.fluent.volume import Volume, VolumeRecipe
    from containerlib.images import Progress
    from containerlib.images.archives.changes import Change
    from containerlib.images.registry import Registry
    from containerlib.progress import ProgressBars, progress_bars
    from containerlib.spec.auth import BasicAuth, IdentityToken, RegistryToken
    from containerlib.spec.lifecycle import State
    from containerlib.spec.lifetime import CommandCheck, Health, HealthResult, HttpCheck, TcpCheck
    from containerlib.spec.status import ExitStatus, LogRecord

    __version__: str

__all__ = [
    "AlreadyExists",
    "BasicAuth",
    "BuildError",
    "Change",
    "Checkpoint",
    "CommandCheck",
    "Completed",
    "Conflict",
    "Container",
    "ContainerInfo",
    "ContainerPath",
    "ContainerRecipe",
    "DiskUsage",
    "Engine",
    "Error",
    "Event",
    "ExitError",
    "ExitStatus",
    "Health",
    "HealthResult",
    "HostAddress",
    "HostImage",
    "HttpCheck",
    "IdentityToken",
    "Image",
    "ImageRecipe",
    "InvalidArgument",
    "KeptCheckpoint",
    "LogRecord",
    "Network",
    "NetworkRecipe",
    "NotFound",
    "PluginError",
    "Process",
    "ProcessInfo",
    "Progress",
    "ProgressBars",
    "PruneReport",
    "PublishedPort",
    "Registry",
    "RegistryError",
    "RegistryToken",
    "StageError",
    "State",
    "Stats",
    "TcpCheck",
    "Timeout",
    "Tmpfs",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "Volume",
    "VolumeRecipe",
    "command",
    "container",
    "default_engine",
    "host_image",
    "http",
    "image",
    "network",
    "progress_bars",
    "read_env_file",
    "tcp",
    "tmpfs",
    "volume",
]

if not TYPE_CHECKING:  # a type checker sees the imports above, and would take any name for granted with this
    _HOMES = {
        "engine.completed": "Completed",
        "engine.disk": "DiskUsage",
        "engine.events": "Event",
        "engine.host_address": "HostAddress",
        "engine.inspection": "ContainerInfo",
        "engine.option_files": "read_env_file",
        "engine.places": "PublishedPort",
        "engine.prune": "PruneReport",
        "engine.stats": "Stats",
        "engine.usage": "ProcessInfo",
        "errors": (
            "AlreadyExists BuildError Conflict Error ExitError InvalidArgument NotFound PluginError RegistryError "
            "StageError Timeout Unauthorized Unavailable Unsupported"
        ),
        "fluent.checkpoint": "Checkpoint KeptCheckpoint",
        "fluent.checks": "command http tcp",
        "fluent.container": "Container",
        "fluent.container_path": "ContainerPath",
        "fluent.default": "container default_engine host_image image network volume",
        "fluent.engine": "Engine",
        "fluent.image": "HostImage Image ImageRecipe",
        "fluent.mounts": "Tmpfs tmpfs",
        "fluent.network": "Network NetworkRecipe",
        "fluent.process": "Process",
        "fluent.recipe": "ContainerRecipe",
        "fluent.volume": "Volume VolumeRecipe",
        "images": "Progress",
        "images.archives.changes": "Change",
        "images.registry": "Registry",
        "progress": "ProgressBars progress_bars",
        "spec.auth": "BasicAuth IdentityToken RegistryToken",
        "spec.lifecycle": "State",
        "spec.lifetime": "CommandCheck Health HealthResult HttpCheck TcpCheck",
        "spec.status": "ExitStatus LogRecord",
    }

    _MODULES = ("aio", "errors", "rootless")

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - nothing is loaded before it is used

            return version(__name__)
        from importlib import import_module  # noqa: PLC0415

        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        for home, names in _HOMES.items():
            if name in names.split():
                value = getattr(import_module(f"{__name__}.{home}"), name)
                globals()[name] = value
                return value
        import sys  # noqa: PLC0415

        # with these two the interpreter asks: did you mean ...?
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])

    def __dir__() -> list[str]:
        own = (name for name in globals() if name.startswith("__"))
        return sorted({*own, *__all__, *_MODULES, "__version__"})
