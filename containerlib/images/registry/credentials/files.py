"""Docker's config.json and the containers tools' auth.json: one format, read from wherever they may be.

The oldest file of all, ~/.dockercfg, has the entries alone; it is read last.

    {"auths": {"ghcr.io": {"auth": "<base64 of user:password>"},
               "quay.io/acme/app": {"username": "ci", "password": "..."},
               "https://index.docker.io/v1/": {"identitytoken": "..."}},
     "credHelpers": {"gcr.io": "gcloud"},
     "credsStore": "secretservice"}

Spec: docker/cli configuration; containers-auth.json(5).
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping

from attrs import frozen

from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.spec.auth import Auth, BasicAuth, IdentityToken, RegistryToken
from containerlib.spec.document import Document, parse_json

__all__ = ["AuthFile", "auth_files", "hosts_of"]

DOCKER_HUB = "docker.io"
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_VERSION = re.compile(r"/v[12]/?")
_LEGACY = ".dockercfg"
_MAX_FILE = 1024 * 1024


@frozen
class AuthFile:
    """One such file; `origin` is what messages call it."""

    origin: str
    document: Document

    @classmethod
    def parse(cls, data: bytes, origin: str) -> AuthFile:
        """Raises: InvalidArgument(field=origin). What of it is wrong is said without the secrets in it."""
        return cls(origin, Document.parse(data, origin))

    @classmethod
    def parse_legacy(cls, data: bytes, origin: str) -> AuthFile:
        """The form of `.dockercfg`, of before 2015: the entries alone, with nothing around them. Raises: as `parse`."""
        return cls(origin, Document({"auths": parse_json(data, origin)}, origin))

    def auth(self, registry: str, repository: str) -> Auth | None:
        """The entry for the repository, else for the namespace around it, else for the registry.

        Raises: InvalidArgument where that entry cannot be read.
        """
        entries = self.document.document("auths")
        by_key = {_normal(key): key for key in reversed(self.document.keys("auths"))}
        for name in _from_narrow_to_wide(registry, repository):
            found = _auth(entries.document(by_key[name])) if name in by_key else None
            if found is not None:  # an empty entry says that a helper has it
                return found
        return None

    def helper(self, registry: str) -> str:
        """The name of the helper program that keeps the registry's credentials, empty if none does."""
        helpers = {_normal(host): name for host, name in self.document.mapping("credHelpers")}
        return helpers.get(registry, self.document.text("credsStore", default=""))


def auth_files(environ: Mapping[str, str]) -> Iterator[AuthFile]:
    """Those that there are, the first to be asked first: what the environment names before what lies about.

    Raises: InvalidArgument; NotFound for REGISTRY_AUTH_FILE without a file; StageError where one cannot be read.
    """
    if content := environ.get("DOCKER_AUTH_CONFIG"):
        yield AuthFile.parse(content.encode(errors="surrogateescape"), "DOCKER_AUTH_CONFIG")
    if path := environ.get("REGISTRY_AUTH_FILE"):
        file = _read(path)
        if file is None:
            raise NotFound(f"REGISTRY_AUTH_FILE names {path!r}, which is not there: log in, or unset it")
        yield file
    for path in _usual_paths(environ):
        file = _read(path)
        if file is not None:
            yield file


def hosts_of(registry: str) -> tuple[str, ...]:
    """What helper programs know the registry by. Docker Hub has the name that it had in 2013."""
    return ("https://index.docker.io/v1/", DOCKER_HUB) if registry == DOCKER_HUB else (registry,)


def _usual_paths(environ: Mapping[str, str]) -> Iterator[str]:
    home = environ.get("HOME") or os.path.expanduser("~")
    if directory := environ.get("DOCKER_CONFIG"):
        yield os.path.join(directory, "config.json")
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield os.path.join(runtime, "containers", "auth.json")
    elif hasattr(os, "getuid"):
        yield f"/run/containers/{os.getuid()}/auth.json"
    yield os.path.join(
        environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "containers", "auth.json"
    )
    if not directory:
        yield os.path.join(home, ".docker", "config.json")
    yield os.path.join(home, _LEGACY)


def _read(path: str) -> AuthFile | None:
    """Raises: InvalidArgument, StageError."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        advice = "let this user read it, or give auth=BasicAuth(...)"
        raise StageError("credentials", error.errno or 0, path, advice=advice) from error
    if len(data) > _MAX_FILE:
        raise InvalidArgument(f"more than {_MAX_FILE} bytes: no file of credentials", field=path)
    return (AuthFile.parse_legacy if os.path.basename(path) == _LEGACY else AuthFile.parse)(data, path)


def _from_narrow_to_wide(registry: str, repository: str) -> Iterator[str]:
    parts = [registry, *repository.split("/")]
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])


def _normal(key: str) -> str:
    """`host[:port][/namespace]`: Docker's older keys are URLs, whose path says nothing."""
    bare = key.removeprefix("https://").removeprefix("http://")
    host, _, path = bare.partition("/")
    if bare != key or _VERSION.fullmatch(f"/{path}"):
        path = ""
    host = DOCKER_HUB if host in _HUB_HOSTS else host
    return f"{host}/{path}".rstrip("/")


def _auth(entry: Document) -> Auth | None:
    """What one entry says; None for one that says nothing."""
    if token := entry.text("registrytoken", default=""):
        return RegistryToken(token)
    if token := entry.text("identitytoken", default=""):
        return IdentityToken(token)
    if encoded := entry.text("auth", default=""):
        return _decoded(encoded, f"{entry.where}.auth")
    username = entry.text("username", default="")
    return BasicAuth(username, entry.text("password", default="")) if username else None


def _decoded(encoded: str, where: str) -> BasicAuth:
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise InvalidArgument("it is not the base64 of user:password: log in again", field=where) from None
    return BasicAuth(username, password.strip("\0"))
