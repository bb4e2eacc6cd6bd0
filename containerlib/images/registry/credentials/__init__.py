"""Credentials that a login left on this machine: in the environment, in files, or with a helper program."""

from __future__ import annotations

from containerlib.images.registry.credentials.stored import StoredCredentials, credentials_of

__all__ = ["StoredCredentials", "credentials_of"]
