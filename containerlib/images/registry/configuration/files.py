"""Where registries.conf and certs.d are on this machine, and what is in them.

    files = ConfigurationFiles(os.environ)
    files.configuration()                        # the user's registries.conf, or the system's; with the drop-ins
    files.tls("registry.example:5000")           # the first directory of that name in a certs.d

    ~/.config/containers/registries.conf         instead of  /etc/containers/registries.conf and its registries.conf.d/
    ~/.config/containers/registries.conf.d/*.conf            over both
    CONTAINERS_REGISTRIES_CONF                   instead of either, without drop-ins
    ~/.config/containers/certs.d/HOST[:PORT]/    before  /etc/containers/certs.d/...  before  /etc/docker/certs.d/...

Spec: containers-registries.conf.d(5), containers-certs.d(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from containerlib.errors import InvalidArgument, StageError
from containerlib.images.registry.configuration.rules import Configuration, parse
from containerlib.images.registry.tls import TlsFiles

__all__ = ["ConfigurationFiles"]

_SYSTEM = "/etc/containers"
_DOCKER = "/etc/docker"
_MAX_SIZE = 1024 * 1024


class ConfigurationFiles:
    """Read anew each time. `root` is put before the system's paths, for those of another root file system."""

    def __init__(self, environ: Mapping[str, str], *, root: str = "") -> None:
        home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", ""), ".config")
        self._user = os.path.join(home, "containers") if os.path.isabs(home) else ""
        self._system = root + _SYSTEM
        self._docker = root + _DOCKER
        self._named = environ.get("CONTAINERS_REGISTRIES_CONF", "")

    def configuration(self) -> Configuration:
        """Every rule that there is; none where there are no files.

        Raises: InvalidArgument for a file that cannot be understood; StageError for one that cannot be read.
        """
        found = Configuration()
        for path in self._paths():
            if (data := _read(path)) is not None:
                found = parse(data, path).over(found)
        return found

    def _paths(self) -> Iterator[str]:
        """From the least that counts to the most."""
        if self._named:
            yield self._named
            return
        of_user = os.path.join(self._user, "registries.conf")
        if self._user and os.path.exists(of_user):
            yield of_user
        else:
            yield os.path.join(self._system, "registries.conf")
            yield from _drop_ins(self._system)
        if self._user:
            yield from _drop_ins(self._user)

    def tls(self, registry: str) -> TlsFiles:
        """The certificates that are there for `host[:port]`.

        Raises: InvalidArgument for a client's certificate without its key, or a key without its certificate;
        StageError where they cannot be looked for.
        """
        if registry in ("", ".", "..") or "/" in registry:  # no host, and a path to somewhere else
            return TlsFiles()
        for base in (self._user, self._system, self._docker):
            directory = os.path.join(base, "certs.d", registry)
            if base and os.path.isdir(directory):
                return _tls_files(directory, _names(directory))
        return TlsFiles()


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        advice = "let this user read it, or remove it"
        raise StageError("configuration", error.errno or 0, directory, advice=advice) from error


def _tls_files(directory: str, names: list[str]) -> TlsFiles:
    authorities = tuple(os.path.join(directory, name) for name in names if name.endswith(".crt"))
    certificates = [name.removesuffix(".cert") for name in names if name.endswith(".cert")]
    keys = [name.removesuffix(".key") for name in names if name.endswith(".key")]
    if alone := sorted(set(certificates) ^ set(keys)):
        raise InvalidArgument(
            f"{directory} needs both {alone[0]}.cert and {alone[0]}.key", field="client_certificate"
        )
    if not certificates:
        return TlsFiles(authorities)
    pair = os.path.join(directory, certificates[0])
    return TlsFiles(authorities, f"{pair}.cert", f"{pair}.key")


def _drop_ins(directory: str) -> list[str]:
    path = os.path.join(directory, "registries.conf.d")
    try:
        names = sorted(name for name in os.listdir(path) if name.endswith(".conf"))
    except OSError:
        return []
    return [file for name in names if os.path.isfile(file := os.path.join(path, name))]


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StageError("configuration", error.errno or 0, path) from error
    if len(data) > _MAX_SIZE:
        raise InvalidArgument(f"more than {_MAX_SIZE} bytes, so no configuration", field=path)
    return data
