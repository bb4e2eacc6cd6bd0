"""What a registry's 401 asks for, and who is told the password."""

from __future__ import annotations

import pytest

from containerlib.errors import InvalidArgument
from containerlib.images.registry.challenges import (
    Challenge,
    basic,
    best,
    parse_challenges,
    parse_token,
    token_request,
)
from containerlib.spec.auth import BasicAuth

ALICE = BasicAuth("alice", "secret")


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


def test_best_is_bearer_then_basic() -> None:
    assert best((Challenge("basic"), Challenge("bearer"))) == Challenge("bearer")
    assert best((Challenge("negotiate"), Challenge("basic"))) == Challenge("basic")
    assert best((Challenge("negotiate"),)) is None


def test_token_request_asks_for_pull_with_credentials() -> None:
    challenge = Challenge(
        "bearer", (("realm", "https://auth.example/token?a=b"), ("service", "the registry"))
    )
    request = token_request(challenge, "team/app", ALICE, plain_http=False)
    assert (
        request.url
        == "https://auth.example/token?a=b&service=the+registry&scope=repository%3Ateam%2Fapp%3Apull"
    )
    assert request.authorization == basic(ALICE) == "Basic YWxpY2U6c2VjcmV0"
    assert token_request(challenge, "team/app", None, plain_http=False).authorization is None


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
    ],
)
def test_token_request_to_a_server_not_to_trust_is_refused(realm: str, plain_http: bool) -> None:
    with pytest.raises(InvalidArgument) as caught:
        token_request(Challenge("bearer", (("realm", realm),)), "app", ALICE, plain_http=plain_http)
    assert caught.value.field == "realm"


@pytest.mark.parametrize(
    "data", [b'{"token": "abc"}', b'{"access_token": "abc"}', b'{"token": "", "access_token": "abc"}']
)
def test_token_is_read(data: bytes) -> None:
    assert parse_token(data) == "abc"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"token": 7}', b'{"token": "a\\r\\nHost: b"}'])
def test_token_missing_or_unfit_for_a_header_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_token(data)


def test_secrets_are_in_no_repr() -> None:
    request = token_request(Challenge("bearer", (("realm", "https://a/"),)), "app", ALICE, plain_http=False)
    assert "secret" not in repr(ALICE)
    assert "Basic" not in repr(request)
