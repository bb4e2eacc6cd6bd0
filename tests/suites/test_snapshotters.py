"""One suite over every snapshotter: how layers come, are there, are mounted, and go.

Whatever a layer is on disk, a container sees the same files, nothing is mounted on the host, and nobody writes to it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from containerlib._sys.trees import tree_size
from containerlib.errors import InvalidArgument
from containerlib.images.content.garbage import clear_temporary, collect
from containerlib.images.root import ImageRoot
from containerlib.images.snapshots.choice import name_of
from containerlib.images.snapshots.store import Drafts
from containerlib.spec.layer import Layer as MadeLayer
from containerlib.spec.options import SnapshotterName
from containerlib.store import Store
from rig.images import Layer
from rig.layers import BASE, MERGED, TOP, shown

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN, CAP_CHOWN, CAP_MKNOD: unpacks and mounts layers"),
    pytest.mark.usefixtures("snapshotter"),
    pytest.mark.parametrize("snapshotter", ["overlay", "erofs", "fuse-overlayfs", "copy"], indirect=True),
]


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
        drafts.reserve(chain_id for chain_id in chain if not drafts.has(chain_id))
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


def test_file_of_a_lower_layer_takes_no_space_in_those_above(root: ImageRoot) -> None:
    above = [Layer().file(name, "").finish() for name in ("one", "two")]
    make(root, Layer().file("large", os.urandom(1 << 20)).finish(), *above)
    assert 1 << 20 <= tree_size(root.snapshots.path) < 2 << 20


def test_size_is_that_of_the_files_content(root: ImageRoot) -> None:
    (chain_id,) = make(root, Layer().file("a", bytes(5000)).file("b", "12").finish())
    assert list(root.table.snapshot_sizes().values()) == [5002]
    kind = layers_of(root, [chain_id])[0].kind
    assert root.snapshots.usage(chain_id, kind) >= 5000


def test_layers_are_as_good_as_new_for_the_snapshotter_that_made_them(
    root: ImageRoot, snapshotter: SnapshotterName
) -> None:
    kind = layers_of(root, make(root, BASE))[0].kind
    assert root.snapshots.is_wanted(kind)
    assert name_of(kind) == snapshotter


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
        slow.reserve(chain)
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
        "chain = ['sha256:' + 'a' * 64]; drafts.reserve(chain); draft = drafts.prepare(chain)\n"
        "draft.feed(sys.stdin.buffer.read()); draft.finish()\n"
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
