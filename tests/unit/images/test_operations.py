"""Manifests, tags, referrers, artifacts and deletes, on a registry of distribution-spec 1.1 and on one of 1.0."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from containerlib.errors import InvalidArgument, NotFound, RegistryError, Unsupported
from containerlib.images.registry.client import Registry
from containerlib.images.registry.configuration.files import ConfigurationFiles
from containerlib.images.registry.fallback import tag_of
from containerlib.images.registry.pages import next_link
from containerlib.images.registry.retry import Retry
from containerlib.spec.descriptor import EMPTY, Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.image import Index, Manifest, parse_manifest
from rig.fake_registry import FakeRegistry
from rig.images import digest_of
from rig.mock_server import MockServer

QUICK = Retry(attempts=3, first_delay=0.0)
SIGNATURE = "application/vnd.example.signature"
SBOM = "application/vnd.example.sbom"
SUBJECT = Manifest(EMPTY, (EMPTY,), artifact_type="application/vnd.example.image").descriptor()
TAG = tag_of(SUBJECT.digest)


class Place:
    """A fake registry, what it was asked, and a client of it."""

    def __init__(self, fake: FakeRegistry) -> None:
        self.fake = fake
        self.server = MockServer(fake)
        self.registry = self.client()

    def client(self) -> Registry:
        return Registry("registry.example", transport=self.server.transport, retry=QUICK)

    def methods(self) -> list[str]:
        return [request.method for request in self.server.requests]

    def attach(self, kind: str = SIGNATURE, **annotations: str) -> Descriptor:
        return self.registry.push_artifact("app", kind, subject=SUBJECT, annotations=annotations)

    def listed(self) -> list[str]:
        """The digests in the fallback index."""
        index = Index.from_bytes(self.fake.manifests["app"][TAG][1])
        return [str(entry.digest) for entry in index.manifests]


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place(FakeRegistry())
    with place.registry:
        yield place


@pytest.fixture(params=["1.1", "1.0", "1.1, without filters"])
def either(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place with the referrers' list, or without it."""
    fake = FakeRegistry(has_referrers=request.param != "1.0", filters="without" not in request.param)
    place = Place(fake)
    with place.registry:
        yield place


def test_manifest_is_pushed_by_digest_and_by_tag(place: Place) -> None:
    manifest = Manifest(EMPTY, (), media_type=MediaType.DOCKER_MANIFEST)
    assert place.registry.push_manifest("app", manifest) == manifest.descriptor()
    place.registry.push_manifest("app", manifest, tag="1.0")
    put = place.server.requests[0]
    assert put.url.path == f"/v2/app/manifests/{manifest.descriptor().digest}"
    assert put.headers["Content-Type"] == MediaType.DOCKER_MANIFEST
    assert place.fake.manifests["app"]["1.0"] == (MediaType.DOCKER_MANIFEST, manifest.to_bytes())


def test_manifest_that_was_read_is_pushed_with_its_very_bytes(place: Place) -> None:
    data = json.dumps(
        {"schemaVersion": 2, "config": EMPTY.to_json(), "layers": [], "strange": 1}, indent=3
    ).encode()
    descriptor = place.registry.push_manifest("app", parse_manifest(data), tag="latest")
    assert place.fake.manifests["app"]["latest"][1] == data
    assert str(descriptor.digest) == digest_of(data)


def test_manifest_stored_under_another_digest_is_an_error(place: Place) -> None:
    place.fake.fault = lambda _: httpx.Response(201, headers={"Docker-Content-Digest": digest_of(b"")})
    with pytest.raises(RegistryError) as caught:
        place.registry.push_manifest("app", Manifest(EMPTY, ()), tag="1")
    assert caught.value.code == "DIGEST_INVALID"


def test_manifest_of_more_than_4_mib_is_not_sent(place: Place) -> None:
    large = Manifest(EMPTY, (), annotations={"a": "x" * (4 << 20)})
    with pytest.raises(InvalidArgument, match="4194304"):
        place.registry.push_manifest("app", large)
    assert place.server.requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.push_blob("../x", b""),
        lambda r: r.push_blob("a?b", b""),
        lambda r: r.push_blob("App", b""),
        lambda r: r.push_blob("app", b"", mount_from="../x"),
        lambda r: r.push_blob("app", b"", media_type="a\r\nb"),
        lambda r: r.push_manifest("app", Manifest(EMPTY, ()), tag="a/b"),
        lambda r: r.push_artifact("app", "no type"),
        lambda r: r.mount("app", "sha256:x"),
        lambda r: r.mount("app", digest_of(b""), source=".."),
        lambda r: r.tags("app/../x"),
        lambda r: r.referrers("app", "../x"),
        lambda r: r.delete_tag("app", digest_of(b"")),
        lambda r: r.delete_manifest("app", "latest"),
        lambda r: r.delete_blob("", digest_of(b"")),
    ],
)
def test_name_that_is_none_is_refused_before_anything_is_asked(place: Place, call: Any) -> None:
    with pytest.raises(InvalidArgument):
        call(place.registry)
    assert place.server.requests == []


def test_tags_are_listed_page_by_page(place: Place) -> None:
    names = sorted(f"v{number}" for number in range(7))
    place.fake.manifests["app"] = dict.fromkeys(names, ("", b""))
    assert place.registry.tags("app") == names
    assert len(place.server.requests) == 1
    assert place.registry.tags("app", page_size=2) == names
    assert [str(r.url.query, "ascii") for r in place.server.requests[1:]] == [
        "n=2",
        "n=2&last=v1",
        "n=2&last=v3",
        "n=2&last=v5",
    ]


@pytest.mark.parametrize("tags", [None, []])
def test_tags_of_a_repository_without_any_are_none(place: Place, tags: Any) -> None:
    place.fake.fault = lambda _: httpx.Response(200, json={"name": "app", "tags": tags})
    assert place.registry.tags("app") == []


@pytest.mark.parametrize(
    "link",
    [
        "<https://evil.example/v2/app/tags/list>; rel=next",
        "<http://registry.example/v2/app/tags/list?n=1>; rel=next",
        "<//registry.example:444/x>; rel=next",
        "<https://alice@registry.example/x>; rel=next",
        "<file:///etc/passwd>; rel=next",
        "<https://[::1>; rel=next",
        "<https://registry.example:99999/x>; rel=next",
        "</v2/app/tags/list>; rel=next",
    ],
)
def test_tags_do_not_follow_a_link_elsewhere_or_in_circles(place: Place, link: str) -> None:
    place.fake.fault = lambda _: httpx.Response(200, headers={"Link": link}, json={"tags": ["a"]})
    with pytest.raises(RegistryError) as caught:
        place.registry.tags("app")
    assert caught.value.code == "MALFORMED"
    assert {str(request.url) for request in place.server.requests} == {
        "https://registry.example/v2/app/tags/list"
    }
    assert len(place.server.requests) <= 2


def test_tags_that_go_on_from_page_to_page_without_an_end_are_refused(place: Place) -> None:
    def another(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("last", 0)) + 1
        assert number <= 10_000
        return httpx.Response(200, headers={"Link": f"<?last={number}>; rel=next"}, content=b"{}")

    place.fake.fault = another
    with pytest.raises(RegistryError, match="has no end"):
        place.registry.tags("app")


@pytest.mark.parametrize("tags", ["a", [1], ["a", "b/c"], ["\x1b[2J"], {"a": 1}])
def test_tags_that_are_none_are_refused(place: Place, tags: Any) -> None:
    place.fake.fault = lambda _: httpx.Response(200, json={"tags": tags})
    with pytest.raises(RegistryError) as caught:
        place.registry.tags("app")
    assert caught.value.code == "MALFORMED"
    assert "\x1b" not in str(caught.value)


def test_tags_answer_without_end_is_refused(place: Place) -> None:
    place.fake.fault = lambda _: httpx.Response(200, content=b" " * (5 << 20))
    with pytest.raises(RegistryError, match="more than"):
        place.registry.tags("app")


@pytest.mark.parametrize(
    ("headers", "link"),
    [
        ([], ""),
        (["<a>; rel=next"], "a"),
        (['<a?b=1,2>; title="x, <y>"; rel="next"'], "a?b=1,2"),
        (['<a>; rel="prev", <b>; rel="next last"'], "b"),
        (["<a>; rel=prev", "<b>; REL=NEXT"], "b"),
        (["<a>; rel=nextish", "<b>; norel=next", '<c>; title="rel=next"'], ""),
        (["nonsense", "<", "<a", ";rel=next"], ""),
    ],
)
def test_link_is_the_next_one(headers: list[str], link: str) -> None:
    assert next_link(headers) == link


def test_artifact_has_its_files_by_name(place: Place, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        tmp_path.joinpath(name).write_text(name)
    sent = place.registry.push_blob("app", [b"in ", b"chunks"], media_type="text/plain")
    pushed = place.registry.push_artifact(
        "app",
        SBOM,
        [tmp_path / "a.txt", str(tmp_path / "b.txt")],
        blobs=[sent],
        tag="sbom",
        annotations={"k": "v"},
    )
    media_type, data = place.fake.manifests["app"]["sbom"]
    manifest = Manifest.from_bytes(data)
    assert (media_type, digest_of(data)) == (MediaType.MANIFEST, str(pushed.digest))
    assert (manifest.config, manifest.artifact_type, manifest.annotations) == (EMPTY, SBOM, (("k", "v"),))
    titles = [layer.annotation("org.opencontainers.image.title") for layer in manifest.layers]
    contents = [place.fake.blobs["app"][str(layer.digest)] for layer in manifest.layers]
    assert titles == ["a.txt", "b.txt", ""]
    assert contents == [b"a.txt", b"b.txt", b"in chunks"]
    assert place.fake.blobs["app"][str(EMPTY.digest)] == b"{}"
    assert pushed.artifact_type == SBOM


def test_artifact_of_nothing_has_the_empty_layer(place: Place) -> None:
    place.registry.push_artifact("app", SIGNATURE, tag="s")
    assert Manifest.from_bytes(place.fake.manifests["app"]["s"][1]).layers == (EMPTY,)


def test_referrers_are_listed_and_filtered(either: Place) -> None:
    assert either.registry.referrers("app", SUBJECT.digest) == []
    signature, sbom = either.attach(by="alice"), either.attach(SBOM)
    found = either.registry.referrers("app", str(SUBJECT.digest))
    assert {entry.digest for entry in found} == {signature.digest, sbom.digest}
    assert {entry.artifact_type for entry in found} == {SIGNATURE, SBOM}
    (entry,) = either.registry.referrers("app", SUBJECT.digest, artifact_type=SIGNATURE)
    assert (entry.digest, entry.size, entry.annotations) == (
        signature.digest,
        signature.size,
        (("by", "alice"),),
    )
    assert either.registry.referrers("app", SUBJECT.digest, artifact_type="text/other") == []
    asked = [
        r.url.params.get("artifactType", "") for r in either.server.requests if "/referrers/" in r.url.path
    ]
    assert asked[-2:] == [SIGNATURE, "text/other"]
    assert (TAG in either.fake.manifests["app"]) is not either.fake.has_referrers


def test_referrers_are_listed_page_by_page(place: Place) -> None:
    pushed = {place.attach(number=str(number)).digest for number in range(5)}
    place.attach(SBOM)
    place.fake.page = 2
    found = place.registry.referrers("app", SUBJECT.digest, artifact_type=SIGNATURE)
    assert {entry.digest for entry in found} == pushed
    assert len([r for r in place.server.requests if "/referrers/" in r.url.path]) == 3


@pytest.mark.parametrize("body", [b"", b"[]", b'{"manifests": [{"digest": "x"}]}', b'{"config": {}}'])
def test_referrers_that_are_no_index_are_refused(place: Place, body: bytes) -> None:
    place.fake.fault = lambda _: httpx.Response(200, content=body)
    with pytest.raises(RegistryError) as caught:
        place.registry.referrers("app", SUBJECT.digest)
    assert caught.value.code == "MALFORMED"


def test_fallback_tag_names_the_digest_and_is_a_tag() -> None:
    assert tag_of(Digest.parse(digest_of(b""))) == digest_of(b"").replace(":", "-")
    assert tag_of(Digest.parse(digest_of(b"", "sha512"))) == digest_of(b"", "sha512").replace(":", "-")[:71]


@pytest.fixture
def old() -> Iterator[Place]:
    place = Place(FakeRegistry(has_referrers=False))
    with place.registry:
        yield place


def test_fallback_entry_is_added_once(old: Place) -> None:
    first = old.attach()
    assert old.attach() == first
    assert old.listed() == [str(first.digest)]
    writes = [r for r in old.server.requests if r.method == "PUT" and r.url.path.endswith(TAG)]
    assert len(writes) == 1


def test_fallback_entry_that_another_client_overwrote_is_written_again(old: Place) -> None:
    """The other had read before and writes after: the index that it puts has not our entry."""
    mine = old.attach(by="me")
    theirs = Index((old.registry.push_artifact("app", SBOM),))
    stolen = [False]

    def steal(request: httpx.Request) -> httpx.Response | None:
        reads = request.method == "GET" and request.url.path.endswith(TAG)
        if reads and not stolen[0] and str(later) in old.listed():
            stolen[0] = True
            old.fake.manifests["app"][TAG] = (MediaType.INDEX, theirs.to_bytes())
        return None

    later = (
        Manifest(EMPTY, (EMPTY,), artifact_type=SIGNATURE, subject=SUBJECT, annotations={"by": "x"})
        .descriptor()
        .digest
    )
    old.fake.fault = steal
    assert old.attach(by="x").digest == later
    assert stolen == [True]
    assert set(old.listed()) == {str(theirs.manifests[0].digest), str(later)}
    assert mine.digest != later


def test_fallback_keeps_the_entries_of_all_who_write_at_once(old: Place) -> None:
    pushed: list[str] = []

    def attach(number: int) -> None:
        with old.client() as registry:
            pushed.append(
                str(
                    registry.push_artifact(
                        "app", SIGNATURE, subject=SUBJECT, annotations={"n": str(number)}
                    ).digest
                )
            )

    threads = [threading.Thread(target=attach, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(old.listed()) == sorted(pushed)


def test_fallback_tag_that_is_no_index_is_not_overwritten(old: Place) -> None:
    old.fake.manifests["app"] = {TAG: (MediaType.MANIFEST, Manifest(EMPTY, ()).to_bytes())}
    with pytest.raises(RegistryError, match="list of referrers"):
        old.attach()
    assert old.fake.manifests["app"][TAG][0] == MediaType.MANIFEST


def test_fallback_entries_that_were_deleted_behind_its_back_are_dropped(old: Place) -> None:
    gone, kept = old.attach(by="1"), old.attach(by="2")
    del old.fake.manifests["app"][str(gone.digest)]

    def strict(request: httpx.Request) -> httpx.Response | None:
        missing = str(gone.digest).encode() in request.content
        return httpx.Response(400, json={"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}) if missing else None

    old.fake.fault = strict
    new = old.attach(by="3")
    assert old.listed() == [str(kept.digest), str(new.digest)]


def test_delete_of_a_referrer_takes_it_from_the_list(either: Place) -> None:
    gone, kept = either.attach(by="1"), either.attach(by="2")
    either.registry.delete_manifest("app", gone.digest)
    assert [e.digest for e in either.registry.referrers("app", SUBJECT.digest)] == [kept.digest]
    with pytest.raises(NotFound):
        either.registry.delete_manifest("app", gone.digest)


def test_delete_of_manifest_tag_and_blob(place: Place) -> None:
    blob = place.registry.push_blob("app", b"data")
    manifest = place.registry.push_manifest("app", Manifest(EMPTY, ()), tag="a")
    place.registry.push_manifest("app", Manifest(EMPTY, ()), tag="b")
    place.registry.delete_tag("app", "a")
    assert place.registry.tags("app") == ["b"]
    place.registry.delete_manifest("app", str(manifest.digest))
    assert place.fake.manifests["app"] == {}
    place.registry.delete_blob("app", blob.digest)
    assert place.fake.blobs["app"] == {}
    with pytest.raises(NotFound):
        place.registry.delete_blob("app", blob.digest)


def test_delete_asks_for_a_token_that_is_good_for_it(place: Place) -> None:
    manifest = place.registry.push_manifest("app", Manifest(EMPTY, ()), tag="a")
    blob = place.registry.push_blob("app", b"data")
    granted: list[str] = []

    def guard(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "auth.registry.example":
            granted.append(request.url.params["scope"])
            return httpx.Response(200, json={"token": granted[-1].rpartition(":")[2]})
        deletes = "delete" in request.headers.get("Authorization", "")
        if request.method != "DELETE" or deletes:
            return None
        challenge = (
            'Bearer realm="https://auth.registry.example/token",service="s",error="insufficient_scope"'
        )
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    place.fake.fault = guard
    place.registry.delete_tag("app", "a")
    place.registry.delete_manifest("app", manifest.digest)
    place.registry.delete_blob("app", blob.digest)
    assert granted == ["repository:app:delete,pull,push"]
    assert (place.fake.manifests["app"], place.fake.blobs["app"]) == ({}, {})


def test_delete_that_a_registry_does_not_do_is_unsupported_and_says_why(place: Place) -> None:
    manifest = place.registry.push_manifest("app", Manifest(EMPTY, ()), tag="a")
    place.fake.fault = lambda r: httpx.Response(405) if r.method == "DELETE" else None
    for call in (
        lambda: place.registry.delete_tag("app", "a"),
        lambda: place.registry.delete_manifest("app", manifest.digest),
        lambda: place.registry.delete_blob("app", manifest.digest),
    ):
        with pytest.raises(Unsupported, match="REGISTRY_STORAGE_DELETE_ENABLED"):
            call()
    place.fake.fault = lambda r: httpx.Response(400) if r.method == "DELETE" else None
    with pytest.raises(Unsupported, match="by its digest"):
        place.registry.delete_tag("app", "a")


def test_push_goes_where_the_configuration_says_and_to_no_mirror(place: Place, tmp_path: Path) -> None:
    tmp_path.joinpath("registries.conf").write_text(
        """
        [[registry]]
        prefix = "registry.example/app"
        location = "elsewhere.example/team/app"
        mirror = [{location = "mirror.example/app"}]
        [[registry]]
        prefix = "registry.example/blocked"
        blocked = true
        """
    )
    files = ConfigurationFiles(
        {"CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf")}, root=str(tmp_path)
    )
    with Registry("registry.example", transport=place.server.transport, files=files) as registry:
        registry.push_artifact("app", SBOM, tag="1")
        assert {host for _, host, _ in place.server.seen()} == {"elsewhere.example"}
        assert "1" in place.fake.manifests["team/app"]
        registry.push_blob("app", b"data", mount_from=["app/base", "other"])
        sources = [r.url.params["from"] for r in place.server.requests if "from" in r.url.params]
        assert sources == ["team/app/base"]
        with pytest.raises(InvalidArgument, match="blocked"):
            registry.push_blob("blocked/app", b"data")


def test_push_to_docker_hub_knows_its_short_names(place: Place) -> None:
    with Registry("docker.io", transport=place.server.transport) as registry:
        registry.push_blob("redis", b"data")
    assert {path for _, _, path in place.server.seen()} == {
        f"/v2/library/redis/blobs/{digest_of(b'data')}",
        "/v2/library/redis/blobs/uploads/",
        "/v2/library/redis/blobs/uploads/0",
    }


def test_manifest_that_is_refused_while_others_push_its_blob_is_put_again(place: Place) -> None:
    refusals = iter([httpx.Response(400, json={"errors": [{"code": "DIGEST_INVALID"}]})] * 2)

    def serve(request: httpx.Request) -> httpx.Response:
        return next(refusals, None) or place.fake(request)

    server = MockServer(serve)
    with Registry("registry.example", transport=server.transport, retry=QUICK) as registry:
        registry.push_manifest("app", Manifest(EMPTY, ()), tag="1")
    assert len(server.requests) == 3


def test_manifest_that_is_refused_for_its_digest_time_and_again_is_given_up() -> None:
    answer = {"errors": [{"code": "DIGEST_INVALID"}]}
    server = MockServer(lambda _: httpx.Response(400, json=answer))
    with Registry("registry.example", transport=server.transport, retry=QUICK) as registry:
        with pytest.raises(RegistryError) as caught:
            registry.push_manifest("app", Manifest(EMPTY, ()), tag="1")
    assert caught.value.code == "DIGEST_INVALID"
    assert len(server.requests) == QUICK.attempts
