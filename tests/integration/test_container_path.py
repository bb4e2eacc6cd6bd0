"""Files of containers, at work and stopped: pathlib's words, and `docker cp`."""

from __future__ import annotations

import os
import pickle
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

import containerlib as cl
from rig.snapshotters import EACH

pytestmark = [*EACH, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]


@pytest.fixture(params=["running", "created", "stopped"])
def container(request: pytest.FixtureRequest, box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    """One in each state, with a volume at /data."""
    recipe = box.mount(box.engine.volume("data"), at="/data")
    if request.param == "created":
        made = recipe.create("sleep", "1000")
    else:
        made = recipe.start("sh", "-c", "mkdir /srv && exec sleep 1000", detach=True)
        made.wait_for(exec=("test", "-d", "/srv"))
        if request.param == "stopped":
            made.stop(timeout=0)
    made.path("/srv").mkdir(exist_ok=True)
    yield made
    made.remove(force=True)


def outside(tmp_path: Path) -> Path:
    """A file of the host that no container may reach."""
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    return secret


# ---- pathlib's words ----


def test_path_write_then_read_is_the_same_in_every_state(container: cl.Container) -> None:
    path = container.path("/srv") / "a.txt"
    assert path.write_text("hällo") == 5
    assert (path.read_text(), path.read_bytes(), path.name, path.suffix) == (
        "hällo",
        "hällo".encode(),
        "a.txt",
        ".txt",
    )
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_size) == (0o644, 0, 6)
    assert path.parent == container.path("/srv")
    path.write_bytes(b"x")
    assert path.read_bytes() == b"x", "and nothing of what was longer"


def test_path_of_image_and_volume_are_seen(container: cl.Container) -> None:
    assert container.path("/bin/busybox").is_file()
    container.path("/data/kept").write_bytes(b"1")
    volume = container.engine.volumes.get("data").path
    assert volume.joinpath("kept").read_bytes() == b"1"
    assert [each.name for each in container.path("/data").iterdir()] == ["kept"]


def test_path_directories_are_made_listed_and_removed(container: cl.Container) -> None:
    deep = container.path("/srv/one/two")
    with pytest.raises(cl.NotFound, match=r"has no /srv/one$"):
        deep.mkdir()
    with pytest.raises(cl.NotFound, match=r"has no /srv/one$"):
        (deep.parent / "file").write_text("text")
    with pytest.raises(cl.NotFound, match=r"has no /srv/file$"):
        container.path("/srv/file").read_text()
    deep.mkdir(0o700, parents=True)
    assert stat.S_IMODE(deep.stat().st_mode) == 0o700
    deep.mkdir(exist_ok=True)
    with pytest.raises(cl.AlreadyExists):
        deep.mkdir()
    with pytest.raises(cl.Conflict, match="files in it"):
        deep.parent.rmdir()
    deep.rmdir()
    assert not deep.exists()
    assert list(deep.parent.iterdir()) == []


def test_path_rename_and_unlink(container: cl.Container) -> None:
    container.path("/srv/a").write_bytes(b"x")
    moved = container.path("/srv/a").rename("/srv/b")
    assert moved.read_bytes() == b"x"
    moved.unlink()
    moved.unlink(missing_ok=True)
    with pytest.raises(cl.NotFound):
        moved.unlink()


def test_path_open_streams_and_appends(container: cl.Container) -> None:
    path = container.path("/srv/log")
    with path.open("wb") as file:
        file.write(b"one\n")
    with path.open("ab") as file:
        file.write(b"two\n")
    with path.open("rb") as file:
        assert file.readlines() == [b"one\n", b"two\n"]
    with pytest.raises(cl.AlreadyExists):
        path.open("xb")
    with pytest.raises(cl.InvalidArgument, match="mode"):
        path.open("r+")  # type: ignore[arg-type]


def test_path_of_removed_container_is_not_found(box: cl.ContainerRecipe) -> None:
    container = box.create("true")
    path = container.path("/etc/passwd")
    container.remove()
    with pytest.raises(cl.NotFound):
        path.read_bytes()


def test_path_pickles(container: cl.Container) -> None:
    path = container.path("/etc/passwd")
    assert pickle.loads(pickle.dumps(path)).read_bytes() == path.read_bytes()  # noqa: S301 - our own


def test_path_of_host_image_is_gone_with_its_container(host: cl.ContainerRecipe) -> None:
    container = host.start("sleep", "1000", detach=True)
    try:
        container.path("/tmp/mark").write_bytes(b"1")
        assert container.exec("cat", "/tmp/mark").text == "1"
        assert not Path("/tmp/mark").exists()
        container.stop(timeout=0)
        with pytest.raises(cl.Unsupported, match="in memory"):
            container.path("/tmp/mark").read_bytes()
    finally:
        container.remove(force=True)


def test_path_stopped_container_runs_again_on_what_was_written(box: cl.ContainerRecipe) -> None:
    container = box.start("sh", "-c", "test -e /go || exit 3; cat /go", detach=True)
    try:
        assert container.wait().exit_code == 3
        container.path("/go").write_text("went\n")
        container.start()
        assert container.wait().exit_code == 0
        assert [record.text for record in container.logs()][-1] == "went"
    finally:
        container.remove(force=True)


def test_path_in_read_only_container_is_a_conflict(box: cl.ContainerRecipe) -> None:
    with box.read_only().start("sleep", "1000") as container:
        with pytest.raises(cl.Conflict, match="read-only"):
            container.path("/x").write_bytes(b"")


def test_path_open_files_of_one_stopped_container_are_several_and_keep_it_from_a_start(
    box: cl.ContainerRecipe,
) -> None:
    container = box.start("true", detach=True)
    try:
        container.wait()
        with container.path("/etc/passwd").open() as source, container.path("/copy").open("wb") as target:
            target.write(source.read())
            with pytest.raises(cl.Conflict, match="open"):
                container.start()
        assert container.path("/copy").read_bytes() == container.path("/etc/passwd").read_bytes()
        container.start()
    finally:
        container.remove(force=True)


def test_path_of_a_process_that_is_killed_with_an_open_file_holds_nothing(
    box: cl.ContainerRecipe, script: Callable[[str], Popen[str]]
) -> None:
    container = box.name("one").start("true", detach=True)
    container.wait()
    code = """
        file = engine.containers.get("one").path("/half").open("wb")
        file.write(b"x" * 100_000)
        print("open", flush=True)
        input()
    """
    with script(code) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        writer.kill()
    container.start()
    assert container.wait().exit_code == 0
    assert container.path("/half").is_file()
    container.remove()


def test_path_open_file_of_a_running_container_keeps_it_from_nothing(box: cl.ContainerRecipe) -> None:
    container = box.start("sleep", "1000", detach=True)
    with container.path("/etc/passwd").open() as file:
        container.remove(force=True)
        assert file.read().startswith(b"root")


def test_path_with_control_characters_is_escaped_in_messages(container: cl.Container) -> None:
    path = container.path("/srv/\x1b[31mred")
    with pytest.raises(cl.NotFound) as caught:
        path.read_bytes()
    assert "\x1b" not in str(caught.value) + repr(path)


# ---- links and special files ----


def test_path_links_lead_nowhere_outside(container: cl.Container, tmp_path: Path) -> None:
    secret = outside(tmp_path)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/absolute").symlink_to(secret)
    (tmp_path / "links/up").symlink_to("../" * 30 + str(secret).lstrip("/"))
    (tmp_path / "links/directory").symlink_to(tmp_path)
    (tmp_path / "links/magic").symlink_to("/proc/self/root" + str(secret))
    container.path("/srv").copy_in(tmp_path / "links")
    for name in ("absolute", "up", "directory/secret", "magic"):
        path = container.path("/srv/links") / name
        with pytest.raises((cl.NotFound, cl.Conflict)):
            path.read_bytes()
        with pytest.raises((cl.NotFound, cl.Conflict, cl.AlreadyExists)):
            path.write_bytes(b"overwritten")
    assert secret.read_text() == "the host's"


def test_path_fifo_and_device_are_refused_at_once(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "mkfifo /fifo; mknod /null c 1 3; exec sleep 1000") as container:
        container.wait_for(exec=("test", "-e", "/null"))
        for name in ("/fifo", "/null"):
            with pytest.raises(cl.Conflict, match="FIFO"):
                container.path(name).read_bytes()
            with pytest.raises(cl.Conflict, match="FIFO"):
                container.path(name).write_bytes(b"x")


# ---- docker cp ----


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with something of each kind."""
    top = tmp_path / "tree"
    top.joinpath("sub").mkdir(parents=True)
    top.joinpath("file").write_text("text")
    os.link(top / "file", top / "sub/hard")
    top.joinpath("link").symlink_to("file")
    top.joinpath("sub/run").write_text("#!/bin/sh\n")
    top.joinpath("sub/run").chmod(0o4755)
    os.mkfifo(top / "fifo")
    with top.joinpath("sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
    os.setxattr(top / "file", "user.mark", b"1")
    os.chown(top / "file", 1234, 1235)
    os.utime(top / "sub", ns=(10**18, 10**18))
    return top


def test_copy_in_then_out_is_the_same_tree(container: cl.Container, tree: Path, tmp_path: Path) -> None:
    container.path("/srv/new").copy_in(tree, owners=True)
    container.path("/srv/new").copy_out(tmp_path / "back", owners=True)
    back = tmp_path / "back"
    assert sorted(str(p.relative_to(back)) for p in back.rglob("*")) == sorted(
        str(p.relative_to(tree)) for p in tree.rglob("*")
    )
    assert back.joinpath("file").stat().st_ino == back.joinpath("sub/hard").stat().st_ino
    assert (back / "link").readlink() == Path("file")
    assert stat.S_ISFIFO(back.joinpath("fifo").stat().st_mode)
    assert (back / "file").stat().st_uid == 1234
    assert back.joinpath("sub").stat().st_mtime_ns == 10**18
    sparse = back.joinpath("sparse").stat()
    assert (sparse.st_size, sparse.st_blocks < 1000) == ((64 << 20) + 3, True)
    assert container.path("/srv/new/sub/run").stat().st_mode & stat.S_ISUID
    assert not back.joinpath("sub/run").stat().st_mode & stat.S_ISUID


def test_copy_xattrs_come_along_where_there_are_any(
    container: cl.Container, tree: Path, tmp_path: Path
) -> None:
    container.path("/data").copy_in(tree / "file")
    container.path("/data/file").copy_out(tmp_path / "back")
    assert os.getxattr(tmp_path / "back", "user.mark") == b"1"


def test_copy_without_owners_is_roots(container: cl.Container, tree: Path, tmp_path: Path) -> None:
    container.path("/srv").copy_in(tree)
    assert container.path("/srv/tree/file").stat().st_uid == 0
    container.path("/srv/tree/file").copy_out(tmp_path / "file")
    assert (tmp_path / "file").stat().st_uid == os.geteuid()


def test_path_of_a_link_is_its_own_or_that_of_what_it_leads_to(
    container: cl.Container, tmp_path: Path
) -> None:
    tmp_path.joinpath("link").symlink_to("/bin/busybox")
    tmp_path.joinpath("nowhere").symlink_to("/not/there")
    link, nowhere = container.path("/srv/link"), container.path("/srv/nowhere")
    link.copy_in(tmp_path / "link")
    nowhere.copy_in(tmp_path / "nowhere")
    assert (stat.S_ISREG(link.stat().st_mode), stat.S_ISLNK(link.lstat().st_mode)) == (True, True)
    assert (link.is_file(), link.is_symlink(), str(link.readlink())) == (True, True, "/bin/busybox")
    assert (nowhere.exists(), nowhere.is_symlink(), stat.S_ISLNK(nowhere.lstat().st_mode)) == (
        False,
        True,
        True,
    )
    with pytest.raises(cl.NotFound):
        nowhere.stat()


def test_copy_in_follows_dockers_rules(container: cl.Container, tree: Path) -> None:
    srv = container.path("/srv")
    srv.copy_in(tree)  # a directory that is there: into it
    assert (srv / "tree/sub/run").is_file()
    (srv / "other").copy_in(tree)  # none is there: under that name
    assert (srv / "other/sub/run").is_file()
    (srv / "other").copy_in(tree / "sub", contents=True)
    assert (srv / "other/run").is_file()
    (srv / "made").copy_in(tree, contents=True)
    assert (srv / "made/sub/run").is_file()
    assert stat.S_IMODE((srv / "made").stat().st_mode) == stat.S_IMODE(tree.stat().st_mode)
    with pytest.raises(cl.Conflict):
        (srv / "none").copy_in(tree / "file", contents=True)
    container.path("/").copy_in(tree / "sub", contents=True)
    assert container.path("/run").is_file()
    (srv / "file").copy_in(tree / "file")  # a name that is free
    (srv / "file").copy_in(tree / "sub/run")  # a file that is there is replaced
    assert (srv / "file").read_text() == "#!/bin/sh\n"
    with pytest.raises(cl.Conflict, match="directory"):
        (srv / "file").copy_in(tree)
    with pytest.raises(cl.NotFound):
        (srv / "absent/file").copy_in(tree / "file")
    with pytest.raises(cl.NotFound, match=f": {tree}/nothing is not there"):
        srv.copy_in(tree / "nothing")


def test_copy_in_link_is_a_link_unless_followed(container: cl.Container, tree: Path) -> None:
    (container.path("/srv") / "link").copy_in(tree / "link")
    assert str((container.path("/srv") / "link").readlink()) == "file"
    (container.path("/srv") / "real").copy_in(tree / "link", follow_links=True)
    assert (container.path("/srv") / "real").read_text() == "text"


def test_copy_out_follows_dockers_rules(container: cl.Container, tree: Path, tmp_path: Path) -> None:
    (container.path("/srv") / "tree").copy_in(tree)
    source = container.path("/srv/tree")
    (tmp_path / "there").mkdir()
    source.copy_out(tmp_path / "there")
    assert (tmp_path / "there/tree/sub/run").is_file()
    source.copy_out(tmp_path / "there", contents=True)
    assert (tmp_path / "there/sub/run").is_file()
    source.copy_out(tmp_path / "made", contents=True)
    assert (tmp_path / "made/sub/run").is_file()
    with pytest.raises(cl.Conflict, match="directory"):
        source.copy_out(tmp_path / "there/file")
    with pytest.raises(cl.NotFound):
        (source / "file").copy_out(f"{tmp_path}/none/")
    with pytest.raises(cl.NotFound):
        (source / "nothing").copy_out(tmp_path / "x")
    with pytest.raises(cl.NotFound, match=f": {tmp_path}/none is not there"):
        (source / "file").copy_out(tmp_path / "none/file")
    (source / "link").copy_out(tmp_path / "followed", follow_links=True)
    assert (tmp_path / "followed").read_text() == "text"


def test_copy_out_does_not_write_through_links_of_the_target(
    container: cl.Container, tree: Path, tmp_path: Path
) -> None:
    secret = outside(tmp_path)
    (container.path("/srv") / "tree").copy_in(tree)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").symlink_to(secret)
    container.path("/srv/tree").copy_out(tmp_path / "there", contents=True)
    assert secret.read_text() == "the host's"
    assert (tmp_path / "there/file").read_text() == "text"


def test_copy_devices_are_refused(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with box.start("sh", "-c", "mkdir /d; mknod /d/null c 1 3; exec sleep 1000") as container:
        container.wait_for(exec=("test", "-e", "/d/null"))
        with pytest.raises(cl.Unsupported, match="device"):
            container.path("/d").copy_out(tmp_path / "d")
        with pytest.raises(cl.Unsupported, match="device"):
            container.path("/null").copy_in("/dev/null")


def test_copy_of_proc_has_its_content(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with box.start("sleep", "1000") as container:
        container.path("/proc/1/cmdline").copy_out(tmp_path / "cmdline")
    assert (tmp_path / "cmdline").read_bytes() == b"sleep\x001000\x00"


def test_copy_several_at_once_of_one_stopped_container(container: cl.Container, tree: Path) -> None:
    failures = []

    def copy(number: int) -> None:
        try:
            (container.path("/srv") / f"t{number}").copy_in(tree)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=copy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(container.path("/srv").iterdir())) == 4
