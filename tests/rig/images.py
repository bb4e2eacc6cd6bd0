"""Images made with no network and no tool, out of the programs of this machine.

    busybox = busybox_image()                    # Image: layers and a config, in memory
    busybox.write_layout(tmp_path / "busybox")   # an OCI image layout
    busybox.write_docker_archive(tmp_path / "busybox.tar", tag="busybox:latest")

Written apart from the library on purpose: a mistake that both shared would not be seen.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MODIFIED = 1_700_000_000
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"


class Layer:
    """A tar archive under construction: paths are relative to the image's root."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)

    def directory(self, path: str, mode: int = 0o755, *, uid: int = 0, gid: int = 0) -> Layer:
        return self._add(path, tarfile.DIRTYPE, mode, uid=uid, gid=gid)

    def file(self, path: str, data: bytes | str, mode: int = 0o644, *, uid: int = 0, gid: int = 0) -> Layer:
        content = data.encode() if isinstance(data, str) else data
        return self._add(path, tarfile.REGTYPE, mode, content=content, uid=uid, gid=gid)

    def symlink(self, path: str, target: str) -> Layer:
        return self._add(path, tarfile.SYMTYPE, 0o777, link=target)

    def hardlink(self, path: str, target: str) -> Layer:
        return self._add(path, tarfile.LNKTYPE, 0o755, link=target)

    def copy(self, source: str, *, to: str | None = None) -> Layer:
        """The host's file `source`, symlinks followed, at the same path unless `to` says another."""
        path = Path(source)
        return self.file(to or source.lstrip("/"), path.read_bytes(), path.stat().st_mode & 0o7777)

    def whiteout(self, path: str) -> Layer:
        """Hides `path` of the layers below; `whiteout("a/.wh..opq")` hides all of `a`."""
        parent, _, name = path.rpartition("/")
        marker = name if name.startswith(".wh.") else f".wh.{name}"
        return self.file(f"{parent}/{marker}" if parent else marker, b"")

    def finish(self) -> bytes:
        """The archive; nothing can be added after this."""
        self._tar.close()
        return self._buffer.getvalue()

    def _add(
        self,
        path: str,
        kind: bytes,
        mode: int,
        *,
        link: str = "",
        content: bytes = b"",
        uid: int = 0,
        gid: int = 0,
    ) -> Layer:
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.linkname, info.mtime = kind, mode, link, MODIFIED
        info.uid, info.gid, info.size = uid, gid, len(content)
        self._tar.addfile(info, io.BytesIO(content))
        return self


@dataclass(frozen=True)
class Blob:
    media_type: str
    data: bytes
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        return digest_of(self.data, self.algorithm)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


@dataclass(frozen=True)
class Image:
    """Uncompressed layers, bottom first, and the `config` member of the image's configuration."""

    layers: tuple[bytes, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    compression_level: int = 1
    machine: str = ""
    """The architecture, if it is not this machine's."""
    algorithm: str = "sha256"
    """Of every digest."""
    compression: str = "gzip"
    """Or "zstd"."""

    @property
    def configuration(self) -> bytes:
        diff_ids = [digest_of(layer, self.algorithm) for layer in self.layers]
        return encode(
            {
                "architecture": self.machine or architecture(),
                "os": "linux",
                "created": "2024-01-01T00:00:00Z",
                "config": dict(self.config),
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [
                    {"created": "2024-01-01T00:00:00Z", "created_by": f"layer {i}"}
                    for i in range(len(diff_ids))
                ],
            }
        )

    def blobs(self) -> tuple[Blob, list[Blob]]:
        """The manifest, and what it names: the configuration, then the layers."""
        config = Blob(f"{OCI}.config.v1+json", self.configuration, self.algorithm)
        packed = [self._compress(layer) for layer in self.layers]
        layers = [Blob(f"{OCI}.layer.v1.tar+{self.compression}", layer, self.algorithm) for layer in packed]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": config.descriptor,
            "layers": [layer.descriptor for layer in layers],
        }
        return Blob(f"{OCI}.manifest.v1+json", encode(manifest), self.algorithm), [config, *layers]

    def _compress(self, layer: bytes) -> bytes:
        if self.compression == "gzip":
            return gzip.compress(layer, self.compression_level, mtime=0)
        import zstandard

        return zstandard.compress(layer, self.compression_level)

    def write_layout(self, path: Path, *, tag: str = "latest") -> Path:
        """An OCI image layout with this one image, named `tag`."""
        manifest, rest = self.blobs()
        platform_ = {"architecture": self.machine or architecture(), "os": "linux"}
        return write_layout(path, {**manifest.descriptor, "platform": platform_}, (manifest, *rest), tag)

    def write_docker_archive(self, path: Path, *, tag: str) -> Path:
        """What `docker save` writes."""
        config = self.configuration
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        members = [f"{hashlib.sha256(layer).hexdigest()}/layer.tar" for layer in self.layers]
        manifest = [{"Config": name, "RepoTags": [tag], "Layers": members}]
        archive = Layer().file("manifest.json", encode(manifest)).file(name, config)
        for member, layer in zip(members, self.layers, strict=True):
            archive.file(member, layer)
        path.write_bytes(archive.finish())
        return path

    def unpack(self, path: Path) -> Path:
        """A root file system of the layers, for peers that take a directory. Whiteouts are not looked at."""
        path.mkdir(parents=True, exist_ok=True)
        for layer in self.layers:
            with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
                tar.extractall(path, filter="fully_trusted")
        return path


@dataclass(frozen=True)
class ManyPlatforms:
    """An index of images, one for each machine."""

    images: tuple[Image, ...]

    def blobs(self) -> tuple[Blob, list[Blob]]:
        """The index, and what is below it: each manifest after its configuration and layers."""
        entries, below = [], []
        for image in self.images:
            manifest, rest = image.blobs()
            platform_ = {"architecture": image.machine or architecture(), "os": "linux"}
            entries.append({**manifest.descriptor, "platform": platform_})
            below += [*rest, manifest]
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}
        return Blob(f"{OCI}.index.v1+json", encode(index)), below

    def write_layout(self, path: Path, *, tag: str = "latest") -> Path:
        """An OCI image layout with this one index, named `tag`."""
        top, below = self.blobs()
        return write_layout(path, top.descriptor, (top, *below), tag)


def write_layout(path: Path, descriptor: Mapping[str, Any], blobs: Iterable[Blob], tag: str) -> Path:
    """An OCI image layout of `blobs`, in which `tag` names one of them."""
    for blob in blobs:
        file = path.joinpath("blobs", *blob.digest.split(":"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(blob.data)
    named = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}}
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [named]}
    path.joinpath("index.json").write_bytes(encode(index))
    path.joinpath("oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))
    return path


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def find_busybox() -> str | None:
    """The path of a statically linked busybox on this machine."""
    path = shutil.which("busybox")
    if path is None:
        return None
    elf = Path(path).read_bytes()[:4096]
    return path if b"ld-linux" not in elf and b"ld-musl" not in elf else None


@cache
def busybox_layer() -> bytes:
    """/bin/busybox and a hard link for each applet, and the few files that programs look for."""
    busybox = find_busybox()
    if busybox is None:
        raise FileNotFoundError("no static busybox: install busybox-static")
    layer = Layer()
    for name in ("bin", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var", "dev"):
        layer.directory(name)
    layer.directory("tmp", 0o1777).symlink("sbin", "bin")
    layer.file("etc/passwd", PASSWD).file("etc/group", GROUP)
    layer.copy(busybox, to="bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in sorted(set(applets) - {"busybox"}):
        layer.hardlink(f"bin/{applet}", "bin/busybox")
    return layer.finish()


@cache
def busybox_image() -> Image:
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return Image((busybox_layer(),), {"Env": [path], "Cmd": ["sh"]})


def libraries(program: str) -> list[str]:
    """The shared libraries and the loader of `program`, as ldd finds them."""
    output = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"(?:=>\s+|^\s+)(/\S+)", output, re.MULTILINE)))


@cache
def redis_image() -> Image:
    """busybox below, redis-server and redis-cli with their libraries above; runs as redis (999:999)."""
    layer = Layer()
    programs = [path for name in ("redis-server", "redis-cli") if (path := shutil.which(name))]
    if len(programs) != 2:
        raise FileNotFoundError("no redis-server and redis-cli: install redis-server")
    for path in ("lib", "lib64", "usr/lib"):
        layer.directory(path)
    for program in programs:
        layer.copy(program, to=f"usr/bin/{Path(program).name}")
    for library in sorted({library for program in programs for library in libraries(program)}):
        layer.copy(library)
    layer.file("etc/passwd", PASSWD + "redis:x:999:999:redis:/data:/bin/sh\n")
    layer.file("etc/group", GROUP + "redis:x:999:\n")
    layer.directory("data", 0o750, uid=999, gid=999)
    config = {
        **busybox_image().config,
        "Entrypoint": ["redis-server"],
        "Cmd": ["--bind", "127.0.0.1"],
        "ExposedPorts": {"6379/tcp": {}},
        "User": "redis",
        "WorkingDir": "/data",
        "StopSignal": "SIGTERM",
    }
    return Image((busybox_layer(), layer.finish()), config)
