"""What a registry asks for before it serves (WWW-Authenticate), and the token that answers it. No I/O.

    request --401, challenge--> token_request(challenge, scope, auth) --200, token--> request with header

Spec: RFC 9110 section 11.6.1; distribution's token authentication.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import urlencode, urlsplit

from attrs import field, frozen

from containerlib.errors import InvalidArgument
from containerlib.images.registry.hosts import is_loopback
from containerlib.spec.auth import BasicAuth
from containerlib.spec.document import Document

__all__ = ["Challenge", "TokenRequest", "basic", "best", "parse_challenges", "parse_token", "token_request"]

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PIECE = re.compile(
    rf'\s*(?:(?P<key>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s",]+))|(?P<scheme>{_WORD}))\s*,?'
)
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


@frozen
class Challenge:
    """One way in: the scheme, in lower case, and its parameters."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        return dict(self.parameters).get(name, "")


@frozen
class TokenRequest:
    """What to ask the token server: a URL, and the Authorization header if there are credentials."""

    url: str
    authorization: str | None = field(default=None, repr=False)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge of every header; what cannot be read is left out."""
    challenges: list[Challenge] = []
    for header in headers:
        position = 0
        while match := _PIECE.match(header, position):
            position = match.end()
            if match["scheme"]:
                challenges.append(Challenge(match["scheme"].lower()))
            elif challenges:
                quoted = match["quoted"]
                value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                last = challenges[-1]
                challenges[-1] = Challenge(last.scheme, (*last.parameters, (match["key"].lower(), value)))
    return tuple(challenges)


def best(challenges: Iterable[Challenge]) -> Challenge | None:
    """Bearer before Basic: the token is worth less to a thief than the password."""
    by_scheme = {challenge.scheme: challenge for challenge in challenges}
    return by_scheme.get("bearer") or by_scheme.get("basic")


def basic(auth: BasicAuth) -> str:
    """The Authorization header of user name and password."""
    pair = f"{auth.username}:{auth.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def token_request(
    challenge: Challenge, repository: str, auth: BasicAuth | None, *, plain_http: bool
) -> TokenRequest:
    """The request for a token that may pull `repository`.

    Raises: InvalidArgument(field="realm") for a token server that must not see credentials: one without TLS,
    unless it is on this machine's loopback as the registry is.
    """
    realm = challenge.get("realm")
    parts = urlsplit(realm)
    local = plain_http and parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not local and (parts.scheme != "https" or not parts.hostname):
        raise InvalidArgument(f"{realm[:200]!r} is no token server to trust: https is needed", field="realm")
    query = {"service": challenge.get("service"), "scope": f"repository:{repository}:pull"}
    separator = "&" if parts.query else "?"
    url = f"{realm}{separator}{urlencode({key: value for key, value in query.items() if value})}"
    return TokenRequest(url, basic(auth) if auth else None)


def parse_token(data: bytes) -> str:
    """The token in a token server's answer. Raises: InvalidArgument(field="token")."""
    document = Document.parse(data, "token")
    token = document.text("token", default="") or document.text("access_token", default="")
    if not _HEADER_SAFE.fullmatch(token):
        raise InvalidArgument("the answer has no token", field="token")
    return token
