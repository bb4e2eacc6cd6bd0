"""What is in a volume as a tar stream, and back."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def filled(engine: cl.Engine, name: str = "v") -> cl.Volume:
    volume = engine.volume(name).create()
    top = volume.path
    top.chmod(0o2750)
    os.chown(top, 7, 8)
    (top / "deep").mkdir(mode=0o700)
    (top / "deep" / "file").write_text("text")
    os.chown(top / "deep" / "file", 5, 6)
    (top / "deep" / "file").chmod(0o4711)
    os.utime(top / "deep" / "file", ns=(1, 1_234_567_890_123_456_789))
    os.link(top / "deep" / "file", top / "twin")
    (top / "link").symlink_to("/etc/passwd")
    os.setxattr(top / "twin", "user.color", b"red")
    os.mkfifo(top / "fifo")
    with (top / "holes").open("wb") as file:
        file.truncate(1 << 20)
    return volume


def facts(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in (top, *sorted(top.rglob("*"))):
        status = path.lstat()
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        link = str(path.readlink()) if path.is_symlink() else ""
        times = status.st_mtime_ns if path.is_file() else 0
        more = tuple(os.listxattr(path, follow_symlinks=False))
        found[str(path.relative_to(top))] = (
            oct(status.st_mode), status.st_uid, status.st_gid, status.st_nlink, times, text, link, more
        )  # fmt: skip
    return found


def test_restored_volume_is_what_it_was(engine: cl.Engine, tmp_path: Path) -> None:
    volume = filled(engine)
    before = facts(volume.path)
    volume.backup(tmp_path / "backup.tar")
    other = engine.volume("other").create()
    (other.path / "junk").touch()
    other.restore(tmp_path / "backup.tar")
    assert facts(other.path) == before
    assert [path.name for path in Path(engine.root, "volumes").iterdir() if path.name[0] == "."] == [".lock"]


def test_tar_reads_and_writes_what_volumes_do(engine: cl.Engine, tmp_path: Path) -> None:
    volume = filled(engine)
    volume.backup(tmp_path / "backup.tar")
    listed = subprocess.run(
        ["tar", "-tf", str(tmp_path / "backup.tar")], check=True, capture_output=True, text=True
    )
    assert {"deep/file", "twin", "link", "fifo", "holes"} <= {*listed.stdout.split()}
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a").write_text("a")
    subprocess.run(["tar", "-czf", str(tmp_path / "new.tgz"), "-C", str(tmp_path / "new"), "."], check=True)
    volume.restore(tmp_path / "new.tgz")
    assert [path.name for path in volume.path.iterdir()] == ["a"]


def test_volume_goes_from_one_root_to_another_through_a_pipe(engine: cl.Engine, tmp_path: Path) -> None:
    volume = filled(engine)
    reading, writing = os.pipe()

    def send() -> None:
        with open(writing, "wb") as pipe:
            volume.backup(pipe)

    with cl.Engine(root=tmp_path / "other") as other, open(reading, "rb") as pipe:
        sender = threading.Thread(target=send)
        sender.start()
        there = other.volume("v").create()
        there.restore(pipe)
        sender.join()
        assert facts(there.path) == facts(volume.path)


@pytest.mark.parametrize("cut", [0, 700, 2000])
def test_archive_that_is_cut_off_changes_nothing(engine: cl.Engine, cut: int) -> None:
    volume = filled(engine)
    stream = io.BytesIO()
    volume.backup(stream)
    before = facts(volume.path)
    with pytest.raises(cl.InvalidArgument) as caught:
        volume.restore(io.BytesIO(stream.getvalue()[:cut]))
    assert caught.value.field == "source"
    assert facts(volume.path) == before


def test_archive_that_leads_outside_stays_inside(engine: cl.Engine, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        out = tarfile.TarInfo("out")
        out.type, out.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(out)
        for name in ("out/file", "../../file", "/file"):
            entry = tarfile.TarInfo(name)
            tar.addfile(entry)
    volume = engine.volume("v").create()
    try:
        volume.restore(io.BytesIO(gzip.compress(archive.getvalue())))
    except cl.InvalidArgument:
        assert list(volume.path.iterdir()) == []
    assert not (tmp_path / "file").exists()
    assert not Path(engine.root, "file").exists()
    assert not Path(engine.root, "volumes", "file").exists()


def test_running_container_keeps_its_volume(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    volume = filled(box.engine)
    volume.backup(tmp_path / "backup.tar")
    container = box.name("web").mount(volume, at="/x").start("sleep", "100", detach=True)
    with pytest.raises(cl.Conflict, match="web"):
        volume.restore(tmp_path / "backup.tar")
    container.stop(timeout=0.0)
    (volume.path / "deep" / "file").write_text("changed")
    volume.restore(tmp_path / "backup.tar")
    container.start()
    assert container.exec("cat", "/x/deep/file").text == "text"
    container.remove(force=True)


def test_volume_that_is_a_mount_is_backed_up_and_restored(engine: cl.Engine, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "old").write_text("old")
    volume = engine.volume("v").option(type="none", device=str(there), o="bind").create()
    volume.backup(tmp_path / "backup.tar")
    (there / "old").write_text("newer")
    (there / "more").touch()
    volume.restore(tmp_path / "backup.tar")
    assert [path.name for path in there.iterdir()] == ["old"]
    assert (there / "old").read_text() == "old"
    assert f"{engine.root}/volumes" not in Path("/proc/self/mountinfo").read_text()


def test_name_that_stands_for_a_deletion_in_archives_is_refused(engine: cl.Engine, tmp_path: Path) -> None:
    volume = engine.volume("v").create()
    (volume.path / ".wh.file").touch()
    with pytest.raises(cl.InvalidArgument, match="deletion"):
        volume.backup(tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()


def test_archive_or_volume_that_is_not_there_is_told(engine: cl.Engine, tmp_path: Path) -> None:
    volume = engine.volume("v").create()
    with pytest.raises(cl.NotFound, match=r"no archive .*none\.tar"):
        volume.restore(tmp_path / "none.tar")
    with pytest.raises(cl.InvalidArgument):
        volume.restore(io.StringIO("text"))  # type: ignore[arg-type]
    volume.remove()
    with pytest.raises(cl.NotFound):
        volume.backup(tmp_path / "backup.tar")
    with pytest.raises(cl.NotFound):
        volume.restore(io.BytesIO(b""))
    assert not (tmp_path / "backup.tar").exists()


RESTORE = """
import sys
import containerlib as cl
with cl.Engine(root=sys.argv[1]) as engine:
    engine.volumes.get("v").restore(sys.argv[2])
"""


def test_restored_files_are_on_disk_before_the_old_ones_go(engine: cl.Engine, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: install strace")
    volume = filled(engine)
    volume.backup(tmp_path / "backup.tar")
    trace = tmp_path / "trace"
    watch = ["strace", "-f", "-y", "-e", "trace=/^(syncfs|rename.*)$", "-o", str(trace)]
    command = [sys.executable, "-P", "-c", RESTORE, engine.root, str(tmp_path / "backup.tar")]
    subprocess.run([*watch, *command], check=True)
    lines = [line for line in trace.read_text().splitlines() if "/volumes" in line]
    calls = [
        "syncfs" if " syncfs(" in line else "name" if ".replacing-v" in line else "move" for line in lines
    ]
    assert calls[:2] == ["syncfs", "name"]
    assert set(calls[2:]) == {"move", "name"}
