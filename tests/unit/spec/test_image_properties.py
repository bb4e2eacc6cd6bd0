"""Whatever bytes come, a document is read or refused by name; and what is read is written again with nothing lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.descriptor import Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.image import Index, Manifest, parse_manifest
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.platform import Platform, choose

FIELDS = """schemaVersion mediaType config layers manifests subject annotations artifactType digest size data urls
    platform os os.version os.features architecture variant rootfs diff_ids history User Env Healthcheck Layers a"""
WORDS = st.sampled_from(FIELDS.split())
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*MediaType.INDEXES, *MediaType.MANIFESTS, f"sha256:{'a' * 64}", "e30=", "0:4294967296"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=6)),
    max_leaves=20,
)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
DIGESTS = st.one_of(
    st.builds(Digest, st.just("sha256"), HEX), st.builds(Digest, st.just("sha512"), HEX.map(lambda h: h * 2))
)
SYSTEMS = st.sampled_from(["linux", "windows", "darwin"])
MACHINES = st.sampled_from(["amd64", "386", "arm", "arm64", "s390x", "x86_64", "aarch64", "armhf"])
VARIANTS = st.sampled_from(["", "v1", "v2", "v3", "v6", "v7", "v8", "v8.3", "v9", "v9.2", "6", "8", "odd"])
PLATFORMS = st.builds(
    Platform,
    SYSTEMS,
    MACHINES,
    VARIANTS,
    st.sampled_from(["", "10.0.17763.1", "10.0.20348.9", "x"]),
    st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
)
ANNOTATIONS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
KINDS = st.sampled_from(["application/vnd.example", MediaType.LAYER_GZIP])
DESCRIPTORS = st.builds(
    Descriptor,
    KINDS,
    DIGESTS,
    st.integers(0, 2**63 - 1),
    st.none() | PLATFORMS,
    ANNOTATIONS,
    st.lists(st.just("https://example.com/a?b#c"), max_size=2).map(tuple),
    artifact_type=st.just("") | KINDS,
)
UNIQUE = st.lists(DESCRIPTORS, max_size=4, unique_by=lambda d: d.digest).map(tuple)


def refused(read: Callable[[Any], Any], value: object) -> str | None:
    """The field that `value` is refused for; None where it is read, or of a version that nobody reads any more."""
    try:
        read(value)
    except InvalidArgument as error:
        return error.field
    except Unsupported:
        return None
    return None


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(WORDS, VALUES, max_size=8),
    st.sampled_from(["", *MediaType.INDEXES, *MediaType.MANIFESTS]),
)
def test_document_of_any_shape_is_read_or_refused_by_name(value: dict[str, Any], announced: str) -> None:
    data = json.dumps({**value, "schemaVersion": 2}).encode()
    field = refused(lambda data: parse_manifest(data, announced), data)
    assert field is None or field.startswith("manifest")
    field = refused(ImageConfig.from_bytes, data)
    assert field is None or field.startswith("config")


DESCRIPTOR: dict[str, Any] = {
    "mediaType": "application/vnd.example",
    "digest": f"sha256:{'a' * 64}",
    "size": 2,
    "urls": ["https://a.example/x"],
    "annotations": {"a": "b"},
    "artifactType": "application/x",
}
SYSTEM: dict[str, Any] = {
    "os": "linux",
    "architecture": "arm",
    "variant": "v7",
    "os.version": "1",
    "os.features": ["a"],
}
RUN: dict[str, Any] = {
    "Entrypoint": ["a"],
    "Cmd": ["b"],
    "Env": ["A=b"],
    "User": "1:2",
    "Labels": {"a": "b"},
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["NONE"], "Interval": 1},
}
WHOLE: list[dict[str, Any]] = [
    {
        "schemaVersion": 2,
        "config": DESCRIPTOR,
        "layers": [DESCRIPTOR, DESCRIPTOR],
        "subject": DESCRIPTOR,
        "artifactType": "application/x",
        "annotations": {"a": "b"},
    },
    {"schemaVersion": 2, "manifests": [{**DESCRIPTOR, "platform": SYSTEM}], "annotations": {"a": "b"}},
    {
        **SYSTEM,
        "config": RUN,
        "created": "2024",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'a' * 64}"]},
        "history": [{"created_by": "x", "empty_layer": True}],
    },
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_document_with_one_value_of_any_kind_is_read_or_refused_by_name(
    whole: dict[str, Any], data: st.DataObject
) -> None:
    document = copy.deepcopy(whole)
    place: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    text = json.dumps(document).encode()
    is_config = "rootfs" in whole
    field = refused(ImageConfig.from_bytes if is_config else parse_manifest, text)
    assert field is None or field.startswith("config" if is_config else "manifest")


@given(st.binary(max_size=60))
def test_document_of_any_bytes_is_refused_by_name(data: bytes) -> None:
    assert refused(parse_manifest, data) == "manifest"


@settings(max_examples=200, deadline=None)
@given(UNIQUE, DESCRIPTORS | st.none(), ANNOTATIONS, KINDS | st.just(""))
def test_manifest_and_index_made_here_read_back_the_same(
    entries: tuple[Descriptor, ...], subject: Descriptor | None, annotations: dict[str, str], kind: str
) -> None:
    index = Index(entries, subject=subject, annotations=annotations, artifact_type=kind)
    assert evolve(Index.from_bytes(index.to_bytes()), raw=b"") == index
    for config in entries[:1]:
        manifest = Manifest(config, entries, subject=subject, annotations=annotations, artifact_type=kind)
        assert evolve(Manifest.from_bytes(manifest.to_bytes()), raw=b"") == manifest


@given(PLATFORMS)
def test_platform_normalised_is_stable_and_runs_itself_first(platform: Platform) -> None:
    own = platform.normalised()
    assert own.normalised() == own
    assert platform.runs()[0] == own
    assert len(set(platform.runs())) == len(platform.runs())
    assert all(each == each.normalised() for each in platform.runs())
    assert choose(platform.runs(), [None, platform]) == 1


@given(st.text(max_size=30) | st.from_regex(r"[a-z(+)0-9./]{1,20}", fullmatch=True))
def test_platform_of_any_text_is_read_or_refused(text: str) -> None:
    field = refused(Platform.parse, text)
    assert field in (None, "platform")
    if field is None:
        platform = Platform.parse(text)
        assert Platform.parse(str(platform)) == platform


@given(st.text(max_size=20) | st.from_regex(r"sha(256|512):[0-9a-f]{64}([0-9a-f]{64})?", fullmatch=True))
def test_digest_of_any_text_is_read_or_refused(text: str) -> None:
    if refused(Digest.parse, text) is None:
        digest = Digest.parse(text)
        assert str(digest) == text
        assert len(digest.hex) == {"sha256": 64, "sha512": 128}[digest.algorithm]
