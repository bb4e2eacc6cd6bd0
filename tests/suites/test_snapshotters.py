"""One suite over every snapshotter: how layers come, are there, are mounted, and go.

Whatever a layer is on disk, a container sees the same files, nothing is mounted on the host, and nobody writes to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.errors import InvalidArgument
from containerlib.images.content.garbage import clear_temporary, collect
from containerlib.images.root import ImageRoot
from containerlib.images.snapshots.merged import MergedTree
from containerlib.images.snapshots.store import Drafts
from containerlib.spec.layer import Layer as MadeLayer
from containerlib.spec.options import SnapshotterName
from containerlib.store import Store
from rig import images
from rig.bundles import until
from rig.groups import running_in
from rig.images import Image, Layer

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN, CAP_CHOWN, CAP_MKNOD: unpacks and mounts layers"),
    pytest.mark.usefixtures("snapshotter"),
    pytest.mark.parametrize("snapshotter", ["overlay", "erofs", "fuse-overlayfs", "copy"], indirect=True),
]

BASE = (
    Layer()
    .directory("etc")
    .file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/data:/bin/sh\n")
    .file("etc/hidden", "1")
    .directory("dir")
    .file("dir/old", "2")
    .directory("dir/deep")
    .file("dir/deep/old", "3")
    .directory("gone")
    .file("gone/file", "4")
    .file("was-file", "5")
    .directory("was-directory")
    .file("was-directory/file", "6")
    .file("linked", "7", 0o640, uid=7, gid=8)
    .finish()
)
TOP = (
    Layer()
    .whiteout("etc/hidden")
    .directory("dir", 0o700, uid=7, gid=8)
    .whiteout("dir/.wh..wh..opq")
    .file("dir/new", "8")
    .whiteout("gone")
    .directory("was-file")
    .file("was-file/file", "9")
    .file("was-directory", "10")
    .hardlink("link", "linked")
    .symlink("symlink", "dir/new")
    .file("owned", "11", 0o4755, uid=7, gid=8)
    .finish()
)
MERGED = {
    "": ("d", 0o755, 0, 0),
    "dir": ("d", 0o700, 7, 8),
    "dir/new": ("f", 0o644, 0, 0, "8"),
    "etc": ("d", 0o755, 0, 0),
    "etc/passwd": ("f", 0o644, 0, 0, "root:x:0:0::/root:/bin/sh\napp:x:7:8::/data:/bin/sh\n"),
    "link": ("f", 0o640, 7, 8, "7"),
    "linked": ("f", 0o640, 7, 8, "7"),
    "owned": ("f", 0o4755, 7, 8, "11"),
    "symlink": ("l", 0o777, 0, 0, "dir/new"),
    "was-directory": ("f", 0o644, 0, 0, "10"),
    "was-file": ("d", 0o755, 0, 0),
    "was-file/file": ("f", 0o644, 0, 0, "9"),
}
"""What the two show together: type, mode, owner, and content or target."""


@pytest.fixture
def root(tmp_path: Path, snapshotter: SnapshotterName) -> Iterator[ImageRoot]:
    store = Store(tmp_path / "root")
    yield ImageRoot.open(str(tmp_path / "root"), store.images, snapshotter)
    store.close()


def chain_of(*archives: bytes) -> list[str]:
    """Names for a chain, the lowest first: the same archives on each other have the same."""
    return [
        f"sha256:{hashlib.sha256(b''.join(archives[:end])).hexdigest()}"
        for end in range(1, len(archives) + 1)
    ]


def make(root: ImageRoot, *archives: bytes, adopt: bool = True) -> list[str]:
    """Takes the layers in, the lowest first, in pieces of an odd size."""
    chain = chain_of(*archives)
    with root.lease() as lease, Drafts(root.snapshots, lease) as drafts:
        for index, archive in enumerate(archives):
            if drafts.has(chain[index]):
                continue
            draft = drafts.prepare(chain[: index + 1])
            for at in range(0, len(archive), 1009):
                draft.feed(archive[at : at + 1009])
            drafts.done(chain[index], draft.finish())
            draft.close()
        drafts.sync()
        if adopt:
            with root.table.transaction():
                drafts.adopt()
    return chain


def layers_of(root: ImageRoot, chain: Sequence[str]) -> tuple[MadeLayer, ...]:
    with root.lease() as lease:
        return root.snapshots.layers(chain, root.snapshots.snapshotter(lease).kind)


def shown(layers: Sequence[MadeLayer]) -> dict[str, tuple[object, ...]]:
    """What the layers show together, without mounting them."""
    found: dict[str, tuple[object, ...]] = {}
    with MergedTree(layers) as tree:
        for entry in tree.walk():
            facts = (entry.status.st_mode & 0o7777, entry.status.st_uid, entry.status.st_gid)
            match entry.status.st_mode >> 12:
                case 0o4:
                    found[entry.path] = ("d", *facts)
                case 0o12:
                    found[entry.path] = ("l", *facts, entry.link())
                case _:
                    with open(entry.open(), encoding="utf-8", errors="replace") as file:
                        found[entry.path] = ("f", *facts, file.read())
    return found


def on_disk(root: ImageRoot) -> set[str]:
    return {path.name for path in Path(root.snapshots.path).iterdir()}


# ---- how layers come ----


def test_layers_show_together_what_their_archives_say(root: ImageRoot) -> None:
    assert shown(layers_of(root, make(root, BASE, TOP))) == MERGED


def test_layer_made_later_on_whole_ones_is_as_if_made_with_them(root: ImageRoot) -> None:
    make(root, BASE)
    assert shown(layers_of(root, make(root, BASE, TOP))) == MERGED


def test_layers_shared_by_two_chains_are_made_once(root: ImageRoot) -> None:
    make(root, BASE, TOP)
    other = Layer().file("other", "").finish()
    make(root, BASE, other)
    assert len(on_disk(root)) == 3


def test_size_is_that_of_the_files_content(root: ImageRoot) -> None:
    (chain_id,) = make(root, Layer().file("a", bytes(5000)).file("b", "12").finish())
    assert list(root.table.snapshot_sizes().values()) == [5002]
    kind = layers_of(root, [chain_id])[0].kind
    assert root.snapshots.usage(chain_id, kind) >= 5000


def test_draft_is_not_there_before_it_is_adopted(root: ImageRoot) -> None:
    (chain_id,) = make(root, BASE, adopt=False)
    kind = layers_of(root, [chain_id])[0].kind
    assert not root.snapshots.has(chain_id, kind)
    assert on_disk(root) == set()
    make(root, BASE)
    assert root.snapshots.has(chain_id, kind)


def test_draft_whose_archive_is_bad_leaves_nothing(root: ImageRoot) -> None:
    with pytest.raises(InvalidArgument):
        make(root, BASE[:1024] + b"x" * 4096)
    assert on_disk(root) == set()
    assert root.table.snapshot_sizes() == {}


def test_layer_that_two_make_at_once_is_there_once(root: ImageRoot) -> None:
    chain = chain_of(BASE)
    with root.lease() as lease, Drafts(root.snapshots, lease) as slow:
        draft = slow.prepare(chain)
        draft.feed(BASE)
        slow.done(chain[0], draft.finish())
        draft.close()
        make(root, BASE)
        with root.table.transaction():
            slow.adopt()
    assert len(on_disk(root)) == 1
    assert "etc/passwd" in shown(layers_of(root, chain))


# ---- how they go ----


def test_layer_that_nothing_keeps_is_collected(root: ImageRoot) -> None:
    make(root, BASE, TOP)
    report = collect(root)
    assert sorted(report.snapshots) == sorted(chain_of(BASE, TOP))
    assert report.reclaimed_bytes > 0
    assert (on_disk(root), root.table.snapshot_sizes()) == (set(), {})


def test_layer_that_a_lease_keeps_stays(root: ImageRoot) -> None:
    chain = make(root, BASE, TOP)
    with root.lease() as lease:
        lease.keep([("snapshot", chain_id) for chain_id in chain])
        collect(root)
        assert shown(layers_of(root, chain)) == MERGED


def test_layer_deleted_by_hand_is_made_again(root: ImageRoot) -> None:
    chain = make(root, BASE)
    for name in on_disk(root):
        subprocess.run(["rm", "-rf", Path(root.snapshots.path, name)], check=True)
    assert not root.snapshots.has(chain[0], layers_of(root, chain)[0].kind)
    assert "etc/passwd" in shown(layers_of(root, make(root, BASE)))


def test_draft_of_a_killed_process_is_cleared_away(root: ImageRoot, snapshotter: SnapshotterName) -> None:
    program = (
        "import os, signal, sys; from containerlib.store import Store\n"
        "from pathlib import Path; from containerlib.images.root import ImageRoot\n"
        "from containerlib.images.snapshots.store import Drafts\n"
        "path, name = sys.argv[1:]\n"
        "root = ImageRoot.open(path, Store(Path(path)).images, name)\n"
        "drafts = Drafts(root.snapshots, root.lease())\n"
        "draft = drafts.prepare(['sha256:' + 'a' * 64]); draft.feed(sys.stdin.buffer.read()); draft.finish()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = str(Path(root.snapshots.path).parent)
    subprocess.run([sys.executable, "-P", "-c", program, path, snapshotter], input=BASE, check=False)
    assert len(on_disk(root)) == 1
    clear_temporary(root)
    assert on_disk(root) == set()


def test_layer_named_before_a_kill_and_without_a_row_is_collected(root: ImageRoot) -> None:
    chain = make(root, BASE)
    root.table.delete_snapshot(chain[0], layers_of(root, chain)[0].kind)
    assert collect(root).snapshots == tuple(chain)
    assert on_disk(root) == set()


# ---- what a container has of them ----


@pytest.fixture
def image(engine: cl.Engine, tmp_path: Path) -> cl.Image:
    """busybox below the two layers."""
    return load(engine, tmp_path, images.busybox_layer(), BASE, TOP)


def load(engine: cl.Engine, tmp_path: Path, *layers: bytes, **config: object) -> cl.Image:
    number = len(list(tmp_path.glob("layout-*")))
    layout = Image(layers, {"Env": ["PATH=/bin:/usr/bin"], **config}).write_layout(
        tmp_path / f"layout-{number}"
    )
    (loaded,) = engine.images.load(layout)
    return loaded


def test_container_sees_what_the_layers_show_together(engine: cl.Engine, image: cl.Image) -> None:
    paths = " ".join(path for path in MERGED if path)
    code = f"for f in {paths}; do stat -c '%n %a %u %g' $f; test -f $f && cat $f; done; ls -d gone etc/hidden dir/old"
    done = engine.container(image).run("sh", "-c", f"cd /; {code}", check=False)
    expected = ""
    for path, (_, mode, uid, gid, *content) in MERGED.items():
        if path:
            expected += f"{path} {mode:o} {uid} {gid}\n"
            text = content[0] if content else ""
            expected += str(MERGED["dir/new"][4] if text == "dir/new" else text)
    assert done.text == expected
    assert done.stderr.count(b"No such file") == 3


def test_container_runs_as_a_user_of_the_image(engine: cl.Engine, image: cl.Image) -> None:
    assert engine.container(image).user("app").run("sh", "-c", "id -u; id -g").text == "7\n8\n"


def test_container_writes_to_nothing_but_its_own(engine: cl.Engine, image: cl.Image) -> None:
    before = shown(image.record.layers)
    code = "cd /; rm -r dir etc/passwd link; echo changed > linked; chmod 777 was-file; mkdir dir; echo new > dir/file"
    recipe = engine.container(image)
    with recipe.start("sh", "-c", f"{code}; echo done; exec sleep 600") as container:
        container.wait_for(log="done")
        assert container.exec("cat", "/linked", "/dir/file").text == "changed\nnew\n"
    assert shown(image.record.layers) == before
    assert recipe.run("cat", "/linked", "/dir/new").text == "78"


def test_container_stopped_and_started_keeps_what_it_wrote(engine: cl.Engine, image: cl.Image) -> None:
    code = "echo x >> /kept; wc -l < /kept; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    with engine.container(image).start("sh", "-c", code) as container:
        container.wait_for(log="1")
        container.stop(timeout=20.0)
        container.start()
        container.wait_for(log="2")


def test_container_leaves_no_mount_and_no_process(engine: cl.Engine, image: cl.Image) -> None:
    with engine.container(image).start("sleep", "600"):
        assert engine.root not in Path("/proc/self/mountinfo").read_text()
    engine.container(image).run("true")
    assert engine.root not in Path("/proc/self/mountinfo").read_text()
    assert processes_with(engine.root) == []


def test_container_does_not_see_its_layers_mounts(engine: cl.Engine, image: cl.Image) -> None:
    mounts = engine.container(image).run("cat", "/proc/self/mountinfo").text
    assert "erofs" not in mounts
    assert "snapshots" not in mounts
    assert len([line for line in mounts.splitlines() if line.split()[4] == "/"]) == 1


def test_supervisor_killed_takes_all_of_the_root_along(engine: cl.Engine, image: cl.Image) -> None:
    with engine.container(image).start("sleep", "600") as container:
        first = running_in(container.id)[0]
        os.kill(int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        assert container.wait(10.0).exit_code == 137
        until(lambda: not processes_with(engine.root))


def processes_with(word: str) -> list[str]:
    """Command lines that have it."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if word in line]


def test_setuid_program_of_a_layer_works(engine: cl.Engine, tmp_path: Path) -> None:
    layer = Layer().directory("lib").directory("lib64").directory("usr/lib")
    layer.file("bin/whoami-really", Path("/usr/bin/id").read_bytes(), 0o4755)
    for library in images.libraries("/usr/bin/id"):
        layer.copy(library)
    image = load(engine, tmp_path, images.busybox_layer(), layer.finish())
    assert engine.container(image).user("7:8").run("/bin/whoami-really", "-u").text == "0\n"


def test_device_of_a_layer_works_where_the_container_may_use_it(engine: cl.Engine, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.TarFile(fileobj=buffer, mode="w") as archive:
        for name, minor in (("zero", 5), ("kmsg", 11)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.devmajor, info.devminor = tarfile.CHRTYPE, 0o666, 1, minor
            archive.addfile(info)
    recipe = engine.container(load(engine, tmp_path, images.busybox_layer(), buffer.getvalue()))
    assert recipe.run("sh", "-c", "head -c 3 /zero | wc -c").text.strip() == "3"
    assert b"not permitted" in recipe.run("head", "-c", "1", "/kmsg", check=False).stderr


def test_image_of_many_layers_shows_the_top_ones(engine: cl.Engine, tmp_path: Path) -> None:
    more = [Layer().file("top", str(number)).file(f"f{number}", "").finish() for number in range(20)]
    image = load(engine, tmp_path, images.busybox_layer(), *more)
    done = engine.container(image).run("sh", "-c", "cat /top; ls -d /f* | wc -l")
    assert done.text == "1920\n"


# ---- several kinds in one root ----


def test_image_pulled_again_with_another_snapshotter_is_used_in_the_new_form(
    engine: cl.Engine, image: cl.Image, tmp_path: Path, snapshotter: SnapshotterName
) -> None:
    other: SnapshotterName = "copy" if snapshotter == "overlay" else "overlay"
    old = image.record.layers
    with engine.container(image).start("sleep", "600") as container:
        with cl.Engine(engine.root, snapshotter=other) as second:
            (again,) = second.images.load(tmp_path / "layout-0")
            assert {layer.kind for layer in again.record.layers} == {other}
            assert second.container(again).run("cat", "/linked").text == "7"
        assert container.exec("cat", "/linked").text == "7"
        assert all(Path(layer.path).exists() for layer in old), "a container has them"
        container.kill("KILL")
        container.wait(10.0)
        container.start()
        assert container.exec("cat", "/linked").text == "7"
    engine.images.get(image.id).remove()
    assert list(Path(engine.root, "snapshots").iterdir()) == []
