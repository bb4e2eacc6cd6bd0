"""Descriptors: every field of image-spec 1.1, and what is not to be believed."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from attrs import evolve

from containerlib.errors import InvalidArgument
from containerlib.spec.descriptor import EMPTY, REF_NAME, Descriptor, MediaType
from containerlib.spec.digest import Digest
from containerlib.spec.document import Document
from containerlib.spec.platform import Platform

DATA = b"some bytes"
PLAIN = {"mediaType": "text/plain", "digest": f"sha256:{hashlib.sha256(DATA).hexdigest()}", "size": len(DATA)}
FULL = {
    **PLAIN,
    "urls": ["https://example.com/a", "ftp://example.com/a"],
    "annotations": {"b": "2", "a": "1"},
    "data": base64.b64encode(DATA).decode(),
    "artifactType": "application/vnd.example+type",
    "platform": {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0.17763.1",
        "os.features": ["win32k"],
        "variant": "v2",
    },
}


def read(value: object) -> Descriptor:
    return Descriptor.read(Document(value, "d"))


@pytest.mark.parametrize("value", [PLAIN, FULL, {**PLAIN, "size": 0}])
def test_descriptor_is_written_as_it_was_read(value: dict[str, Any]) -> None:
    assert read(value).to_json() == value


def test_descriptor_fields_are_read() -> None:
    descriptor = read(FULL)
    assert descriptor.urls == ("https://example.com/a", "ftp://example.com/a")
    assert descriptor.annotations == (("a", "1"), ("b", "2"))
    assert (descriptor.annotation("b"), descriptor.annotation("c")) == ("2", "")
    assert descriptor.data == DATA
    assert descriptor.artifact_type == "application/vnd.example+type"
    assert descriptor.platform == Platform("windows", "amd64", "v2", "10.0.17763.1", ("win32k",))
    assert hash(descriptor) == hash(read(FULL))


def test_descriptor_of_sha512_is_read() -> None:
    digest = f"sha512:{hashlib.sha512(DATA).hexdigest()}"
    descriptor = read({**FULL, "digest": digest})
    assert str(descriptor.digest) == digest
    assert descriptor.data == DATA


def test_descriptor_name_is_an_annotation() -> None:
    named = read(FULL).named("app:1")
    assert named.name == named.annotation(REF_NAME) == "app:1"
    assert named.named("") == read(FULL)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mediaType": None}, "d.mediaType"),
        ({"mediaType": "text"}, "d.mediaType"),
        ({"mediaType": "a/b\r\nX-Evil: 1"}, "d.mediaType"),
        ({"artifactType": "type"}, "d.artifactType"),
        ({"digest": None}, "d.digest"),
        ({"digest": "sha512:" + "a" * 64}, "d.digest"),
        ({"digest": "sha1:" + "a" * 40}, "d.digest"),
        ({"size": None}, "d.size"),
        ({"size": -1}, "d.size"),
        ({"size": 2**63}, "d.size"),
        ({"size": 10.0}, "d.size"),
        ({"urls": "https://example.com"}, "d.urls"),
        ({"urls": ["https://example.com", "/etc/passwd"]}, "d.urls[1]"),
        ({"urls": ["https://a/\r\nHost: b"]}, "d.urls[0]"),
        ({"annotations": {"a": 1}}, "d.annotations"),
        ({"annotations": ["a"]}, "d.annotations"),
        ({"data": "!"}, "d.data"),
        ({"data": "YWJj\n"}, "d.data"),
        ({"data": ""}, "d.data"),
        ({"data": base64.b64encode(b"other byte").decode()}, "d.data"),
        ({"data": FULL["data"], "size": 11}, "d.data"),
        ({"platform": "linux/amd64"}, "d.platform"),
        ({"platform": {"os": 1}}, "d.platform.os"),
        ({"platform": {"os.features": "win32k"}}, "d.platform.os.features"),
    ],
)
def test_descriptor_malformed_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read({**PLAIN, **change})
    assert caught.value.field == field


def test_empty_descriptor_is_that_of_the_specification() -> None:
    assert EMPTY.to_json() == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
        "data": "e30=",
    }


def test_descriptor_annotations_are_given_as_a_mapping() -> None:
    made = Descriptor("text/plain", Digest.of(DATA), len(DATA), annotations={"b": "2", "a": "1"})
    assert made.annotations == (("a", "1"), ("b", "2"))
    assert evolve(made, size=1).annotations == made.annotations


@pytest.mark.parametrize(
    ("media_type", "layer", "foreign"),
    [
        (MediaType.LAYER_ZSTD, True, False),
        (MediaType.DOCKER_LAYER_GZIP, True, False),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", True, True),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True, True),
        (MediaType.CONFIG, False, False),
    ],
)
def test_layer_is_known_by_its_media_type(media_type: str, layer: bool, foreign: bool) -> None:
    assert (MediaType.is_layer(media_type), MediaType.is_foreign(media_type)) == (layer, foreign)
