"""Headers and files from anybody: read or refused by name, in time that does not grow with their nesting."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from containerlib.errors import InvalidArgument
from containerlib.images.registry.challenges import best, parse_challenges, parse_token
from containerlib.images.registry.credentials.files import AuthFile
from containerlib.images.registry.pages import next_link
from containerlib.images.registry.retry import retry_after
from containerlib.spec.auth import BasicAuth

PIECES = st.lists(
    st.sampled_from(
        [
            "Bearer",
            "Basic",
            " ",
            ",",
            "=",
            ";",
            '"',
            "\\",
            "realm",
            "rel",
            "next",
            "<",
            ">",
            "https://a/b",
            "é",
            "\t",
        ]
    ),
    max_size=30,
).map("".join)
HEADERS = st.text(max_size=60) | PIECES
NAMES = st.sampled_from(["ghcr.io", "https://ghcr.io/v1/", "ghcr.io/acme", "index.docker.io", ""]) | st.text(
    max_size=9
)
ENTRIES: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["auth", "username", "password", "identitytoken", "registrytoken"]),
    st.text(max_size=9) | st.none(),
)


@given(st.lists(HEADERS, max_size=3))
def test_challenges_of_any_text_are_read_without_an_error(headers: list[str]) -> None:
    challenges = parse_challenges(headers)
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in challenges)
    chosen = best(challenges)
    assert chosen is None or chosen.scheme in ("basic", "bearer")


@given(st.lists(HEADERS, max_size=3))
def test_link_of_any_text_is_one_of_the_targets_or_none(headers: list[str]) -> None:
    link = next_link(headers)
    assert link == "" or any(f"<{link}>" in header for header in headers)


@given(HEADERS, HEADERS)
def test_retry_after_of_any_text_is_a_time(value: str, date: str) -> None:
    assert retry_after(value, date=date) >= 0.0


@given(st.binary(max_size=60))
def test_token_of_any_bytes_is_fit_for_a_header_or_refused(data: bytes) -> None:
    try:
        text = parse_token(data).text
    except InvalidArgument:
        return
    assert text.isascii()
    assert text.isprintable()


@given(st.dictionaries(NAMES, ENTRIES, max_size=4), NAMES)
def test_auth_file_of_any_entries_is_read_or_refused_without_a_secret(
    auths: dict[str, Any], name: str
) -> None:
    try:
        auth = AuthFile.parse(json.dumps({"auths": auths}).encode(), "file").auth("ghcr.io", "acme/app")
    except InvalidArgument as error:
        text = str(error)
    else:
        text = repr(auth)
    long = [value for entry in auths.values() for value in entry.values() if value and len(value) > 6]
    assert not [value for value in long if value in text and entry_is_secret(auths, value)]


def entry_is_secret(auths: dict[str, Any], value: str) -> bool:
    return any(
        entry.get(name) == value for entry in auths.values() for name in ("auth", "password", "identitytoken")
    )


@given(st.text(min_size=1, max_size=20).filter(lambda text: ":" not in text), st.text(max_size=20))
def test_login_of_any_text_comes_back_from_its_file(username: str, password: str) -> None:
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    data = json.dumps({"auths": {"ghcr.io": {"auth": encoded}}}).encode()
    assert AuthFile.parse(data, "file").auth("ghcr.io", "a") == BasicAuth(username, password.strip("\0"))


def test_header_that_nests_without_end_takes_no_time() -> None:
    start = time.monotonic()
    for unit in ('<a>;a="', "<a>; rel = ", '<a>;rel="x ', "Bearer realm=", 'a="\\', "<", " ;a=  "):
        text = unit * (60_000 // len(unit))
        parse_challenges([text])
        next_link([text, f"<b>{text}"])
    assert time.monotonic() - start < 2.0
