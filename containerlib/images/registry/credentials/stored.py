"""The credentials that are found when none are given.

    auth=BasicAuth(...)                                     what the caller says comes first
    DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE, DOCKER_CONFIG   then what the environment says or names
    auth.json, config.json                                  then what a login left in the usual files
    docker-credential-NAME                                  and last, what those files say a helper keeps

A program is run and a file is read when a registry asks for credentials, and not before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from containerlib.images.registry.credentials.files import auth_files, hosts_of
from containerlib.images.registry.credentials.helpers import ask_helper
from containerlib.images.registry.session import Given
from containerlib.spec.auth import Auth, BasicAuth, Credentials, IdentityToken, RegistryToken

__all__ = ["StoredCredentials", "credentials_of"]

_HELPER_TIMEOUT = 30.0


class StoredCredentials:
    """Looks them up once for each repository; safe for several threads at once.

    `timeout`, in seconds, is what a helper may take.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, *, timeout: float = _HELPER_TIMEOUT) -> None:
        self._environ = os.environ if environ is None else environ
        self._timeout = timeout
        self._found: dict[tuple[str, str], Auth | None] = {}
        self._lock = threading.Lock()

    def get(self, registry: str, repository: str) -> Auth | None:
        """Those for `repository` at `registry`; None where there are none.

        Raises: InvalidArgument for a file that cannot be understood, StageError for one that cannot be read;
        NotFound, Unavailable, Timeout: see files.py and helpers.py.
        """
        key = (registry, repository)
        with self._lock:
            if key not in self._found:
                self._found[key] = self._look(registry, repository)
            return self._found[key]

    def _look(self, registry: str, repository: str) -> Auth | None:
        files = list(auth_files(self._environ))
        for file in files:
            if auth := file.auth(registry, repository):
                return auth
        for name in dict.fromkeys(file.helper(registry) for file in files):
            for server in hosts_of(registry) if name else ():
                auth = ask_helper(name, server, environ=self._environ, timeout=self._timeout)
                if auth is not None:
                    return auth
        return None


def credentials_of(auth: Auth | Credentials | None) -> Credentials:
    """What `auth=` means: credentials for everything, or where to look for them; None for the usual places."""
    if auth is None:
        return StoredCredentials()
    return Given(auth) if isinstance(auth, BasicAuth | IdentityToken | RegistryToken) else auth
