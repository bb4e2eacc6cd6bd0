"""A token server, and the guard that it is to a registry behind a FaultProxy.

with TokenServer(users={"alice": "secret"}, uses=3) as tokens, FaultProxy(address, tokens.guard) as proxy:
    ...
    assert tokens.asked == ["repository:app:pull"]

Spec: distribution's spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from rig.scripted_server import Answer, Request, ScriptedServer

SERVICE = "registry of a test"
_NAME = re.compile(r"/v2/(?P<repository>.+?)/(?:blobs|manifests|tags|referrers)/")


class TokenServer(ScriptedServer):
    """`users` and their passwords; without any, everybody may do everything.

    A token is good for `uses` requests (0: for any number), and lives `lifetime` seconds, as it says. `refresh`:
    identity tokens and whose they are.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        uses: int = 0,
        lifetime: int = 300,
        refresh: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._users = dict(users or {})
        self._refresh = dict(refresh or {})
        self._uses = uses
        self._lifetime = lifetime
        self._tokens: dict[str, tuple[set[str], list[int]]] = {}
        self._guarding = threading.Lock()

    def answer(self, request: Request) -> Answer:
        form = parse_qs(request.body.decode())
        query = form if request.method == "POST" else parse_qs(urlsplit(request.path).query)
        if not self._may(request, form) or query.get("service") != [SERVICE]:
            return Answer(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}')
        scopes = " ".join(query.get("scope", [])).split()
        self.asked.append(" ".join(scopes))
        token = f"token-{len(self.asked)}"
        self._tokens[token] = (set(scopes), [self._uses or 10**9])
        name = "access_token" if request.method == "POST" else "token"
        return Answer(200, json.dumps({name: token, "expires_in": self._lifetime}).encode())

    def guard(self, request: Request) -> Answer | None:
        """401 unless the request has a token that is good for it."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        match = _NAME.match(request.path)
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        scope = f"repository:{match['repository']}" if match else ""
        with self._guarding:
            scopes, left = self._tokens.get(token, (set(), [0]))
            good = left[0] > 0
            allowed = not scope or any(
                granted.rpartition(":")[0] == scope and action in granted.rpartition(":")[2].split(",")
                for granted in scopes
            )
            if good and allowed:
                left[0] -= 1
                return None
        error = "" if not token else ',error="invalid_token"' if not good else ',error="insufficient_scope"'
        challenge = (
            f'Bearer realm="http://{self.address}/token",service="{SERVICE}",scope="{scope}:{action}"{error}'
        )
        return Answer(401, b"{}", {"WWW-Authenticate": challenge})

    def _may(self, request: Request, form: dict[str, list[str]]) -> bool:
        if request.method == "POST":
            if form.get("grant_type") == ["refresh_token"]:
                return form.get("refresh_token", [""])[0] in self._refresh
            return self._users.get(form.get("username", [""])[0]) == form.get("password", [""])[0]
        shown = request.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(shown).decode().partition(":")
        return not self._users or self._users.get(user) == password

    def __enter__(self) -> TokenServer:
        super().__enter__()
        return self
