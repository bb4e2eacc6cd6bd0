"""What a registry asks for before it serves (WWW-Authenticate), and the token that answers it. No I/O.

    request --401, challenge--> token_requests(challenge, scopes, auth) --200, parse_token--> request with header

Spec: RFC 9110 section 11.6.1; distribution's token authentication (spec/auth/token.md, spec/auth/oauth.md).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import urlencode

from attrs import field, frozen

from containerlib.errors import InvalidArgument
from containerlib.images.registry.hosts import PlainHttp, is_link_local, split_url
from containerlib.images.registry.realms import check_realm
from containerlib.spec.auth import BasicAuth, IdentityToken
from containerlib.spec.document import Document

__all__ = [
    "Challenge",
    "Scope",
    "Token",
    "TokenRequest",
    "basic",
    "best",
    "is_insufficient",
    "parse_challenges",
    "parse_token",
    "token_requests",
]

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PIECE = re.compile(
    rf'\s*(?:(?P<key>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s",]+))|(?P<scheme>{_WORD}))\s*,?'
)
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
_CLIENT = "containerlib"
_TOKEN_USER = "<token>"  # noqa: S105 - a user name that says what the password is
_LIFETIME = 60.0
"""Of a token that does not say. Spec: token.md"""


@frozen
class Scope:
    """What a request is about: a repository, and what is done to it, such as "pull" or "pull,push".

    `mount_from` is a second repository, of which only blobs are read: the source of a cross-repository mount.
    """

    repository: str
    actions: str = "pull"
    mount_from: str = ""

    def texts(self) -> tuple[str, ...]:
        """The scopes as a token server is asked for them."""
        own = f"repository:{self.repository}:{self.actions}"
        return (own, f"repository:{self.mount_from}:pull") if self.mount_from else (own,)

    def covers(self, other: Scope) -> bool:
        """Whether a token for this one is good for `other` too."""
        actions = set(self.actions.split(","))
        return (
            self.repository == other.repository
            and actions >= set(other.actions.split(","))
            and other.mount_from in ("", self.mount_from)
        )


@frozen
class Challenge:
    """One way in: the scheme, in lower case, and its parameters."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        return dict(self.parameters).get(name, "")


@frozen
class TokenRequest:
    """What to ask the token server: a GET, with credentials if there are any, or a POST of `form`."""

    url: str
    authorization: str | None = field(default=None, repr=False)
    form: bytes | None = field(default=None, repr=False)

    @property
    def method(self) -> str:
        return "GET" if self.form is None else "POST"


@frozen
class Token:
    """What a token server gives: the token and its `lifetime` in seconds."""

    text: str = field(repr=False)
    lifetime: float = _LIFETIME


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge of every header; what cannot be read is left out."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for header in headers:
        position = 0
        while match := _PIECE.match(header, position):
            position = match.end()
            if match["scheme"]:
                found.append((match["scheme"].lower(), []))
            elif found:
                quoted = match["quoted"]
                value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                found[-1][1].append((match["key"].lower(), value))
    return tuple(Challenge(scheme, tuple(parameters)) for scheme, parameters in found)


def best(challenges: Iterable[Challenge]) -> Challenge | None:
    """Bearer before Basic: the token is worth less to a thief than the password."""
    by_scheme = {challenge.scheme: challenge for challenge in challenges}
    return by_scheme.get("bearer") or by_scheme.get("basic")


def is_insufficient(challenges: Iterable[Challenge]) -> bool:
    """Whether the credentials shown are known and not enough: others of the same kind will be no better."""
    return any(challenge.get("error") == "insufficient_scope" for challenge in challenges)


def basic(auth: BasicAuth) -> str:
    """The Authorization header of user name and password."""
    pair = f"{auth.username}:{auth.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def token_requests(
    challenge: Challenge,
    scope: Scope | None,
    auth: BasicAuth | IdentityToken | None,
    *,
    registry: str,
    plain: PlainHttp,
    token_server: str = "",
) -> tuple[TokenRequest, ...]:
    """Requests for a token that is good for `scope`; the next is for where the one before is not known (404, 405).

    A password goes into a GET, as Docker does it, else into the form of OAuth2; an identity token the other way.
    `registry` is the host that asked. `token_server` may see its credentials too, and so may the one in `auth`.

    Raises: InvalidArgument(field="realm") for a token server without TLS, where `plain` does not allow it;
    RegistryError(code="DENIED") for one of another domain than the registry's, where `auth` would be sent there.
    """
    realm = challenge.get("realm")
    try:
        parts = split_url(realm)
    except InvalidArgument as error:
        raise InvalidArgument(f"{realm[:200]!r} is no token server's address", field="realm") from error
    trusted = parts.scheme == "https" or (parts.scheme == "http" and plain.allows(parts.hostname or ""))
    if not trusted or not parts.hostname:
        raise InvalidArgument(f"{realm[:200]!r} is no token server to trust: https is needed", field="realm")
    if parts.username is not None:
        raise InvalidArgument("a token server's address has no user name in it", field="realm")
    if is_link_local(parts.hostname):
        raise InvalidArgument(f"{realm[:200]!r} is a link-local address, and no token server", field="realm")
    service, scopes = challenge.get("service"), scope.texts() if scope else ()
    query = [*([("service", service)] if service else ()), *(("scope", text) for text in scopes)]
    separator = "&" if parts.query else "?"
    url = f"{realm}{separator}{urlencode(query)}" if query else realm
    if auth is None:
        return (TokenRequest(url),)
    check_realm(registry, realm, token_server, auth.token_server)
    common = {"client_id": _CLIENT, "service": service, "scope": " ".join(scopes)}
    form = TokenRequest(realm, form=urlencode({**_grant(auth), **common}).encode())
    if isinstance(auth, IdentityToken):
        return form, TokenRequest(url, basic(BasicAuth(_TOKEN_USER, auth.token)))
    return TokenRequest(url, basic(auth)), form


def _grant(auth: BasicAuth | IdentityToken) -> dict[str, str]:
    if isinstance(auth, IdentityToken):
        return {"grant_type": "refresh_token", "refresh_token": auth.token}
    return {"grant_type": "password", "username": auth.username, "password": auth.password}


def parse_token(data: bytes) -> Token:
    """The token in a token server's answer. Raises: InvalidArgument(field="token")."""
    document = Document.parse(data, "token")
    token = document.text("token", default="") or document.text("access_token", default="")
    if not _HEADER_SAFE.fullmatch(token):
        raise InvalidArgument("the answer has no token", field="token")
    lifetime = float(document.number("expires_in", default=0))
    return Token(token, lifetime or _LIFETIME)
