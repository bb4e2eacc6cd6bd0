"""Manifests, indexes and configs: read from strangers, and their bytes kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.conversion import converted
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index, Manifest, MediaType, parse_manifest
from containerlib.spec.image_config import Healthcheck, History, ImageConfig, chain_ids
from containerlib.spec.platform import Platform

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
CONFIG = {"mediaType": MediaType.CONFIG, "digest": A, "size": 2}
LAYER = {"mediaType": MediaType.LAYER_GZIP, "digest": B, "size": 3}

INDEXED = {
    "mediaType": MediaType.MANIFEST,
    "digest": C,
    "size": 7,
    "artifactType": "text/x",
    "annotations": {"x": "y"},
}


def encode(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def test_manifest_bytes_are_kept_and_described() -> None:
    data = encode(
        {"schemaVersion": 2, "mediaType": MediaType.DOCKER_MANIFEST, "config": CONFIG, "layers": [LAYER]}
    )
    manifest = parse_manifest(data)
    assert isinstance(manifest, Manifest)
    assert manifest.to_bytes() == data
    assert manifest.descriptor() == Descriptor(MediaType.DOCKER_MANIFEST, Digest.of(data), len(data))
    assert manifest.layers[0].digest == Digest.parse(B)


def test_manifest_made_here_reads_back() -> None:
    manifest = Manifest(Descriptor(MediaType.CONFIG, Digest.parse(A), 2), ())
    again = Manifest.from_bytes(manifest.to_bytes())
    assert (again.config, again.layers) == (manifest.config, ())


def test_index_entries_have_platforms() -> None:
    entry = {**CONFIG, "mediaType": MediaType.MANIFEST, "platform": {"os": "linux", "architecture": "arm64"}}
    index = parse_manifest(encode({"schemaVersion": 2, "manifests": [entry]}))
    assert isinstance(index, Index)
    assert index.manifests[0].platform == Platform("linux", "arm64")
    assert Index.from_bytes(Index(index.manifests).to_bytes()).manifests == index.manifests


def test_manifest_and_index_of_every_field_are_written_as_they_were_read() -> None:
    common = {
        "artifactType": "application/vnd.example.type",
        "subject": {"mediaType": MediaType.MANIFEST, "digest": C, "size": 7},
        "annotations": {"b": "2", "a": "1"},
    }
    for content in ({"config": CONFIG, "layers": [LAYER]}, {"manifests": [INDEXED]}):
        media_type = MediaType.MANIFEST if "config" in content else MediaType.INDEX
        value = {"schemaVersion": 2, "mediaType": media_type, **common, **content}
        document = parse_manifest(encode(value))
        assert document.subject == Descriptor(MediaType.MANIFEST, Digest.parse(C), 7)
        assert document.annotations == (("a", "1"), ("b", "2"))
        assert document.kind == "application/vnd.example.type"
        assert json.loads(evolve(document, raw=b"").to_bytes()) == value
        assert document.to_bytes() == encode(value)


def test_manifest_kind_without_a_type_is_that_of_the_config() -> None:
    config = Descriptor("application/vnd.helm.config.v1+json", Digest.parse(A), 2)
    assert Manifest(config, ()).kind == "application/vnd.helm.config.v1+json"
    assert Index(()).kind == ""


def test_image_with_one_layer_twice_is_read() -> None:
    manifest = parse_manifest(encode({"config": CONFIG, "layers": [LAYER, LAYER]}))
    assert isinstance(manifest, Manifest)
    assert manifest.layers[0] == manifest.layers[1]


@pytest.mark.parametrize(
    ("document", "announced", "field"),
    [
        ({"mediaType": MediaType.INDEX, "config": CONFIG, "layers": [LAYER]}, "", "manifest"),
        ({"mediaType": MediaType.DOCKER_LIST, "config": CONFIG}, "", "manifest"),
        ({"mediaType": MediaType.MANIFEST, "manifests": []}, "", "manifest"),
        ({"config": CONFIG, "manifests": []}, "", "manifest"),
        ({"config": CONFIG, "layers": []}, MediaType.INDEX, "manifest"),
        ({"manifests": []}, MediaType.DOCKER_MANIFEST, "manifest"),
        (
            {"mediaType": MediaType.MANIFEST, "config": CONFIG},
            MediaType.DOCKER_MANIFEST,
            "manifest.mediaType",
        ),
        ({"mediaType": MediaType.INDEX, "manifests": []}, MediaType.MANIFEST, "manifest.mediaType"),
        ({"mediaType": "application/x", "manifests": []}, MediaType.INDEX, "manifest.mediaType"),
    ],
)
def test_manifest_that_is_two_things_is_refused(document: Any, announced: str, field: str) -> None:
    """CVE-2021-41190: one digest, and what it is depends on who reads it."""
    with pytest.raises(InvalidArgument) as caught:
        parse_manifest(encode(document), announced)
    assert caught.value.field == field


@pytest.mark.parametrize("announced", ["", "application/json", MediaType.MANIFEST])
def test_manifest_announced_by_a_type_that_says_nothing_is_read(announced: str) -> None:
    document = {"mediaType": MediaType.MANIFEST, "config": CONFIG, "layers": []}
    assert isinstance(parse_manifest(encode(document), announced), Manifest)


def test_manifest_is_not_read_as_an_index_nor_the_other_way() -> None:
    with pytest.raises(InvalidArgument, match="an index"):
        Manifest.from_bytes(encode({"manifests": []}))
    with pytest.raises(InvalidArgument, match="a manifest"):
        Index.from_bytes(encode({"config": CONFIG, "layers": []}))


def test_manifest_without_media_type_is_told_by_the_header() -> None:
    data = encode({"schemaVersion": 2, "manifests": []})
    assert isinstance(parse_manifest(data, MediaType.DOCKER_LIST), Index)


def test_manifest_of_schema_1_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="push it again"):
        parse_manifest(encode({"schemaVersion": 1, "fsLayers": []}))


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "manifest"),
        ({}, "manifest.config"),
        ({"config": 1}, "manifest.config"),
        ({"config": {**CONFIG, "size": -1}}, "manifest.config.size"),
        ({"config": {**CONFIG, "size": True}}, "manifest.config.size"),
        ({"config": {**CONFIG, "size": "2"}}, "manifest.config.size"),
        ({"config": {**CONFIG, "digest": "sha256:../../x"}}, "manifest.config.digest"),
        ({"config": CONFIG, "layers": {}}, "manifest.layers"),
        ({"config": CONFIG, "layers": [LAYER, 7]}, "manifest.layers[1]"),
        ({"config": CONFIG, "layers": [], "manifests": []}, "manifest"),
        ({"config": CONFIG, "schemaVersion": 3}, "manifest.schemaVersion"),
        ({"config": CONFIG, "layers": [LAYER, {**LAYER, "size": 4}]}, "manifest"),
        ({"config": CONFIG, "layers": [LAYER, {**LAYER, "mediaType": MediaType.LAYER}]}, "manifest"),
        ({"config": CONFIG, "layers": [{**CONFIG, "mediaType": MediaType.LAYER}]}, "manifest"),
        ({"config": CONFIG, "subject": {"digest": A}}, "manifest.subject.size"),
        ({"config": CONFIG, "annotations": {"a": []}}, "manifest.annotations"),
        ({"config": CONFIG, "artifactType": "x"}, "manifest.artifactType"),
        ({"config": CONFIG, "mediaType": "a/b\r\nX: y"}, "manifest.mediaType"),
        ({"manifests": [INDEXED, {**INDEXED, "size": 9}]}, "manifest"),
        ({"manifests": [{**INDEXED, "platform": {"variant": 7}}]}, "manifest.manifests[0].platform.variant"),
    ],
)
def test_manifest_malformed_names_the_field(document: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_manifest(encode(document))
    assert caught.value.field == field


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"<html>"])
def test_manifest_that_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_manifest(data)


def test_config_fields_are_read() -> None:
    run = {
        "Entrypoint": ["/e"],
        "Cmd": None,
        "Env": ["A=1", "broken", "B=x=y"],
        "User": "redis",
        "WorkingDir": "/data",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}},
        "Labels": {"b": "2", "a": "1"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_500_000_000, "Retries": 3},
        "Shell": ["/bin/bash", "-c"],
        "OnBuild": ["RUN make"],
        "ArgsEscaped": True,
        "Hostname": "strange",
    }
    data = encode(
        {
            "architecture": "amd64",
            "os": "windows",
            "variant": "v2",
            "os.version": "10.0.1.2",
            "os.features": ["win32k"],
            "created": "2024-01-01T00:00:00Z",
            "author": "somebody",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [A, B]},
            "history": [{"created_by": "make", "comment": "c"}, {"author": "x", "empty_layer": True}],
            "docker_version": "1.2.3",
        }
    )
    config = ImageConfig.from_bytes(data)
    assert config == ImageConfig(  # noqa: S604 - `shell` is a field of it
        entrypoint=("/e",),
        cmd=None,
        env=("A=1", "B=x=y"),
        user="redis",
        working_dir="/data",
        exposed_ports=("53/udp", "80/tcp"),
        volumes=("/data",),
        labels=(("a", "1"), ("b", "2")),
        stop_signal="SIGINT",
        healthcheck=Healthcheck(("CMD", "true"), interval=1.5, retries=3),
        shell=("/bin/bash", "-c"),
        on_build=("RUN make",),
        args_escaped=True,
        architecture="amd64",
        os="windows",
        variant="v2",
        os_version="10.0.1.2",
        os_features=("win32k",),
        created="2024-01-01T00:00:00Z",
        author="somebody",
        diff_ids=(A, B),
        history=(History(created_by="make", comment="c"), History(author="x", empty_layer=True)),
        raw=data,
    )
    assert config.to_bytes() == data
    known = json.loads(data)
    del known["docker_version"], run["Hostname"], run["Cmd"]
    assert json.loads(evolve(config, raw=b"").to_bytes()) == {
        **known,
        "config": {**run, "Env": ["A=1", "B=x=y"]},
    }


def test_config_made_here_reads_back() -> None:
    config = ImageConfig(env=("PATH=/bin",), cmd=("/bin/sh",), architecture="arm64", variant="v8")
    again = ImageConfig.from_bytes(config.to_bytes())
    assert (again.env, again.cmd, again.platform) == (config.env, config.cmd, Platform("linux", "arm64"))


@pytest.mark.parametrize(
    "document",
    [
        {"config": {"Env": [1]}},
        {"config": {"Env": {"A": "1"}}},
        {"config": {"Labels": {"a": 1}}},
        {"config": "x"},
        {"rootfs": {"diff_ids": ["sha256:x"]}},
        {"architecture": 7},
        {"os.features": "win32k"},
        {"history": {}},
        {"history": [{"empty_layer": 1}]},
        {"config": {"Healthcheck": {"Interval": -1}}},
        {"config": {"Healthcheck": {"Interval": 1.5}}},
        {"config": {"OnBuild": "RUN"}},
        {"config": {"ArgsEscaped": "yes"}},
        {"rootfs": {"diff_ids": A}},
    ],
)
def test_config_of_wrong_types_is_refused(document: Any) -> None:
    with pytest.raises(InvalidArgument):
        ImageConfig.from_bytes(encode(document))


@pytest.mark.parametrize(
    "user", ["4294967296", "4294967295:0", "0:4294967296", "-1", "+2147483648", "9" * 400]
)
def test_config_user_that_overflows_is_refused(user: str) -> None:
    """CVE-2024-40635: a number above those of users ran as root."""
    with pytest.raises(InvalidArgument) as caught:
        ImageConfig.from_bytes(encode({"config": {"User": user}}))
    assert caught.value.field == "config.config.User"


@pytest.mark.parametrize("user", ["", "0", "2147483647:2147483647", "redis", "redis:5", "9user", "1000:"])
def test_config_user_in_range_is_read(user: str) -> None:
    assert ImageConfig.from_bytes(encode({"config": {"User": user}})).user == user


def test_config_of_sha512_layers_is_read() -> None:
    digest = f"sha512:{'a' * 128}"
    config = ImageConfig.from_bytes(encode({"rootfs": {"diff_ids": [digest]}}))
    assert config.diff_ids == config.chain_ids() == (digest,)


def test_chain_ids_follow_the_specification() -> None:
    """The figures are sha256 of `"<chain id below> <diff_id>"`, taken with sha256sum."""
    assert chain_ids(()) == ()
    assert chain_ids((A,)) == (A,)
    assert chain_ids((A, B)) == (A, str(Digest.of(f"{A} {B}".encode())))


@pytest.mark.parametrize(
    ("oci", "docker"),
    [
        (MediaType.LAYER, MediaType.DOCKER_LAYER),
        (MediaType.LAYER_GZIP, MediaType.DOCKER_LAYER_GZIP),
        (MediaType.LAYER_FOREIGN_GZIP, MediaType.DOCKER_LAYER_FOREIGN_GZIP),
    ],
)
def test_manifest_is_converted_to_dockers_form_and_back(oci: str, docker: str) -> None:
    urls = ("https://example.com/layer",)
    layer = Descriptor(oci, Digest.parse(B), 3, urls=urls)
    manifest = Manifest(Descriptor(MediaType.CONFIG, Digest.parse(A), 2), (layer,))
    there = converted(manifest, "docker")
    assert there.media_type == MediaType.DOCKER_MANIFEST
    assert there.config == Descriptor(MediaType.DOCKER_CONFIG, Digest.parse(A), 2)
    assert there.layers == (Descriptor(docker, Digest.parse(B), 3, urls=urls),)
    assert converted(there, "oci") == manifest
    assert converted(there, "docker") is there
    assert converted(manifest, "oci") is manifest


@pytest.mark.parametrize(
    "change",
    [
        {"artifactType": "text/x"},
        {"subject": {**CONFIG, "mediaType": MediaType.MANIFEST}},
        {"layers": [{**LAYER, "mediaType": MediaType.LAYER_ZSTD}]},
        {"config": {**CONFIG, "mediaType": "text/x"}},
    ],
)
def test_manifest_that_docker_has_no_words_for_is_not_converted(change: dict[str, Any]) -> None:
    document = {"mediaType": MediaType.MANIFEST, "config": CONFIG, "layers": [LAYER], **change}
    with pytest.raises(Unsupported):
        converted(Manifest.from_bytes(encode(document)), "docker")
