"""What TLS refuses, said so that somebody can act on it."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import httpx

from containerlib.errors import Unavailable

__all__ = ["tls_trouble"]

_NOT_TLS = frozenset({"HTTP_REQUEST", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"})
_CHECK_DATES = "check this machine's clock, or have the certificate renewed"
_CHECK_NAME = "use a name that the certificate is made for, or have one made for this name"
_TRUST_CA = "install its CA's certificate on this system, or set SSL_CERT_FILE to a PEM file that has it"
_CERTIFICATE_ADVICE = {9: _CHECK_DATES, 10: _CHECK_DATES, 62: _CHECK_NAME, 64: _CHECK_NAME}
"""By OpenSSL's X509_V_ERR: not yet valid, expired, another host's, another address's."""


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
