"""The Authorization headers of one registry: asked for when it asks, kept by scope, and renewed.

    tokens = Tokens(name, credentials, http)
    header = tokens.current(scope, what)             # "" until the registry has asked
    header = tokens.answer(challenges, scope, refused=header, what=what)

One thread asks the token server and the others wait for its answer: a pull of ten layers is one token.
"""

from __future__ import annotations

import threading
import time

from attrs import field, frozen

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.registry import challenges
from containerlib.images.registry.answers import bounded, refused, request_line
from containerlib.images.registry.challenges import Challenge, Scope, Token, TokenRequest
from containerlib.images.registry.hosts import host_of, served_by
from containerlib.images.registry.http import Http
from containerlib.spec.auth import Auth, BasicAuth, Credentials, IdentityToken, RegistryToken
from containerlib.spec.document import MAX_DOCUMENT

__all__ = ["Tokens"]

_MARGIN = 0.9
"""The part of a token's lifetime after which it is renewed unasked: before a body is sent for nothing."""


@frozen
class _Kept:
    header: str = field(repr=False)
    asked: tuple[Challenge, ...] = ()
    until: float = float("inf")


class Tokens:
    """What to show to a registry. Safe for several threads at once."""

    def __init__(self, name: str, credentials: Credentials, http: Http, *, token_server: str = "") -> None:
        self._name = name
        self._host = host_of(served_by(name))
        self._token_server = token_server
        self._credentials = credentials
        self._http = http
        self._kept: dict[Scope, _Kept] = {}
        self._auths: dict[Scope, Auth | None] = {}
        self._lock = threading.Lock()

    def current(self, scope: Scope, what: str) -> str:
        """The header that is good for `scope` as far as is known, renewed if it is old; "" where nothing is."""
        header = self._find(scope)
        old = self._kept.get(scope)
        return header if header or old is None else self.answer(old.asked, scope, refused="", what=what)

    def auth(self, scope: Scope) -> Auth | None:
        """The credentials that the registry was shown for `scope`: they are looked up when it asks, and not before."""
        return self._auths.get(scope)

    def answer(self, asked: tuple[Challenge, ...], scope: Scope, *, refused: str, what: str) -> str:
        """Another header than `refused`, which got a 401; "" where there is no other to show.

        Raises: Unauthorized where the token server refuses; RegistryError where it cannot be understood, or may not see
        the credentials.
        """
        with self._lock:
            known = self._find(scope)
            if known not in ("", refused):
                return known  # another thread has been here, while this one was refused
            kept = self._fetch(asked, scope, what)
            if kept is None:
                return ""
            self._kept[scope] = kept
            return kept.header

    def _fetch(self, asked: tuple[Challenge, ...], scope: Scope, what: str) -> _Kept | None:
        challenge = challenges.best(asked)
        auth = self._auths[scope] = self._credentials.get(self._name, scope.repository)
        if challenge is not None and challenge.scheme == "bearer":
            if isinstance(auth, RegistryToken):
                return _Kept(f"Bearer {auth.token}")
            token = self._token(challenge, scope, auth, what)
            return _Kept(f"Bearer {token.text}", asked, time.monotonic() + token.lifetime * _MARGIN)
        if challenge is not None and isinstance(auth, BasicAuth):
            return _Kept(challenges.basic(auth))
        return None

    def _find(self, scope: Scope) -> str:
        now = time.monotonic()
        exact = self._kept.get(scope)
        if exact is not None and now < exact.until:
            return exact.header
        others = list(self._kept.items())
        return next((kept.header for own, kept in others if own.covers(scope) and now < kept.until), "")

    def _token(
        self, challenge: Challenge, scope: Scope, auth: BasicAuth | IdentityToken | None, what: str
    ) -> Token:
        try:
            requests = challenges.token_requests(
                challenge,
                scope,
                auth,
                registry=self._host,
                plain=self._http.plain,
                token_server=self._token_server,
            )
            tokens = (self._ask(request, auth, what) for request in requests)
            token = next((token for token in tokens if token), None)
        except InvalidArgument as error:
            raise RegistryError(
                f"{self._name} asks for a login that is not understood: {error}", code="MALFORMED"
            ) from error
        if token is None:
            raise self._no_token(requests[-1], what, 404)
        return token

    def _ask(self, request: TokenRequest, auth: Auth | None, what: str) -> Token | None:
        """The token; None where the server knows no such request."""
        headers = {"Authorization": request.authorization} if request.authorization else {}
        if request.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        # A form has the secret in it, and a redirect would carry it on.
        follow, form = request.form is None, request.form
        with self._http.send(
            request.method, request.url, headers, form, repeat=True, follow=follow
        ) as response:
            if response.status_code in (400, 401, 403):  # 400: OAuth2's invalid_grant
                raise refused(self._name, what, auth, response)
            if response.status_code in (404, 405):
                return None
            if not response.is_success:
                raise self._no_token(request, what, response.status_code)
            return challenges.parse_token(bounded(response, MAX_DOCUMENT))

    def _no_token(self, request: TokenRequest, what: str, status: int) -> RegistryError:
        return RegistryError(
            f"the token server of {self._name} gave no token for {what}: try again later",
            status=status,
            request=request_line(request.method, request.url),
        )
