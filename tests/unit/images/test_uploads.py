"""Blobs pushed: what is not sent, what is sent in pieces, and what a break costs. The transport is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from containerlib.errors import (
    InvalidArgument,
    NotFound,
    RegistryError,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from containerlib.images.registry.client import Registry
from containerlib.images.registry.retry import Retry
from containerlib.images.registry.sending import Blob, Pushed, push_blob, push_stream
from containerlib.images.registry.session import Given, Session
from containerlib.spec.auth import BasicAuth
from containerlib.spec.digest import Digest
from rig.fake_registry import FakeRegistry
from rig.images import digest_of
from rig.mock_server import MockServer

QUICK = Retry(attempts=3, first_delay=0.0)
DATA = bytes(range(256)) * 20_000
"""Some 5 MB: several pieces of a file."""
DIGEST = digest_of(DATA)
BLOB = Blob.of_bytes(DATA)


class Place:
    """A fake registry, what it was asked, and a session with it."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.server = MockServer(self.registry)
        self.session = Session("registry.example", Given(None), transport=self.server.transport, retry=QUICK)

    def methods(self) -> list[str]:
        return [request.method for request in self.server.requests]

    def sent(self) -> int:
        """Bytes of bodies."""
        return sum(len(request.content) for request in self.server.requests)


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    with place.session:
        yield place


def test_blob_is_pushed_whole_in_three_requests(place: Place) -> None:
    told: list[int] = []
    assert push_blob(place.session, "app", BLOB, sent=told.append) is Pushed.UPLOADED
    assert place.registry.blobs == {"app": {DIGEST: DATA}}
    assert place.methods() == ["HEAD", "POST", "PUT"]
    assert place.server.requests[-1].headers["Content-Length"] == str(len(DATA))
    assert "Transfer-Encoding" not in place.server.requests[-1].headers
    assert (told[-1], sorted(told)) == (len(DATA), told)


def test_blob_that_is_there_costs_one_head(place: Place) -> None:
    place.registry.blobs["app"] = {DIGEST: DATA}
    assert push_blob(place.session, "app", BLOB) is Pushed.THERE
    assert place.methods() == ["HEAD"]


def test_blob_that_another_repository_has_costs_one_mount(place: Place) -> None:
    place.registry.blobs["base"] = {DIGEST: DATA}
    assert push_blob(place.session, "app", BLOB, sources=["base"]) is Pushed.MOUNTED
    assert place.methods() == ["POST"]
    assert dict(place.server.requests[0].url.params) == {"mount": DIGEST, "from": "base"}
    assert DIGEST in place.registry.blobs["app"]


def test_blob_that_cannot_be_mounted_goes_into_the_upload_that_began_instead(place: Place) -> None:
    assert push_blob(place.session, "app", BLOB, sources=["base", "other"]) is Pushed.UPLOADED
    assert place.methods() == ["POST", "POST", "DELETE", "HEAD", "PUT"]
    assert place.registry.uploads == {}


def test_blob_that_was_there_before_a_mount_that_failed_leaves_no_upload(place: Place) -> None:
    place.registry.blobs["app"] = {DIGEST: DATA}
    place.registry.mounts = False
    assert push_blob(place.session, "app", BLOB, sources=["base"]) is Pushed.THERE
    assert place.methods() == ["POST", "HEAD", "DELETE"]
    assert place.registry.uploads == {}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_mount_that_is_refused_is_no_reason_not_to_push(place: Place, status: int) -> None:
    place.registry.fault = lambda r: httpx.Response(status) if "mount" in r.url.params else None
    assert push_blob(place.session, "app", BLOB, sources=["secret"]) is Pushed.UPLOADED


def test_mount_asks_for_a_token_that_is_good_for_both_repositories(place: Place) -> None:
    place.registry.blobs["base"] = {DIGEST: DATA}
    scopes: list[list[str]] = []

    def guard(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "auth.registry.example":
            scopes.append(request.url.params.get_list("scope"))
            return httpx.Response(200, json={"token": "t"})
        challenge = 'Bearer realm="https://auth.registry.example/token",service="s"'
        known = "Authorization" in request.headers
        return None if known else httpx.Response(401, headers={"WWW-Authenticate": challenge})

    place.registry.fault = guard
    with Session("registry.example", Given(None), transport=place.server.transport, retry=QUICK) as session:
        assert push_blob(session, "app", BLOB, sources=["base"]) is Pushed.MOUNTED
    assert scopes == [["repository:app:pull,push", "repository:base:pull"]]


def test_mount_asks_for_any_repository_and_leaves_no_upload(place: Place) -> None:
    with Registry("registry.example", transport=place.server.transport, retry=QUICK) as registry:
        assert not registry.mount("app", DIGEST)
        place.registry.blobs["whoever"] = {DIGEST: DATA}
        assert registry.mount("app", DIGEST)
        assert not registry.mount("app", DIGEST, source="elsewhere")
    assert "from" not in place.server.requests[0].url.params
    assert place.registry.uploads == {}


def test_upload_that_breaks_goes_on_where_the_registry_stands(place: Place) -> None:
    place.registry.cut = 3_000_000
    assert push_blob(place.session, "app", BLOB) is Pushed.UPLOADED
    assert place.methods() == ["HEAD", "POST", "PUT", "GET", "PUT"]
    rest = place.server.requests[-1]
    assert rest.headers["Content-Range"] == f"3000000-{len(DATA) - 1}"
    assert rest.headers["Content-Length"] == str(len(DATA) - 3_000_000) == str(len(rest.content))
    assert rest.url.params["state"] == "3000000"  # the Location is the last that was given
    assert place.registry.blobs["app"][DIGEST] == DATA


def test_upload_that_breaks_after_some_progress_each_time_is_not_given_up(
    place: Place, tmp_path: Path
) -> None:
    """More often than there are attempts."""
    breaks = []

    class Breaking(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            body = b""
            for piece in request.stream:  # type: ignore[union-attr]
                body += piece
                if len(body) >= 1_200_000:
                    place.registry.cut = len(body)
                    breaks.append(len(body))
                    break
            return place.registry(
                httpx.Request(request.method, request.url, headers=request.headers, content=body)
            )

    file = tmp_path / "blob"
    file.write_bytes(DATA * 2)
    with Session("registry.example", Given(None), transport=Breaking(), retry=QUICK) as session:
        assert push_blob(session, "app", Blob.of_file(str(file))) is Pushed.UPLOADED
    assert place.registry.blobs["app"] == {digest_of(DATA * 2): DATA * 2}
    assert len(breaks) > QUICK.attempts
    assert sum(breaks) < 2 * len(DATA)


def test_upload_that_breaks_at_its_end_sends_no_byte_again(place: Place) -> None:
    place.registry.cut = len(DATA)
    push_blob(place.session, "app", BLOB)
    assert place.server.requests[-1].content == b""
    assert place.registry.blobs["app"][DIGEST] == DATA


def test_upload_whose_answer_was_lost_is_found_done(place: Place) -> None:
    def lose(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT":
            return None
        place.registry.fault = lambda _: None
        place.registry(request)
        raise httpx.ReadError("the connection broke")

    place.registry.fault = lose
    push_blob(place.session, "app", BLOB)
    assert place.methods() == ["HEAD", "POST", "PUT", "GET", "HEAD"]
    assert place.sent() == len(DATA)


def test_upload_that_the_registry_forgot_begins_anew(place: Place) -> None:
    def forget(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT":
            place.registry.uploads.clear()
            place.registry.fault = lambda _: None
            raise httpx.WriteError("the connection broke")
        return None

    place.registry.fault = forget
    push_blob(place.session, "app", BLOB)
    assert place.methods() == ["HEAD", "POST", "PUT", "GET", "HEAD", "DELETE", "POST", "PUT"]
    assert place.registry.blobs["app"][DIGEST] == DATA


def test_upload_whose_status_was_not_true_begins_anew(place: Place) -> None:
    def lie(request: httpx.Request) -> httpx.Response | None:
        if request.method == "GET":
            return httpx.Response(204, headers={"Range": "0-1999999"})
        return None

    place.registry.cut = 1_000_000
    place.registry.fault = lie
    push_blob(place.session, "app", BLOB)
    assert place.registry.blobs["app"][DIGEST] == DATA


@pytest.mark.parametrize("status", [500, 502, 503])
def test_upload_trouble_that_passes_is_tried_again_and_what_stays_is_told(place: Place, status: int) -> None:
    left = [2]

    def trouble(request: httpx.Request) -> httpx.Response | None:
        left[0] -= request.method == "PUT"
        return httpx.Response(status) if request.method == "PUT" and left[0] >= 0 else None

    place.registry.fault = trouble
    assert push_blob(place.session, "app", BLOB) is Pushed.UPLOADED
    left[0] = 99
    with pytest.raises(RegistryError) as caught:
        push_blob(place.session, "other", BLOB)
    assert caught.value.status == status
    assert place.methods()[-1] == "DELETE"
    assert place.registry.uploads == {}


def test_upload_that_breaks_again_and_again_ends_unavailable_without_a_trace(place: Place) -> None:
    def cut(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT":
            raise httpx.WriteError("the connection broke")
        return None

    place.registry.fault = cut
    with pytest.raises(Unavailable, match="the connection broke"):
        push_blob(place.session, "app", BLOB)
    assert place.methods().count("PUT") == QUICK.attempts
    assert (place.registry.uploads, place.registry.blobs) == ({}, {})


def test_upload_that_is_refused_is_not_tried_again(place: Place) -> None:
    place.registry.fault = lambda r: httpx.Response(413) if r.method == "PUT" else None
    with pytest.raises(RegistryError) as caught:
        push_blob(place.session, "app", BLOB)
    assert caught.value.status == 413
    assert place.methods() == ["HEAD", "POST", "PUT", "DELETE"]


def test_upload_stored_under_another_digest_is_an_error(place: Place) -> None:
    other = {"Docker-Content-Digest": digest_of(b"other")}
    place.registry.fault = lambda r: httpx.Response(201, headers=other) if r.method == "PUT" else None
    with pytest.raises(RegistryError) as caught:
        push_blob(place.session, "app", BLOB)
    assert caught.value.code == "DIGEST_INVALID"


def test_upload_of_another_origin_gets_no_credentials(place: Place) -> None:
    def guard(request: httpx.Request) -> httpx.Response | None:
        ours = request.url.host == "registry.example"
        if ours and "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": "Basic"})
        return None

    place.registry.fault = guard
    place.registry.location = "https://storage.example/v2/{repository}/blobs/uploads/{upload}?state={state}"
    login = Given(BasicAuth("alice", "secret"))
    with Session("registry.example", login, transport=place.server.transport, retry=QUICK) as session:
        push_blob(session, "app", BLOB)
        push_stream(session, "app", [b"some", b"bytes"])
    shown = {host: header for host, header in place.server.shown() if host == "storage.example"}
    assert shown == {"storage.example": None}
    assert place.registry.blobs["app"][DIGEST] == DATA


@pytest.mark.parametrize("location", ["http://registry.example/x", "file:///etc/passwd", "https://[::1", ""])
def test_upload_that_leads_down_from_tls_or_nowhere_is_not_followed(place: Place, location: str) -> None:
    headers = {"Location": location} if location else {}
    place.registry.fault = lambda r: httpx.Response(202, headers=headers) if r.method == "POST" else None
    with pytest.raises(RegistryError) as caught:
        push_blob(place.session, "app", BLOB)
    assert caught.value.code == "MALFORMED"
    assert place.sent() == 0


def test_file_is_read_from_disk_for_every_attempt(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(DATA)
    place.registry.cut = 1_500_000
    blob = Blob.of_file(str(file))
    assert (str(blob.digest), blob.size) == (DIGEST, len(DATA))
    push_blob(place.session, "app", blob)
    assert place.registry.blobs["app"][DIGEST] == DATA


def test_file_that_shrinks_while_it_is_sent_is_named(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(DATA)
    blob = Blob.of_file(str(file))
    file.write_bytes(DATA[:1000])
    with pytest.raises(InvalidArgument, match="1000 bytes now"):
        push_blob(place.session, "app", blob)
    assert place.registry.uploads == {}


def test_blob_of_sha512_is_pushed(place: Place) -> None:
    digest = digest_of(DATA, "sha512")
    push_blob(place.session, "app", Blob(Digest.parse(digest), len(DATA), lambda offset: (DATA[offset:],)))
    assert place.registry.blobs["app"] == {digest: DATA}


def test_empty_blob_is_pushed(place: Place) -> None:
    push_blob(place.session, "app", Blob.of_bytes(b""))
    assert place.registry.blobs["app"] == {digest_of(b""): b""}


def pieces(size: int) -> Iterator[bytes]:
    """DATA, once."""
    for start in range(0, len(DATA), size):
        yield DATA[start : start + size]


@pytest.mark.parametrize("size", [1_000, 700_001, len(DATA)])
def test_stream_goes_in_chunks_and_its_digest_is_known_at_the_end(place: Place, size: int) -> None:
    told: list[int] = []
    digest, length = push_stream(place.session, "app", pieces(size), chunk_size=2_000_000, sent=told.append)
    assert (str(digest), length) == (DIGEST, len(DATA))
    assert place.registry.blobs["app"][DIGEST] == DATA
    assert place.methods() == ["POST", "PATCH", "PATCH", "PATCH", "PUT"]
    ranges = [request.headers["Content-Range"] for request in place.server.requests[1:4]]
    assert ranges == ["0-1999999", "2000000-3999999", f"4000000-{len(DATA) - 1}"]
    assert told == [2_000_000, 4_000_000, len(DATA)]


def test_stream_chunks_are_as_large_as_the_registry_wants_them(place: Place) -> None:
    place.registry.least = 4_000_000
    push_stream(place.session, "app", pieces(1_000), chunk_size=1_000_000)
    sizes = [len(request.content) for request in place.server.requests if request.method == "PATCH"]
    assert sizes == [4_000_000, len(DATA) - 4_000_000]


def test_stream_of_nothing_is_the_empty_blob(place: Place) -> None:
    digest, size = push_stream(place.session, "app", [])
    assert (str(digest), size) == (digest_of(b""), 0)
    assert place.registry.blobs["app"] == {digest_of(b""): b""}


@pytest.mark.parametrize("cut", [0, 2, 123_456, 2_000_000])
def test_stream_that_breaks_sends_the_rest_of_its_chunk(place: Place, cut: int) -> None:
    place.registry.cut = cut
    push_stream(place.session, "app", pieces(500_000), chunk_size=2_000_000)
    assert place.registry.blobs["app"][DIGEST] == DATA
    assert place.methods()[:3] == ["POST", "PATCH", "GET"]


def test_stream_chunk_that_was_taken_in_part_is_completed(place: Place) -> None:
    def take_half(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PATCH" and len(request.content) == 2_000_000:
            half = httpx.Request(
                "PATCH", request.url, headers=request.headers, content=request.content[:1_000_000]
            )
            half.headers["Content-Range"] = request.headers["Content-Range"]
            place.registry.fault = lambda _: None
            return place.registry(half)
        return None

    place.registry.fault = take_half
    push_stream(place.session, "app", pieces(500_000), chunk_size=2_000_000)
    assert place.registry.blobs["app"][DIGEST] == DATA


def test_stream_out_of_step_goes_on_where_416_says(place: Place) -> None:
    def behind(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PATCH":
            place.registry.fault = lambda _: None
            place.registry.uploads["0"] += request.content[:1000]
            return place.registry(request)
        return None

    place.registry.fault = behind
    push_stream(place.session, "app", pieces(500_000), chunk_size=2_000_000)
    assert place.registry.blobs["app"][DIGEST] == DATA
    assert place.server.requests[2].headers["Content-Range"] == "1000-1999999"


def test_stream_that_the_registry_lost_cannot_be_sent_again(place: Place) -> None:
    def forget(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PATCH" and request.headers["Content-Range"].startswith("2000000-"):
            place.registry.uploads["0"].clear()
        return None

    place.registry.fault = forget
    with pytest.raises(Unavailable, match="push it again"):
        push_stream(place.session, "app", pieces(500_000), chunk_size=2_000_000)
    assert place.registry.uploads == {}


def test_stream_that_fails_itself_cancels_the_upload(place: Place) -> None:
    def failing() -> Iterator[bytes]:
        yield DATA
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        push_stream(place.session, "app", failing(), chunk_size=1_000_000)
    assert place.methods()[-1] == "DELETE"
    assert place.registry.uploads == {}


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthorized), (403, Unauthorized), (404, NotFound), (405, Unsupported)]
)
def test_push_that_is_refused_is_typed(place: Place, status: int, kind: type[Exception]) -> None:
    place.registry.fault = lambda r: httpx.Response(status) if r.method == "POST" else None
    with pytest.raises(kind):
        push_blob(place.session, "app", BLOB)
