"""What strangers write about images, nearly right: references, documents, challenges, logins, registries.conf.

    text = mutated(seed=1, index=42)        # always the same bytes; the first says which reader gets the rest
    judge(text)                             # how far it came, or whatever is no error of containerlib's

The readers are all that stands between such bytes and a path, a header or a request.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

from containerlib.errors import Error
from containerlib.images.registry.challenges import Scope, best, parse_challenges, parse_token, token_requests
from containerlib.images.registry.configuration.rules import parse as parse_rules
from containerlib.images.registry.credentials.files import AuthFile
from containerlib.images.registry.hosts import PlainHttp
from containerlib.spec.auth import BasicAuth
from containerlib.spec.digest import Digest
from containerlib.spec.image import Manifest, parse_manifest
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.platform import Platform
from containerlib.spec.reference import Reference
from fuzz.mutate import changed
from fuzz.target import LONGEST, TooSlow

__all__ = ["changed", "judge", "mutated"]

_SHA = f"sha256:{'5' * 64}"
_DESCRIPTOR = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": _SHA, "size": 7}
_MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {**_DESCRIPTOR, "mediaType": "application/vnd.oci.image.config.v1+json", "data": "e30="},
    "layers": [_DESCRIPTOR, {**_DESCRIPTOR, "urls": ["https://a.example/x"], "annotations": {"a": "b"}}],
    "subject": _DESCRIPTOR,
    "artifactType": "application/x",
}
_INDEX = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {
            **_DESCRIPTOR,
            "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1"},
        }
    ],
}
_CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "config": {
        "Env": ["A=b"],
        "Cmd": ["sh"],
        "User": "1:2",
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"a": "b"},
    },
    "rootfs": {"type": "layers", "diff_ids": [_SHA, _SHA]},
    "history": [{"created": "2024-01-01T00:00:00Z", "empty_layer": True}],
}
_LOGINS = {
    "auths": {
        "registry.example/team": {"auth": "YTpi"},
        "https://index.docker.io/v1/": {"identitytoken": "x"},
    },
    "credHelpers": {"ghcr.io": "ours"},
    "credsStore": "pass",
}
_RULES = """
[[registry]]
prefix = "*.example"
location = "mirror.example/a"
blocked = true
[[registry.mirror]]
location = "one.example"
insecure = true
pull-from-mirror = "digest-only"
"""
_PIECES = (b"", b"\0", b"\xff", b'"', b"\\", b"/", b"..", b"@", b":", b"\r\n", b"\xc2\xb2")
_SCOPE = Scope("acme/app", "pull,push", mount_from="acme/base")


def _challenge(data: bytes) -> None:
    found = best(parse_challenges([data.decode("latin-1")]))
    if found is not None and found.scheme == "bearer":
        for auth in (None, BasicAuth("me", "secret")):
            plain = PlainHttp(loopback=True)
            for request in token_requests(found, _SCOPE, auth, registry="registry.example.org", plain=plain):
                assert request.url.startswith(("https://", "http://127.", "http://localhost", "http://[::1]"))
                assert "secret" not in repr(request)


def _logins(data: bytes) -> None:
    for parse in (AuthFile.parse, AuthFile.parse_legacy):
        try:
            file = parse(data, "config.json")
            for registry in ("registry.example", "docker.io"):
                file.auth(registry, "team/app")
                file.helper(registry)
        except Error as error:
            if "YTpi" in str(error):
                raise AssertionError("a login is in a message") from error


def _reference(data: bytes) -> None:
    found = Reference.parse(data.decode("utf-8", "surrogateescape"))
    assert Reference.parse(str(found)) == found
    assert ".." not in found.repository.split("/")


def _document(data: bytes) -> None:
    found = parse_manifest(data)
    assert found.to_bytes() == data
    if isinstance(found, Manifest):
        assert all(layer.size >= 0 for layer in found.layers)


def _rules(data: bytes) -> None:
    parse_rules(data, "registries.conf").locations(Reference.parse("a.example/b/c:1"))


_READERS: tuple[Callable[[bytes], object], ...] = (
    _reference,
    _document,
    lambda data: ImageConfig.from_bytes(data).chain_ids(),
    _challenge,
    parse_token,
    _logins,
    _rules,
    lambda data: Platform.parse(data.decode("utf-8", "surrogateescape")).runs(),
    lambda data: Digest.parse(data.decode("utf-8", "surrogateescape")),
)


_SEEDS: tuple[tuple[int, Any], ...] = (
    (1, _MANIFEST),
    (1, _MANIFEST),
    (1, _INDEX),
    (2, _CONFIG),
    (2, _CONFIG),
    (5, _LOGINS),
    (4, {"token": "abc", "expires_in": 300}),
    (0, "redis:7"),
    (0, f"ghcr.io:443/acme/app:1.0@{_SHA}"),
    (0, "[::1]:5000/a/b"),
    (7, "linux/arm/v7"),
    (8, _SHA),
    (3, 'Bearer realm="https://auth.example.org/token?a=b",service="s",scope="repository:a:pull"'),
    (3, 'Basic realm="x", Bearer realm="https://auth.example.org", error="insufficient_scope"'),
    (6, _RULES),
)
"""What is right, and the position of its reader."""


def mutated(seed: int, index: int) -> bytes:
    """The bytes of one execution: mostly for their own reader, and mostly still JSON where they were that."""
    rng = random.Random(f"{seed}-{index}")
    reader, value = rng.choice(_SEEDS)
    if isinstance(value, str):
        data, bends = value.encode(), rng.randrange(4)
    else:
        data, bends = changed(rng, json.loads(json.dumps(value))), rng.choice((0, 0, 0, 0, 1, 3))
    for _ in range(bends):
        data = _bent(rng, data)
    if rng.random() < 0.1:
        reader = rng.randrange(len(_READERS))
    return bytes([reader]) + data


def judge(text: bytes) -> str:
    """Reads it. Returns "read", or the kind of the error. Raises: whatever is no error of ours; TooSlow."""
    start = time.thread_time()
    outcome = "read"
    try:
        _READERS[text[0] % len(_READERS) if text else 0](text[1:])
    except Error as error:
        outcome = type(error).__name__
        str(error).encode("utf-8", "surrogateescape")
    if time.thread_time() - start > LONGEST:
        raise TooSlow(f"{outcome} after {time.thread_time() - start:.1f} s")
    return outcome


def _bent(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + rng.randrange(1, 9))
    other = rng.choice((*_PIECES, data[at:to] * 40))
    return data[:at] + other + data[rng.choice((at, to)) :]
