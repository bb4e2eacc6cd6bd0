"""Archives that come through a stream, or go into one: pipes, HTTP bodies, and what takes or gives little at a time."""

from __future__ import annotations

import errno
import gzip
import http.client
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

import containerlib as cl
from containerlib import aio
from containerlib.images.archives.streams import Source
from rig.growth import growth
from rig.images import Image, Layer, busybox_layer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN, CAP_CHOWN, CAP_MKNOD: makes containers, unpacks layers")

IMAGE = Image((busybox_layer(), Layer().file("etc/motd", "hello\n").finish()), {"Cmd": ["cat", "/etc/motd"]})
MIB = 1 << 20


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return IMAGE.write_docker_archive(tmp_path / "image.tar", tag="app:1")


def assert_nothing_is_left(engine: cl.Engine) -> None:
    assert engine.images.list() == []
    for place in ("content/ingest", "snapshots", "leases"):
        assert list(Path(engine.root, place).iterdir()) == []


class OnlyReads:
    """What is no io object: it gives little at a time, and then raises `end`, or has come to its end."""

    def __init__(self, data: bytes, end: Exception | None = None) -> None:
        self._data = io.BytesIO(data)
        self._end = end

    def read(self, size: int, /) -> bytes:
        piece = self._data.read(min(size, 10_007))
        if not piece and self._end is not None:
            raise self._end
        return piece


class Raw(io.RawIOBase):
    """Unbuffered: it takes and gives as much as it likes."""

    name = "raw"

    def __init__(self, data: bytes = b"") -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._data.readinto(memoryview(buffer)[:9973])

    def write(self, data: ReadableBuffer, /) -> int:
        return self._data.write(memoryview(data)[:9973])

    def getvalue(self) -> bytes:
        return self._data.getvalue()


# ---- load ----


@pytest.mark.parametrize("make", [io.BytesIO, Raw, OnlyReads])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_load_from_a_stream_is_the_image(
    engine: cl.Engine, archive: Path, make: Callable[[bytes], Source], pack: Callable[[bytes], bytes]
) -> None:
    (image,) = engine.images.load(make(pack(archive.read_bytes())))
    assert image.references == ("docker.io/library/app:1",)
    assert engine.container(image).run().text == "hello\n"
    assert list(Path(engine.root, "content/ingest").iterdir()) == []


def test_load_from_a_stream_begins_where_that_is_and_leaves_it_open(
    engine: cl.Engine, archive: Path, tmp_path: Path
) -> None:
    tmp_path.joinpath("both").write_bytes(b"header" + archive.read_bytes())
    with tmp_path.joinpath("both").open("rb") as file:
        file.read(6)
        (image,) = engine.images.load(file)
        assert not file.closed
    assert image.references == ("docker.io/library/app:1",)


def test_load_from_standard_input(engine: cl.Engine, archive: Path) -> None:
    program = f"import sys, containerlib as cl; cl.Engine({engine.root!r}).images.load(sys.stdin.buffer)"
    with subprocess.Popen(["cat", archive], stdout=subprocess.PIPE) as cat:
        subprocess.run([sys.executable, "-c", program], stdin=cat.stdout, check=True)
    assert [image.references for image in engine.images.list()] == [("docker.io/library/app:1",)]


def test_load_and_import_from_an_http_body(engine: cl.Engine, archive: Path) -> None:
    bodies = {"/image": archive.read_bytes(), "/files": gzip.compress(busybox_layer())}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (
                bodies[self.path][at : at + 70_000] for at in range(0, len(bodies[self.path]), 70_000)
            ):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
            connection.request("GET", "/image")
            (loaded,) = engine.images.load(connection.getresponse())
            connection.request("GET", "/files")
            imported = engine.images.import_(connection.getresponse(), cmd=("echo", "hi"))
            connection.close()
        finally:
            server.shutdown()
            thread.join()
    assert engine.container(loaded).run().text == "hello\n"
    assert engine.container(imported).run().text == "hi\n"


def test_load_from_a_stream_takes_no_memory_for_its_size(engine: cl.Engine, tmp_path: Path) -> None:
    image = Image((Layer().file("large", os.urandom(MIB) * 150).finish(),))
    archive = image.write_docker_archive(tmp_path / "large.tar", tag="large:1")
    modules = "import sys, containerlib as cl, containerlib.images.archives.loading"
    before = f"{modules}\nengine = cl.Engine({engine.root!r})"
    with archive.open("rb") as file:
        grown = growth(before, "engine.images.load(sys.stdin.buffer)", stdin=file)
    assert grown < 40 * MIB


def test_load_from_a_stream_says_how_much_has_come(engine: cl.Engine, archive: Path) -> None:
    steps: list[cl.Progress] = []
    engine.images.load(Raw(archive.read_bytes()), progress=steps.append)
    read = [step.current for step in steps if step.phase == "read"]
    assert read == sorted(read)
    assert read[-1] == archive.stat().st_size
    assert {"read", "download", "unpack", "done"} == {step.phase for step in steps}


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        (b"", cl.InvalidArgument, "what was read is not a whole tar archive"),
        (b"no archive" * 1000, cl.InvalidArgument, "what was read is not a whole tar archive"),
        (b"\x1f\x8b damaged", cl.InvalidArgument, "source: its gzip stream"),
        (gzip.compress(bytes(1100 * MIB), 9), cl.InvalidArgument, "unpack to more than"),
        (Layer().file("readme", "x").finish(), cl.InvalidArgument, "what was read is no image"),
        (b"\xfd7zXZ\x00" * 10, cl.Unsupported, "compressed with xz"),
    ],
    ids=["empty", "no archive", "damaged", "bomb", "no image", "xz"],
)
def test_load_of_a_bad_stream_is_refused_and_leaves_nothing(
    engine: cl.Engine, data: bytes, kind: type[cl.Error], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        engine.images.load(io.BytesIO(data))
    assert isinstance(caught.value, cl.Unsupported) or caught.value.field == "source"
    assert_nothing_is_left(engine)


def test_load_of_a_stream_that_was_cut_leaves_nothing(engine: cl.Engine, archive: Path) -> None:
    data = archive.read_bytes()
    for end in (1, 512, 1000, len(data) // 2, len(data) - 11_000):
        with pytest.raises((cl.InvalidArgument, cl.NotFound)):
            engine.images.load(OnlyReads(data[:end]))
        assert_nothing_is_left(engine)


@pytest.mark.parametrize("verb", ["load", "import_"])
def test_stream_that_breaks_says_what_broke_and_leaves_nothing(engine: cl.Engine, verb: str) -> None:
    """Errors of the system get their place; those of others are theirs."""
    for raised, expected in ((OSError(errno.EIO, "broken"), cl.StageError), (KeyError("theirs"), KeyError)):
        with pytest.raises(expected) as caught:
            getattr(engine.images, verb)(OnlyReads(busybox_layer(), raised))
        assert not isinstance(caught.value, cl.StageError) or caught.value.errno == errno.EIO
        assert_nothing_is_left(engine)


def test_load_of_a_stream_to_a_full_disk_leaves_nothing(small_disk: Path) -> None:
    with cl.Engine(small_disk / "root") as engine:
        with pytest.raises(cl.StageError, match="free some space") as caught:
            engine.images.load(OnlyReads(Layer().file("large", os.urandom(20 * MIB)).finish()))
        assert (caught.value.stage, caught.value.errno) == ("load", errno.ENOSPC)
        assert_nothing_is_left(engine)


class Text:
    """As a temporary file that was opened for text."""

    def read(self, size: int) -> str:
        return "text"[:size]


@pytest.mark.parametrize("verb", ["load", "import_"])
def test_what_gives_no_bytes_is_refused(engine: cl.Engine, verb: str, tmp_path: Path) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    with tmp_path.joinpath("written").open("wb") as writing:
        for source in (io.StringIO("text"), Text(), closed, writing, b"bytes", 5, None):
            with pytest.raises(cl.InvalidArgument) as caught:
                getattr(engine.images, verb)(source)
            assert caught.value.field == "source"
    assert_nothing_is_left(engine)


@pytest.mark.parametrize("verb", ["load", "import_"])
def test_pipe_that_does_not_wait_is_refused(engine: cl.Engine, verb: str) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        with (
            open(reading, "rb", buffering=0) as file,
            pytest.raises(cl.InvalidArgument, match="set_blocking"),
        ):
            getattr(engine.images, verb)(file)
    finally:
        os.close(writing)
    assert_nothing_is_left(engine)


# ---- save ----


@pytest.fixture
def loaded(engine: cl.Engine, archive: Path) -> cl.Image:
    (image,) = engine.images.load(archive)
    return image


def test_save_into_what_takes_little_at_a_time_loses_nothing(loaded: cl.Image) -> None:
    whole, trickle = io.BytesIO(), Raw()
    loaded.save(whole)
    loaded.save(trickle)
    assert trickle.getvalue() == whole.getvalue()


def test_save_into_what_says_nothing_of_what_it_took(loaded: cl.Image) -> None:
    class Silent:
        def __init__(self) -> None:
            self.data = bytearray()

        def write(self, data: bytes, /) -> None:
            self.data += data

    whole, silent = io.BytesIO(), Silent()
    loaded.save(whole)
    loaded.save(silent)
    assert silent.data == whole.getvalue()


def test_save_into_a_pipe_that_is_full_and_does_not_wait_is_refused(loaded: cl.Image) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        with open(writing, "wb", buffering=0) as file, pytest.raises(cl.StageError, match="set_blocking"):
            loaded.save(file)
    finally:
        os.close(reading)


def test_save_through_a_pipe_is_loaded_at_its_other_end(loaded: cl.Image, tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def save() -> None:
        with open(writing, "wb", buffering=0) as file:
            loaded.save(file)

    thread = threading.Thread(target=save)
    thread.start()
    with cl.Engine(tmp_path / "other") as other:
        with open(reading, "rb") as file:
            (there,) = other.images.load(file)
        thread.join()
        assert (there.id, there.digest, there.references) == (loaded.id, loaded.digest, loaded.references)


# ---- on event loops ----


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.mark.anyio
async def test_load_and_import_from_streams_on_an_event_loop(engine: cl.Engine, archive: Path) -> None:
    async with aio.Engine(engine.root) as loop:
        (loaded,) = await loop.images.load(Raw(archive.read_bytes()))
        assert (await loop.container(loaded).run()).text == "hello\n"
        imported = await loop.images.import_(Raw(busybox_layer()), cmd=("echo", "hi"))
        assert (await loop.container(imported).run()).text == "hi\n"
        target = Raw()
        await loaded.save(target)
        assert len(target.getvalue()) > len(busybox_layer())


class Endless:
    """Gives a piece of an archive, says so, and goes on for as long as somebody reads."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self._head = Layer().file("endless", b"").finish()[:512]

    def read(self, size: int, /) -> bytes:
        self.begun.set()
        head, self._head = self._head, b""
        return head or bytes(min(size, 100_000))


@pytest.mark.anyio
@pytest.mark.parametrize("verb", ["load", "import_"])
async def test_cancelled_reading_of_a_stream_ends_and_leaves_nothing(engine: cl.Engine, verb: str) -> None:
    source = Endless()
    async with aio.Engine(engine.root) as loop:
        async with anyio.create_task_group() as group:
            group.start_soon(getattr(loop.images, verb), source)
            await anyio.to_thread.run_sync(source.begun.wait)
            group.cancel_scope.cancel()
    assert_nothing_is_left(engine)
