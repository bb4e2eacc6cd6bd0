"""From the options of a network that plugins make to its chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.networking.cni import DEFAULT_PATH, DEFAULT_TIMEOUT, Chain, read

if TYPE_CHECKING:
    from containerlib.engine.networks import NetworkOptions

__all__ = ["chain_of"]

_MOST = 1024 * 1024


def chain_of(name: str, options: NetworkOptions) -> Chain:
    """The chain as it is to be run; what is in the file is read here, and later changes of it are another network.

    Raises: InvalidArgument for a configuration that is none, and with what the configuration says alone; NotFound for
    a file or plugin that is not there; Unsupported for a version that is not spoken; PluginError; Timeout; StageError.
    """
    said = {
        "subnet": options.subnets,
        "pool": options.pools,
        "ipv6": options.ipv6,
        "internal": options.internal,
        "mtu": options.mtu != 1500,
        "anti_spoofing": options.anti_spoofing,
    }
    for word, value in said.items():
        if value:
            raise InvalidArgument("of a network that plugins make, their configuration says that", field=word)
    asked = options.cni
    where = asked.config if asked.is_file else "config"
    data = _contents(asked.config) if asked.is_file else asked.config.encode()
    chain = read(
        data,
        name=name,
        path=asked.path or DEFAULT_PATH,
        timeout=DEFAULT_TIMEOUT if asked.timeout is None else asked.timeout,
        where=where,
    )
    from containerlib.networking.cni.chain import ready  # noqa: PLC0415 - see there

    return ready(chain)


def _contents(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_MOST)
    except FileNotFoundError as error:
        raise NotFound(f"there is no configuration of plugins {path!r}") from error
    except OSError as error:
        raise StageError("network", error.errno or 0, path) from error
