"""Archives and layouts that lead out of themselves, or say more than a machine has room for."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containerlib.errors import InvalidArgument, NotFound
from containerlib.images import ImageStore
from containerlib.images.archives.files import ArchiveFiles, open_files
from containerlib.images.archives.loading import load
from containerlib.images.root import ImageRoot
from containerlib.spec.descriptor import MediaType
from containerlib.spec.platform import Wanted
from containerlib.store import Store
from rig.images import Image, Layer, encode

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

SECRET = Layer().file("secret", "of the host").finish()
BLOCK = 512


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImageStore]:
    store = Store(tmp_path / "state")
    yield ImageStore(tmp_path / "state", store)
    store.close()


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def member(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(data), kind) + padded(data)


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n"
    size = next(size for size in range(4, 2000) if len(str(size)) + len(rest) == size)
    return f"{size}{rest}".encode()


# ---- paths ----


@pytest.mark.parametrize(
    "lead",
    [
        lambda _, outside: f"../{outside.name}",
        lambda _, outside: str(outside),
        lambda inside, outside: (inside / "link").symlink_to(outside) or "link",
        lambda inside, outside: (inside / "up").symlink_to("..") or f"up/{outside.name}",
    ],
    ids=["up", "absolute", "link", "link to a directory"],
)
def test_directory_that_names_a_file_outside_of_it_is_not_loaded(
    lead: Callable[[Path, Path], str], images: ImageStore, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.tar"
    inside.mkdir()
    outside.write_bytes(SECRET)
    (inside / "config.json").write_bytes(Image((SECRET,)).configuration)
    entry = {"Config": "config.json", "RepoTags": ["evil:1"], "Layers": [lead(inside, outside)]}
    (inside / "manifest.json").write_bytes(encode([entry]))
    with pytest.raises(NotFound, match="leads out of it"):
        images.load(inside)
    assert images.list() == []


def test_directory_with_links_within_it_is_loaded(images: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/layer.tar").write_bytes(SECRET)
    (tmp_path / "a/b/layer.tar").symlink_to("../layer.tar")
    (tmp_path / "a/config.json").write_bytes(Image((SECRET,)).configuration)
    entry = {"Config": "config.json", "RepoTags": ["good:1"], "Layers": ["b/layer.tar"]}
    (tmp_path / "a/manifest.json").write_bytes(encode([entry]))
    (loaded,) = images.load(tmp_path / "a")
    assert loaded.references == ("docker.io/library/good:1",)


@pytest.mark.parametrize("place", ["pipe", "/dev/null", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_not_loaded(place: str, images: ImageStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgument) as caught:
        images.load(os.path.join(tmp_path, place))
    assert caught.value.field == "source"


# ---- headers ----


@pytest.mark.parametrize(
    "head",
    [
        header("name", 1 << 60, tarfile.GNUTYPE_LONGNAME),
        header("name", 1 << 60, tarfile.XHDTYPE),
        header("name", 1 << 60, tarfile.XGLTYPE),
        header("name", 1 << 30, tarfile.GNUTYPE_LONGLINK),
        header("name", 1 << 30, tarfile.XHDTYPE),
        header("name", 1 << 60, tarfile.GNUTYPE_SPARSE),
        header("name", -BLOCK),
        header("name", 1 << 60),
        member("x", record("size", "9" * 30), tarfile.XHDTYPE) + header("name", 0),
        member("x", record("size", "-512"), tarfile.XHDTYPE) + header("name", 0),
        member("x", record("GNU.sparse.major", "1"), tarfile.XHDTYPE) + header("name", 0),
        member("x", b"99999999999999999 a=b\n", tarfile.XHDTYPE) + header("name", 0),
        member("x", b"0 a=b\n", tarfile.XHDTYPE) + header("name", 0),
    ],
)
def test_archive_whose_headers_lie_is_refused_at_once(
    head: bytes, images: ImageStore, tmp_path: Path
) -> None:
    """CVE-2023-25153: what a header says to be long is read whole."""
    path = tmp_path / "evil.tar"
    path.write_bytes(head)
    os.truncate(path, 2 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgument, match="not a whole tar archive"):
            images.load(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_compressed_archive_that_is_a_bomb_is_refused(images: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(1100):
            file.write(bytes(1 << 20))
    with pytest.raises(InvalidArgument, match="unpack to more than"):
        images.load(path)
    assert list((tmp_path / "state/content/ingest").iterdir()) == []


@pytest.mark.parametrize(
    "link", [member("x", b"a\0", tarfile.GNUTYPE_LONGNAME), member("x", record("a", "b"), tarfile.XHDTYPE)]
)
def test_archive_with_a_chain_of_headers_is_refused(link: bytes, images: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    path.write_bytes(link * 3000)
    with pytest.raises(InvalidArgument):
        images.load(path)


def test_archive_of_more_members_than_an_image_has_is_refused(images: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    path.write_bytes(header("a", 0) * 100_001)
    with pytest.raises(InvalidArgument, match="more than 100000 members"):
        images.load(path)


def test_archive_whose_global_header_is_large_takes_no_memory_for_each_member(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    everywhere = b"".join(record(f"k{number:05}", "v") for number in range(20_000))
    one = member("x", record("a", "b"), tarfile.XHDTYPE) + header("member", 0)
    path.write_bytes(member("g", everywhere, tarfile.XGLTYPE) + one * 200)
    tracemalloc.start()
    try:
        open_files(str(path), str(tmp_path / "scratch")).close()
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


# ---- documents ----


class Counting(ArchiveFiles):
    """An archive that remembers what was read."""

    def __init__(self, fd: int, path: str) -> None:
        super().__init__(fd, path)
        self.read: list[str] = []

    def chunks(self, name: str) -> Iterator[bytes]:
        self.read.append(name)
        return super().chunks(name)


def test_archive_that_names_one_layer_many_times_is_read_once_for_it(tmp_path: Path) -> None:
    names = [f"{'./' * number}layer" for number in range(10)]
    entries = [{"Config": "config", "RepoTags": [f"a:{name.count('.')}"], "Layers": [name]} for name in names]
    path = tmp_path / "evil.tar"
    config = Image((SECRET,)).configuration
    path.write_bytes(
        member("manifest.json", encode(entries)) + member("config", config) + member("layer", SECRET)
    )
    store = Store(tmp_path / "state")
    root = ImageRoot.open(str(tmp_path / "state"), store.images, "auto")
    files = Counting(os.open(path, os.O_RDONLY), str(path))
    load(root, files, name=str(path), wanted=Wanted.of(None), report=lambda _: None)
    files.close()
    store.close()
    assert sum("layer" in name for name in files.read) == 2, "once for its digest, and once to unpack it"


def test_layout_that_names_large_manifests_time_and_again_is_refused(
    images: ImageStore, tmp_path: Path
) -> None:
    config = {"mediaType": MediaType.CONFIG, "digest": f"sha256:{'0' * 64}", "size": 1}
    data = json.dumps(
        {"schemaVersion": 2, "config": config, "layers": [], "annotations": {"a": "b" * (3 << 20)}}
    ).encode()
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "l/blobs/sha256").mkdir(parents=True)
    (tmp_path / "l/blobs/sha256" / digest).write_bytes(data)
    entry = {"mediaType": MediaType.MANIFEST, "digest": f"sha256:{digest}", "size": len(data)}
    (tmp_path / "l/index.json").write_bytes(encode({"schemaVersion": 2, "manifests": [entry] * 100}))
    with pytest.raises(InvalidArgument, match="no honest document"):
        images.load(tmp_path / "l")
