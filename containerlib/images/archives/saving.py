"""Images as one archive or directory, for `load` here and elsewhere: `docker load`, `podman load`, skopeo.

    save(root, rows, out)              # a tar archive that is an OCI layout and `docker save`'s form at once
    save_layout(root, rows, path)      # an OCI layout as a directory

Blobs are copied as they are, so that every digest stays. Archives have no times and no owners: the same images give the
same bytes.

Spec: image-spec image-layout.md; Docker image specification v1.2, combined image JSON
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve

from containerlib.errors import AlreadyExists, StageError
from containerlib.images.archives.streams import Writable
from containerlib.images.archives.tar import END, header, member, write_to
from containerlib.images.content.stand_ins import named_in_layout, stand_in
from containerlib.images.content.store import ContentStore
from containerlib.images.content.trees import manifest_of, names_of, read_tree, top_of
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index, Manifest
from containerlib.spec.reference import DEFAULT_REGISTRY, Reference
from containerlib.store import ImageRow

__all__ = ["save", "save_layout"]

_LAYOUT = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
_CONTAINERD_NAME = "io.containerd.image.name"


def save(content: ContentStore, rows: Sequence[ImageRow], out: Writable) -> None:
    """Writes the archive of the images. Raises: StageError where a blob cannot be read or `out` not be written."""
    write_to(out, _archive(content, rows))


def save_layout(content: ContentStore, rows: Sequence[ImageRow], path: str) -> None:
    """Writes the OCI layout `path`, which does not exist yet or is empty; index.json comes last.

    Raises: AlreadyExists; StageError.
    """
    try:
        os.makedirs(path, exist_ok=True)
        if os.listdir(path):
            raise AlreadyExists(f"{path} is not empty: save to a directory that is not there yet")
        for directory in _algorithms(content, rows):
            os.makedirs(os.path.join(path, directory))
    except OSError as error:
        raise StageError("archive", error.errno or 0, str(error.filename or path)) from error
    for digest, _ in _blobs(content, rows):
        _write(os.path.join(path, _name(digest)), content.chunks(digest))
    for name, data in _documents(content, rows, docker=False):
        _write(os.path.join(path, name), (data,))


def _manifests(content: ContentStore, rows: Iterable[ImageRow]) -> Iterator[tuple[ImageRow, Manifest]]:
    for row in rows:
        yield row, Manifest.from_bytes(content.read(Digest.parse(row.manifest_digest)))


def _blobs(content: ContentStore, rows: Sequence[ImageRow]) -> list[tuple[Digest, int]]:
    """Each blob once, with its size, by digest."""
    found: dict[Digest, int] = {}
    tops = [top for row in rows for top in (manifest_of(row), *(top_of(row, name) for name in names_of(row)))]
    for top in dict.fromkeys(tops):
        tree = read_tree(
            top,
            lambda descriptor: content.read(descriptor.digest),
            leave=lambda blob: blob.is_foreign and not content.has(blob.digest),
        )
        found.update((digest, len(document.to_bytes())) for digest, document in tree.documents.items())
        found.update((digest, blob.size) for digest, blob in tree.blobs.items())
    return sorted(found.items())


def _stand_in(content: ContentStore, top: Descriptor) -> Index | None:
    return stand_in(top, lambda descriptor: content.read(descriptor.digest))


def _algorithms(content: ContentStore, rows: Sequence[ImageRow]) -> list[str]:
    return sorted({"blobs/sha256", *(os.path.dirname(_name(digest)) for digest, _ in _blobs(content, rows))})


def _documents(
    content: ContentStore, rows: Sequence[ImageRow], *, docker: bool
) -> Iterator[tuple[str, bytes]]:
    yield "oci-layout", _LAYOUT
    if docker:
        yield "manifest.json", _docker_manifest(content, rows)
    entries, indexes = _entries(content, rows)
    for index in indexes:
        yield _name(index.descriptor().digest), index.to_bytes()
    yield "index.json", Index(tuple(entries)).to_bytes()


def _entries(content: ContentStore, rows: Iterable[ImageRow]) -> tuple[list[Descriptor], list[Index]]:
    """Each manifest, or index that is here with all platforms, under each of its names, or once without.

    And what stands in for those that have Docker's types.
    """
    entries: list[Descriptor] = []
    indexes: list[Index] = []
    for row in rows:
        for reference in names_of(row):
            top = top_of(row, reference)
            names = {_CONTAINERD_NAME: reference} if reference else {}
            tag = Reference.parse(reference).tag if reference else ""
            index = _stand_in(content, top)
            if index is not None and index not in indexes:
                indexes.append(index)
            for entry in named_in_layout(top, index):
                named = entry.named(tag or "")
                entries.append(evolve(named, annotations={**dict(named.annotations), **names}))
    return entries, indexes


def _docker_manifest(content: ContentStore, rows: Sequence[ImageRow]) -> bytes:
    entries = [
        {
            "Config": _name(manifest.config.digest),
            "RepoTags": [_familiar(name) for name in row.references if Reference.parse(name).tag] or None,
            "Layers": [_name(layer.digest) for layer in manifest.layers],
        }
        for row, manifest in _manifests(content, rows)
    ]
    return json.dumps(entries, separators=(",", ":")).encode()


def _familiar(name: str) -> str:
    """As Docker lists it: `redis:7` for `docker.io/library/redis:7`."""
    return name.removeprefix(f"{DEFAULT_REGISTRY}/").removeprefix("library/")


def _name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _archive(content: ContentStore, rows: Sequence[ImageRow]) -> Iterator[bytes]:
    for directory in ("blobs", *_algorithms(content, rows)):
        info = tarfile.TarInfo(directory)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        yield header(info)
    for digest, size in _blobs(content, rows):
        yield from _member(_name(digest), size, content.chunks(digest))
    for name, data in _documents(content, rows, docker=True):
        yield from _member(name, len(data), (data,))
    yield END


def _member(name: str, size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size = size
    return member(info, chunks)


def _write(path: str, chunks: Iterable[bytes]) -> None:
    try:
        with open(path, "xb") as file:  # nobody may have put a link there meanwhile
            write_to(file, chunks)
            file.flush()
            os.fsync(file.fileno())
    except StageError:
        raise
    except OSError as error:
        raise StageError("archive", error.errno or 0, path) from error
