"""One registry, by the name that images have it in theirs.

    with Registry("ghcr.io", auth=BasicAuth("ci", token)) as registry:
        descriptor = registry.resolve("acme/app:1.0")            # one HEAD
        manifest = registry.manifest("acme/app:1.0").parse()
        for chunk in registry.blob("acme/app", manifest.layers[0]): ...
        registry.save("acme/app", manifest.layers[0], "layer.tar.gz")

Spec: distribution-spec spec.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType

import httpx
from attrs import evolve

from containerlib.boundary import public
from containerlib.errors import InvalidArgument
from containerlib.images.registry.configuration.files import ConfigurationFiles
from containerlib.images.registry.configuration.rules import Location
from containerlib.images.registry.credentials import StoredCredentials, credentials_of
from containerlib.images.registry.operations import Operations
from containerlib.images.registry.places import Places
from containerlib.images.registry.reading import Reading
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.session import Given, Session
from containerlib.images.registry.tls import TlsFiles
from containerlib.spec.auth import Auth, Credentials, check_token_server
from containerlib.spec.reference import Reference

__all__ = ["Registry"]

_MIRROR_ATTEMPTS = 2
"""Somebody else has what a mirror cannot give, so that it is not waited for as long as the registry itself."""

StrPath = str | os.PathLike[str]


@public
class Registry(Reading, Operations):
    """Requests to one registry, with one identity. Safe for several threads at once.

    `auth` are credentials, or where to look for them; without it, what a login left on this machine. `ca` is a PEM file
    of authorities to trust besides the system's, `client_certificate` one with a certificate and its key, or two files.
    `insecure` takes any certificate, and plain HTTP; False wants TLS even on loopback. `token_server` is the
    `host[:port]` that may see the credentials though it is not in the registry's own domain. `mirrors` are other
    registries that are read from first: `host[:port][/namespace]` in the place of this one. What of these is not given
    is as registries.conf and certs.d say (`configuration`, `files`). `foreign_layers` are fetched from the URLs in
    their manifests. `timeout`: the seconds within which a server has to make some progress.

    Raises: InvalidArgument for what is no registry, or a configuration file that cannot be understood.
    """

    def __init__(
        self,
        name: str,
        *,
        auth: Auth | Credentials | None = None,
        ca: StrPath | None = None,
        client_certificate: StrPath | tuple[StrPath, StrPath] | None = None,
        insecure: bool | None = None,
        token_server: str = "",
        mirrors: Sequence[str] | None = None,
        foreign_layers: bool = False,
        files: ConfigurationFiles | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        retry: Retry | None = None,
    ) -> None:
        self.name = _registry(name)
        self._files = files or ConfigurationFiles(os.environ)
        self._credentials = credentials_of(auth)
        self._given = _tls_files(ca, client_certificate)
        self._insecure = insecure
        self._token_server = check_token_server(token_server)
        self._foreign_layers = foreign_layers
        self._timeout = timeout
        self._transport = transport
        self._retry = retry or Retry()
        configuration = self._files.configuration()
        if mirrors is not None:
            configuration = configuration.with_mirrors(self.name, mirrors)
        self._places = Places(configuration, self._connect)

    def _connect(self, location: Location) -> Session:
        """A session with what is this registry's, or with what is a mirror's own."""
        own = not location.is_mirror
        retry = (
            self._retry if own else evolve(self._retry, attempts=min(self._retry.attempts, _MIRROR_ATTEMPTS))
        )
        return Session(
            location.registry,
            self._credentials if own or not isinstance(self._credentials, Given) else StoredCredentials(),
            tls=self._given if own and self._given else self._files.tls(location.registry),
            insecure=self._insecure if own and self._insecure is not None else location.insecure,
            token_server=self._token_server if own and self._token_server else location.token_server,
            timeout=self._timeout,
            transport=self._transport,
            retry=retry,
        )

    def _foreign_session(self, host: str) -> Session:
        """One without credentials, and with TLS whatever the host is."""
        return self._places.adopt(
            Session(
                host,
                insecure=False,
                timeout=self._timeout,
                transport=self._transport,
                retry=self._retry,
                chosen=False,  # but by whoever made the image
            )
        )

    def stop(self) -> None:
        """Makes what other threads have under way fail at once. Nothing can be asked for afterwards."""
        self._places.stop()

    def close(self) -> None:
        """Closes every connection."""
        self._places.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _registry(name: str) -> str:
    """The name as references have it. Raises: InvalidArgument(field="registry")."""
    try:
        registry = Reference.parse(f"{name}/a/b").registry
    except InvalidArgument:
        registry = ""
    if not registry or name not in (registry, "index.docker.io"):
        raise InvalidArgument(f"{name[:200]!r} is not a registry's host[:port]", field="registry")
    return registry


def _tls_files(ca: StrPath | None, certificate: StrPath | tuple[StrPath, StrPath] | None) -> TlsFiles:
    pair = certificate if isinstance(certificate, tuple) else (certificate or "", "")
    return TlsFiles((os.fspath(ca),) if ca else (), os.fspath(pair[0]), os.fspath(pair[1]))
