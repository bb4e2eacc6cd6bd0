"""What a registry's answers mean: bodies read within bounds, and the error that a status stands for.

Nothing that a registry says reaches a terminal unescaped, and no more of it than a message needs.

Spec: distribution-spec spec.md#error-codes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from containerlib.errors import (
    Error,
    InvalidArgument,
    NotFound,
    RegistryError,
    Unauthorized,
    Unavailable,
    Unsupported,
    printable,
)
from containerlib.spec.auth import Auth, BasicAuth
from containerlib.spec.document import Document

__all__ = ["bounded", "failure", "refused", "request_line"]

_MAX_ERROR = 64 * 1024


def request_line(method: str, url: str) -> str:
    """The request for an error's text: without the query, where signed URLs have their secrets."""
    parts = urlsplit(url)
    return printable(f"{method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def bounded(response: httpx.Response, limit: int) -> bytes:
    """The body. Raises: RegistryError for one of more than `limit` bytes; Unavailable where it breaks off."""
    data = bytearray()
    try:
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > limit:
                raise RegistryError(
                    f"more than {limit} bytes came, which is no honest document",
                    status=response.status_code,
                    code="SIZE_INVALID",
                    request=_line(response),
                )
    except httpx.TransportError as error:
        raise Unavailable(f"{response.url.host} broke off its answer ({error}): try again") from error
    return bytes(data)


def failure(name: str, what: str, auth: Auth | None, response: httpx.Response) -> Error:
    """The error that an answer means which is not what was asked for."""
    status = response.status_code
    if status in (401, 403):
        return refused(name, what, auth, response)
    code, message = _read_error(response)
    if status == 404:
        return NotFound(
            f"{what} is not in the registry{message}: check the name and the tag"
            + ("" if auth else "; a private repository needs auth=BasicAuth(...)")
        )
    if status == 405 or code == "UNSUPPORTED":
        return Unsupported(f"{name} does not do this with {what}{message}: its settings may allow it")
    advice = "wait a while, or log in with auth=BasicAuth(...)" if status == 429 else "try again later"
    return RegistryError(
        f"{name} did not serve {what}{message}: {advice}",
        status=status,
        code=code or ("TOOMANYREQUESTS" if status == 429 else "UNKNOWN"),
        request=_line(response),
    )


def refused(name: str, what: str, auth: Auth | None, response: httpx.Response) -> Unauthorized:
    """The error of a 401 or 403 that credentials `auth` did not change."""
    if auth is None:
        advice = "it needs auth=BasicAuth(username, password), or there is no such repository"
    elif isinstance(auth, BasicAuth):
        advice = f"check the credentials of {auth.username!r}, and that they may do this"
    else:
        advice = "log in again, as the token that was shown may have expired or not be good for this"
    return Unauthorized(f"{name} refuses {what}{_read_error(response)[1]}: {advice}")


def _line(response: httpx.Response) -> str:
    return request_line(response.request.method, str(response.request.url))


def _read_error(response: httpx.Response) -> tuple[str, str]:
    """The registry's own code, and `" (its message)"`, as far as the body is what the specification says."""
    try:
        data = next(response.iter_raw(_MAX_ERROR), b"")
        first = Document.parse(data, "errors").documents("errors")[0]
        code, message = first.text("code", default=""), first.text("message", default="")
    except (InvalidArgument, IndexError, httpx.StreamError, httpx.TransportError):
        return "", ""
    return printable(code[:100]), f" ({printable(message[:300])})" if message else ""
