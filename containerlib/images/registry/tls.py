"""TLS contexts, and what TLS refuses, said so that somebody can act on it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import httpx
from attrs import frozen

from containerlib.errors import InvalidArgument, Unavailable

__all__ = ["Contexts", "TlsFiles", "tls_trouble"]

_NOT_TLS = frozenset({"HTTP_REQUEST", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"})
_CHECK_DATES = "check this machine's clock, or have the certificate renewed"
_CHECK_NAME = "use a name that the certificate is made for, or have one made for this name"
_TRUST_CA = (
    "give its CA's certificate with ca=..., in certs.d/HOST/ca.crt or to this system, or set SSL_CERT_FILE to a PEM "
    "file that has it"
)
_CERTIFICATE_ADVICE = {9: _CHECK_DATES, 10: _CHECK_DATES, 62: _CHECK_NAME, 64: _CHECK_NAME}
"""By OpenSSL's X509_V_ERR: not yet valid, expired, another host's, another address's."""


@frozen
class TlsFiles:
    """PEM files: of authorities to trust besides the system's, and of the client's own certificate and its key."""

    authorities: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""

    def __bool__(self) -> bool:
        return bool(self.authorities or self.certificate)


class Contexts:
    """The TLS context for each host that a session comes to, made when the first is needed (each takes 20 ms).

    The client's certificate is for `own` alone, and so is trust without verification (`insecure`); the authorities are
    for every host, as a private registry's token server has its certificate from the same place.
    """

    def __init__(self, own: str, files: TlsFiles, *, insecure: bool = False) -> None:
        self._own = own if files.certificate or insecure else None
        self._files = files
        self._insecure = insecure
        self._made: dict[bool, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def __call__(self, host: str) -> ssl.SSLContext:
        """Raises: InvalidArgument for a file that is not there, or not what it should be."""
        own = host == self._own
        with self._lock:
            if own not in self._made:
                self._made[own] = self._make(own)
            return self._made[own]

    def _make(self, own: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()  # the system's authorities, or those of SSL_CERT_FILE
        for path in self._files.authorities:
            _load("ca", path, partial(context.load_verify_locations, path))
        if own and self._files.certificate:
            _load(
                "client_certificate",
                self._files.certificate,
                partial(
                    context.load_cert_chain, self._files.certificate, self._files.key or None, _no_password
                ),
            )
        if own and self._insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _load(field: str, path: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise InvalidArgument(f"{path}: {why}: a PEM file is needed", field=field) from error


def _no_password() -> str:
    """Instead of OpenSSL's question on the terminal."""
    raise ValueError("the key is encrypted, and there is nobody to ask for its password")


def tls_trouble(url: str, error: httpx.TransportError) -> Unavailable | None:
    """The error for what TLS refuses, which trying again does not change; None for other trouble."""
    cause: BaseException | None = error if isinstance(error, httpx.ConnectError) else None
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__  # httpcore links its errors by either
    host = urlsplit(url).netloc
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        advice = _CERTIFICATE_ADVICE.get(cause.verify_code, _TRUST_CA)
        return Unavailable(f"the certificate of {host} is not accepted ({why}): {advice}")
    if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
        return Unavailable(
            f"{host} does not answer with TLS ({cause.reason}): have it serve https, "
            "as plain HTTP is for a registry on this machine's loopback"
        )
    return None
