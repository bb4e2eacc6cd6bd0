"""What a registry's 401 asks for, and who is told the password."""

from __future__ import annotations

import re
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.errors import InvalidArgument
from containerlib.images.registry.challenges import (
    Challenge,
    Scope,
    Token,
    basic,
    best,
    parse_challenges,
    parse_token,
    token_requests,
)
from containerlib.images.registry.hosts import PlainHttp
from containerlib.spec.auth import BasicAuth, IdentityToken, RegistryToken

ALICE = BasicAuth("alice", "secret")
HOST = "registry.example"
BEARER = Challenge("bearer", (("realm", "https://auth.registry.example/token"), ("service", "s")))


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        ([], ()),
        (["Basic"], (Challenge("basic"),)),
        (['Basic realm="a, b=\\"c\\""'], (Challenge("basic", (("realm", 'a, b="c"'),)),)),
        (
            ['Bearer realm="https://a/t",service=b,scope="x:y:z,w"'],
            (Challenge("bearer", (("realm", "https://a/t"), ("service", "b"), ("scope", "x:y:z,w"))),),
        ),
        (["Negotiate, Basic realm=x"], (Challenge("negotiate"), Challenge("basic", (("realm", "x"),)))),
        (
            ['Basic realm="x"', "Bearer realm=y"],
            (Challenge("basic", (("realm", "x"),)), Challenge("bearer", (("realm", "y"),))),
        ),
        (["=,,\x00"], ()),
        (['realm="x"'], ()),
    ],
)
def test_challenges_are_parsed(headers: list[str], challenges: tuple[Challenge, ...]) -> None:
    assert parse_challenges(headers) == challenges


@given(st.lists(st.text(st.characters(max_codepoint=255)) | st.text('Bearer,="\\ \t')))
def test_challenges_of_any_text_are_read_without_an_error(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


_WORD = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1)


@given(_WORD, st.dictionaries(_WORD, st.text(st.characters(min_codepoint=32, max_codepoint=126))))
def test_challenge_that_is_written_as_it_should_be_is_read_back(
    scheme: str, parameters: dict[str, str]
) -> None:
    quoted = [
        f'{key}="{value}"'
        for key, text in parameters.items()
        for value in [re.sub(r'(["\\])', r"\\\1", text)]
    ]
    assert parse_challenges([f"{scheme} {','.join(quoted)}"]) == (
        Challenge(scheme, tuple(parameters.items())),
    )


def test_challenge_with_very_many_parameters_is_read_in_time() -> None:
    header = "Bearer " + ",".join(["a=b"] * 30_000)
    started = time.process_time()
    (challenge,) = parse_challenges([header])
    assert len(challenge.parameters) == 30_000
    assert time.process_time() - started < 1.0


def test_best_is_bearer_then_basic() -> None:
    assert best((Challenge("basic"), Challenge("bearer"))) == Challenge("bearer")
    assert best((Challenge("negotiate"), Challenge("basic"))) == Challenge("basic")
    assert best((Challenge("negotiate"),)) is None


def test_token_request_asks_for_the_scope_with_credentials() -> None:
    challenge = Challenge(
        "bearer", (("realm", "https://auth.registry.example/token?a=b"), ("service", "the registry"))
    )
    request = token_requests(challenge, Scope("team/app"), ALICE, registry=HOST, plain=PlainHttp())[0]
    assert (
        request.url
        == "https://auth.registry.example/token?a=b&service=the+registry&scope=repository%3Ateam%2Fapp%3Apull"
    )
    assert request.authorization == basic(ALICE) == "Basic YWxpY2U6c2VjcmV0"
    assert (
        token_requests(challenge, Scope("team/app"), None, registry=HOST, plain=PlainHttp())[0].authorization
        is None
    )


def test_token_request_for_a_mount_asks_for_both_repositories() -> None:
    scope = Scope("team/app", "pull,push", mount_from="team/base")
    request = token_requests(BEARER, scope, None, registry=HOST, plain=PlainHttp())[0]
    assert parse_qs(urlsplit(request.url).query)["scope"] == [
        "repository:team/app:pull,push",
        "repository:team/base:pull",
    ]


def test_token_request_with_an_identity_token_posts_it() -> None:
    request = token_requests(
        BEARER, Scope("app"), IdentityToken("refresh"), registry=HOST, plain=PlainHttp()
    )[0]
    assert (request.url, request.authorization) == ("https://auth.registry.example/token", None)
    assert request.form is not None
    assert parse_qs(request.form.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh"],
        "client_id": ["containerlib"],
        "service": ["s"],
        "scope": ["repository:app:pull"],
    }


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        (Scope("a", "pull,push"), Scope("a"), True),
        (Scope("a", "push,pull"), Scope("a", "pull,push"), True),
        (Scope("a"), Scope("a", "pull,push"), False),
        (Scope("a"), Scope("b"), False),
        (Scope("a", "pull,push", mount_from="b"), Scope("a", "push"), True),
        (Scope("a", "pull,push"), Scope("a", "push", mount_from="b"), False),
    ],
)
def test_scope_covers_what_asks_for_no_more(wide: Scope, narrow: Scope, covered: bool) -> None:
    assert wide.covers(narrow) is covered


@pytest.mark.parametrize(
    ("realm", "plain_http"),
    [
        ("", False),
        ("http://auth.example/", False),
        ("http://auth.example/", True),
        ("http://127.0.0.1/", False),
        ("file:///etc/passwd", True),
        ("//auth.example/", False),
        ("https:///token", False),
        ("https://user:word@auth.example/", False),
        ("https://169.254.169.254/token", False),
        ("https://[fe80::1]/token", False),
        ("https://[::ffff:169.254.169.254]/token", False),
        ("https://[::1", False),
        ("https://auth.example:99999/token", False),
    ],
)
def test_token_request_to_a_server_not_to_trust_is_refused(realm: str, plain_http: bool) -> None:
    with pytest.raises(InvalidArgument) as caught:
        token_requests(
            Challenge("bearer", (("realm", realm),)),
            Scope("app"),
            ALICE,
            registry=HOST,
            plain=PlainHttp(loopback=plain_http),
        )
    assert caught.value.field == "realm"


@pytest.mark.parametrize(
    ("data", "lifetime"),
    [
        (b'{"token": "abc"}', 60),
        (b'{"access_token": "abc", "expires_in": 300}', 300),
        (b'{"token": "", "access_token": "abc", "expires_in": null}', 60),
    ],
)
def test_token_is_read(data: bytes, lifetime: float) -> None:
    assert parse_token(data) == Token("abc", lifetime)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"token": 7}', b'{"token": "a\\r\\nHost: b"}'])
def test_token_missing_or_unfit_for_a_header_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_token(data)


def test_secrets_are_in_no_repr() -> None:
    with_password = token_requests(BEARER, Scope("app"), ALICE, registry=HOST, plain=PlainHttp())[0]
    with_token = token_requests(
        BEARER, Scope("app"), IdentityToken("secret"), registry=HOST, plain=PlainHttp()
    )[0]
    values = (ALICE, IdentityToken("secret"), RegistryToken("secret"), Token("secret"), with_token)
    assert not [value for value in values if "secret" in repr(value)]
    assert "Basic" not in repr(with_password)


def test_token_requests_fall_back_to_the_other_method() -> None:
    scope = Scope("app")
    get, post = token_requests(BEARER, scope, ALICE, registry=HOST, plain=PlainHttp())
    assert (get.method, get.authorization, post.method) == ("GET", basic(ALICE), "POST")
    assert post.form is not None
    form = parse_qs(post.form.decode())
    assert (form["grant_type"], form["username"], form["password"]) == (["password"], ["alice"], ["secret"])
    post, get = token_requests(BEARER, scope, IdentityToken("refresh"), registry=HOST, plain=PlainHttp())
    assert (post.method, get.method) == ("POST", "GET")
    assert get.authorization == basic(BasicAuth("<token>", "refresh"))
    assert len(token_requests(BEARER, scope, None, registry=HOST, plain=PlainHttp())) == 1
