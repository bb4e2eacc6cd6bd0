"""Every request to a registry: methods and bodies, tokens by scope, what is tried again. The transport is passed in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import parse_qs

import httpx
import pytest

from containerlib.errors import NotFound, RegistryError, Unauthorized, Unavailable, Unsupported
from containerlib.images.registry.retry import Retry, retry_after
from containerlib.images.registry.session import SUCCESS, Given, Scope, Session
from containerlib.spec.auth import Auth, BasicAuth, IdentityToken, RegistryToken
from rig.mock_server import MockServer
from rig.threads import at_once

QUICK = Retry(attempts=3, first_delay=0.0)
PULL, PUSH = Scope("app"), Scope("app", "pull,push")
BEARER = 'Bearer realm="https://auth.registry.example/token",service="s"'


def connect(server: MockServer, auth: Auth | None = None, retry: Retry = QUICK) -> Session:
    return Session("registry.example", Given(auth), transport=server.transport, retry=retry)


def get(session: Session, scope: Scope = PULL) -> int:
    with session.send("GET", "/v2/app/x", scope=scope, what="it") as response:
        return response.status_code


class TokenServer:
    """Tokens named by their scopes and their number; the registry takes what `is_good` says."""

    def __init__(self, is_good: Callable[[str], bool], **answer: object) -> None:
        self.asked: list[str] = []
        self._is_good = is_good
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.registry.example":
            form = parse_qs(request.read().decode()) or parse_qs(request.url.query.decode())
            self.asked.append(" ".join(form["scope"]))
            return httpx.Response(200, json={"token": f"t{len(self.asked)}", **self._answer})
        shown = request.headers.get("Authorization", "")
        if shown and self._is_good(shown.removeprefix("Bearer ")):
            return httpx.Response(200, content=b"it")
        return httpx.Response(401, headers={"WWW-Authenticate": BEARER})


def test_token_is_kept_by_scope_and_a_wider_one_serves_a_narrower() -> None:
    tokens = TokenServer(lambda _: True)
    with connect(MockServer(tokens)) as session:
        for scope in (PULL, PUSH, PULL, PUSH, Scope("other")):
            get(session, scope)
        get(session, Scope("app", "push"))
    assert tokens.asked == [
        "repository:app:pull",
        "repository:app:pull,push",
        "repository:other:pull",
    ]


def test_token_that_expires_soon_is_renewed_without_a_refusal() -> None:
    tokens = TokenServer(lambda _: True, expires_in=1)
    server = MockServer(tokens)
    with connect(server) as session:
        get(session)
        time.sleep(0.95)  # past nine tenths of its lifetime
        get(session)
    assert server.seen().count(("GET", "registry.example", "/v2/app/x")) == 3
    assert [r.headers.get("Authorization") for r in server.requests][-1] == "Bearer t2"


def test_token_used_up_is_renewed_in_the_middle_and_the_body_is_sent_again() -> None:
    uses = {"t1": 1}

    def is_good(token: str) -> bool:
        uses[token] = uses.get(token, 99) - 1
        return uses[token] >= 0

    server, bodies = MockServer(TokenServer(is_good)), []

    def body() -> Iterator[bytes]:
        bodies.append("asked for")
        yield b"some "
        yield b"bytes"

    with connect(server) as session:
        get(session, PUSH)
        with session.send("PATCH", "/v2/app/u", scope=PUSH, what="it", content=body) as response:
            assert response.status_code == 200
    patches = [r for r in server.requests if r.method == "PATCH"]
    assert [p.content for p in patches] == [b"some bytes"] * 2
    assert [p.headers["Authorization"] for p in patches] == ["Bearer t1", "Bearer t2"]
    assert len(bodies) == 2


def test_identity_token_is_posted_and_never_shown_to_the_registry() -> None:
    server = MockServer(TokenServer(lambda token: token == "t1"))
    with connect(server, IdentityToken("refresh-me")) as session:
        get(session)
    posted = next(r for r in server.requests if r.url.host == "auth.registry.example")
    assert posted.method == "POST"
    assert b"refresh_token=refresh-me" in posted.content
    assert not [r for r in server.requests if "refresh-me" in f"{r.headers} {r.url}"]


@pytest.mark.parametrize("auth", [BasicAuth("alice", "secret"), IdentityToken("refresh-me")])
@pytest.mark.parametrize("status", [404, 405])
def test_token_server_that_knows_one_method_only_is_asked_by_the_other(auth: Auth, status: int) -> None:
    methods = []

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host != "auth.registry.example":
            return tokens(request)
        methods.append(request.method)
        return httpx.Response(status) if len(methods) == 1 else tokens(request)

    tokens = TokenServer(lambda token: token == "t1")
    with connect(MockServer(serve), auth) as session:
        assert get(session) == 200
    assert sorted(methods) == ["GET", "POST"]
    with connect(
        MockServer(lambda r: tokens(r) if r.url.host != "auth.registry.example" else httpx.Response(status)),
        auth,
    ) as s:
        with pytest.raises(RegistryError, match="gave no token"):
            get(s)


def test_identity_token_does_not_follow_a_redirect() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.registry.example":
            return httpx.Response(307, headers={"Location": "https://evil.example/token"})
        return httpx.Response(401, headers={"WWW-Authenticate": BEARER})

    server = MockServer(serve)
    with connect(server, IdentityToken("refresh-me")) as session, pytest.raises(RegistryError):
        get(session)
    assert "evil.example" not in [host for _, host, _ in server.seen()]


def test_credentials_are_looked_up_when_the_registry_asks_and_not_before() -> None:
    looked: list[str] = []

    class Watched:
        def get(self, registry: str, repository: str) -> Auth | None:
            looked.append(f"{registry}/{repository}")
            return None

    for status, times in ((200, 0), (404, 0), (401, 1)):
        looked.clear()
        server = MockServer(lambda _, s=status: httpx.Response(s, headers={"WWW-Authenticate": "Basic"}))
        with Session("registry.example", Watched(), transport=server.transport, retry=QUICK) as session:
            with suppress(NotFound, Unauthorized):
                get(session)
        assert looked == ["registry.example/app"] * times


def test_registry_token_is_shown_as_it_is() -> None:
    server = MockServer(TokenServer(lambda token: token == "mine"))
    with connect(server, RegistryToken("mine")) as session:
        get(session)
    with connect(server, RegistryToken("old")) as session, pytest.raises(Unauthorized, match="log in again"):
        get(session)
    assert "auth.registry.example" not in {r.url.host for r in server.requests}


def test_scope_that_is_not_granted_is_not_asked_for_again_and_again() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.registry.example":
            return httpx.Response(200, json={"token": "t"})
        error = ',error="insufficient_scope"' if "Authorization" in request.headers else ""
        return httpx.Response(401, headers={"WWW-Authenticate": BEARER + error})

    server = MockServer(serve)
    with connect(server) as session, pytest.raises(Unauthorized):
        get(session, PUSH)
    assert [r.url.host for r in server.requests].count("auth.registry.example") == 1


def test_registry_that_takes_no_token_at_all_is_given_up() -> None:
    """Each token is a new one, so that it could have been the last that was used up."""

    def is_good(_: str) -> bool:
        assert len(tokens.asked) <= 3
        return False

    tokens = TokenServer(is_good)
    with connect(MockServer(tokens)) as session, pytest.raises(Unauthorized):
        get(session)
    assert len(tokens.asked) >= 2


def test_many_threads_that_are_refused_at_once_ask_for_one_token() -> None:
    refused = threading.Barrier(8, timeout=30.0)
    tokens = TokenServer(lambda _: True)

    def serve(request: httpx.Request) -> httpx.Response:
        answer = tokens(request)
        if answer.status_code == 401:
            refused.wait()
        return answer

    with connect(MockServer(serve)) as session:
        assert at_once(lambda _: get(session), threads=8) == [200] * 8
    assert tokens.asked == ["repository:app:pull"]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_token_server_that_refuses_an_identity_token_is_unauthorized(status: int) -> None:
    """400 is what OAuth2 has for a token that is no longer good: invalid_grant."""

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.registry.example":
            return httpx.Response(status, json={"error": "invalid_grant"})
        return httpx.Response(401, headers={"WWW-Authenticate": BEARER})

    server = MockServer(serve)
    with connect(server, IdentityToken("revoked")) as session:
        with pytest.raises(Unauthorized, match="log in again"):
            get(session)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("method", "repeat", "status", "times"),
    [
        ("GET", None, 500, 3),
        ("HEAD", None, 503, 3),
        ("PUT", None, 502, 3),
        ("DELETE", None, 408, 3),
        ("POST", None, 500, 1),
        ("PATCH", None, 503, 1),
        ("PUT", False, 500, 1),
        ("POST", True, 500, 3),
        ("PATCH", None, 429, 3),
        ("GET", None, 501, 1),
        ("GET", None, 400, 1),
    ],
)
def test_trouble_that_passes_is_tried_again_where_that_is_safe(
    method: str, repeat: bool | None, status: int, times: int
) -> None:
    server = MockServer(lambda _: httpx.Response(status))
    with connect(server) as session, pytest.raises(RegistryError) as caught:
        with session.send(method, "/v2/", scope=PULL, what="it", content=b"x", repeat=repeat):
            raise AssertionError
    assert caught.value.status == status
    assert caught.value.request == f"{method} https://registry.example/v2/"
    assert [r.content for r in server.requests] == [b"x"] * times


@pytest.mark.parametrize(("method", "times"), [("GET", 3), ("PATCH", 1)])
def test_broken_connection_is_tried_again_where_that_is_safe(method: str, times: int) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone", request=request)

    server = MockServer(serve)
    with connect(server) as session, pytest.raises(Unavailable, match="gone"):
        with session.send(method, "/v2/", scope=PULL, what="it"):
            raise AssertionError
    assert len(server.requests) == times


def test_server_that_wants_a_longer_pause_than_is_allowed_is_not_asked_again() -> None:
    server = MockServer(lambda _: httpx.Response(429, headers={"Retry-After": "21600"}))
    with connect(server) as session, pytest.raises(RegistryError, match="wait a while"):
        get(session)
    assert len(server.requests) == 1


def test_accepted_status_is_an_answer_and_others_are_their_kinds() -> None:
    status = [404]
    with connect(MockServer(lambda _: httpx.Response(status[0]))) as session:
        with session.send("HEAD", "/v2/", scope=PULL, what="it", accept=SUCCESS | {404}) as response:
            assert response.status_code == 404
        with pytest.raises(NotFound):
            get(session)
        status[0] = 405
        with pytest.raises(Unsupported):
            get(session)


def test_location_is_absolute_and_checked() -> None:
    location = ["/v2/app/blobs/uploads/1?state=a"]
    server = MockServer(
        lambda _: httpx.Response(202, headers={"Location": location[0]} if location[0] else {})
    )
    with connect(server) as session:

        def upload() -> str:
            with session.send("POST", "/v2/app/blobs/uploads/", scope=PUSH, what="it") as response:
                return session.location(response)

        assert upload() == "https://registry.example/v2/app/blobs/uploads/1?state=a"
        for bad in ("http://registry.example/x", "https://me:secret@other.example/x", "file:///x", ""):
            location[0] = bad
            with pytest.raises(RegistryError) as caught:
                upload()
            assert "secret" not in str(caught.value)


def test_url_of_another_origin_gets_no_credentials() -> None:
    server = MockServer(TokenServer(lambda _: True))
    with connect(server) as session:
        get(session, PUSH)
        with pytest.raises(Unauthorized):
            with session.send("PUT", "https://uploads.example/1", scope=PUSH, what="it"):
                raise AssertionError
    assert "Authorization" not in server.requests[-1].headers
    assert server.seen()[-1] == ("PUT", "uploads.example", "/1")


@pytest.mark.parametrize(("status", "followed"), [(307, True), (308, True), (301, False), (303, False)])
def test_redirect_of_an_upload_is_followed_only_where_it_stays_one(status: int, followed: bool) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/there":
            return httpx.Response(201)
        return httpx.Response(status, headers={"Location": "/there"})

    server = MockServer(serve)
    with connect(server) as session:

        def put() -> None:
            with session.send("PUT", "/v2/x", scope=PUSH, what="it", content=b"data"):
                pass

        if followed:
            put()
            assert (server.requests[-1].method, server.requests[-1].content) == ("PUT", b"data")
        else:
            with pytest.raises(RegistryError, match="another request"):
                put()


def test_encoding_that_was_not_asked_for_is_refused() -> None:
    server = MockServer(lambda _: httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=b""))
    with connect(server) as session, pytest.raises(RegistryError, match="encoding 'gzip'"):
        get(session)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", "", 7),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:27:30 GMT", 30),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:29:30 GMT", 0),
        ("soon", "", 0),
        ("", "", 0),
        ("-5", "", 0),
        ("1" * 400, "", 111111111),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, date: str, seconds: float) -> None:
    assert retry_after(value, date=date) == seconds


def test_retry_delay_grows_within_bounds_and_gives_up() -> None:
    retry = Retry(attempts=10, first_delay=1.0, max_delay=8.0, max_wait=30.0)
    delays = [retry.delay(attempt) or 0.0 for attempt in range(9)]
    assert all(
        0.5 * nominal <= delay <= nominal for delay, nominal in zip(delays, (1, 2, 4, 8, 8), strict=False)
    )
    assert max(delays) <= 8.0
    assert len({retry.delay(3) for _ in range(20)}) > 1, "clients do not come back all at once"
    assert (retry.delay(0, 20.0), retry.delay(0, 31.0), retry.delay(9)) == (20.0, None, None)
