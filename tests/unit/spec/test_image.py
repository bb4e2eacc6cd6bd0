"""Manifests, indexes and configs: read from strangers, and their bytes kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index, Manifest, MediaType, parse_manifest
from containerlib.spec.image_config import ImageConfig, chain_ids
from containerlib.spec.platform import Platform

A, B = (f"sha256:{letter * 64}" for letter in "ab")
CONFIG = {"mediaType": MediaType.CONFIG, "digest": A, "size": 2}
LAYER = {"mediaType": MediaType.LAYER_GZIP, "digest": B, "size": 3, "annotations": {"x": 5}}


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
    }
    data = encode({"architecture": "amd64", "os": "linux", "config": run, "rootfs": {"diff_ids": [A, B]}})
    config = ImageConfig.from_bytes(data)
    assert config == ImageConfig(
        entrypoint=("/e",),
        cmd=None,
        env=("A=1", "B=x=y"),
        user="redis",
        working_dir="/data",
        exposed_ports=("53/udp", "80/tcp"),
        volumes=("/data",),
        labels=(("a", "1"), ("b", "2")),
        stop_signal="SIGINT",
        architecture="amd64",
        os="linux",
        diff_ids=(A, B),
        raw=data,
    )
    assert config.to_bytes() == data


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
    ],
)
def test_config_of_wrong_types_is_refused(document: Any) -> None:
    with pytest.raises(InvalidArgument):
        ImageConfig.from_bytes(encode(document))


def test_chain_ids_follow_the_specification() -> None:
    """The figures are sha256 of `"<chain id below> <diff_id>"`, taken with sha256sum."""
    assert chain_ids(()) == ()
    assert chain_ids((A,)) == (A,)
    assert chain_ids((A, B)) == (A, str(Digest.of(f"{A} {B}".encode())))
