"""Who mounts a container's root, and of what."""

from __future__ import annotations

from typing import Any

import pytest

from containerlib._sys.native import lib
from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.plan.ops import Op
from containerlib.runtime.plan.root_mounts import foreign_root_mount_ops, root_mount_ops
from containerlib.runtime.plan.roots import BindRoot, FuseRoot, OverlayRoot, Root
from containerlib.spec.layer import Layer
from containerlib.spec.values import evolve

DIRECTORIES = OverlayRoot(("/top", Layer("/base")), "/c/upper", "/c/work")
FILES = OverlayRoot((Layer("/top.erofs", "erofs"), "/base"), "/c/upper", "/c/work")
FUSE = FuseRoot(("/top", "/base"), "/c/upper", "/c/work", "/usr/bin/fuse-overlayfs")
MAPS: dict[str, Any] = {
    "uidMappings": [
        {"containerID": 5, "hostID": 9, "size": 1},
        {"containerID": 0, "hostID": 1000, "size": 5},
    ],
    "gidMappings": [{"containerID": 0, "hostID": 2000, "size": 5}],
}


def ops_of(
    root: Root, linux: Any = None, *, new: bool = False, joined: bool = False, privileged: bool = True
) -> list[Op]:
    return list(root_mount_ops("/c/rootfs", root, linux or {}, new=new, joined=joined, privileged=privileged))


def names(ops: list[Op]) -> list[str]:
    return [op.name for op in ops]


def test_root_of_files_and_directories_says_which_is_which() -> None:
    (op,) = ops_of(FILES)
    assert op.strings == ("/c/rootfs", "erofs", "/top.erofs", "", "/base")
    assert op.size == 2
    assert op.numbers == (0, 0, 0)


@pytest.mark.parametrize("root", [DIRECTORIES, FILES])
def test_root_without_a_user_namespace_is_mounted_by_the_first_process(root: Root) -> None:
    assert names(ops_of(root)) == ["root_overlay"]


@pytest.mark.parametrize("root", [DIRECTORIES, FILES])
def test_root_in_a_new_user_namespace_is_mounted_by_the_shim_without_devices(root: Root) -> None:
    ops = ops_of(root, MAPS, new=True)
    assert names(ops) == ["handover", "root_overlay", "root_bind"]
    assert ops[1].numbers == (0, 1000 << 32 | 2000, 4)
    assert ops[2].numbers[1] & lib.CLIB_BIND_TREE
    assert ops[2].texts[0] == "/c/rootfs"


def test_root_in_a_joined_user_namespace_is_the_shims_where_the_first_process_cannot() -> None:
    assert names(ops_of(DIRECTORIES, joined=True)) == ["root_overlay"]
    assert names(ops_of(FILES, joined=True)) == ["handover", "root_overlay", "root_bind"]


def test_root_by_loop_devices_is_mounted_by_the_shim_which_may_open_them() -> None:
    ops = ops_of(OverlayRoot((Layer("/top", "erofs-loop"), "/base"), None, None))
    assert names(ops) == ["handover", "root_overlay", "root_bind"]
    assert ops[1].numbers == (lib.CLIB_ROOT_PRIVATE, 0, 0)


def test_root_of_an_ordinary_user_is_mounted_by_the_first_process() -> None:
    assert names(ops_of(DIRECTORIES, MAPS, new=True, privileged=False)) == ["root_overlay"]


def test_root_id_mapped_needs_a_user_namespace() -> None:
    mapped = OverlayRoot(("/base",), None, None, mapped=True)
    (_, op, _) = ops_of(mapped, MAPS, new=True)
    assert op.numbers[0] == lib.CLIB_ROOT_PRIVATE | lib.CLIB_ROOT_MAPPED
    with pytest.raises(InvalidArgument, match="user namespace"):
        ops_of(mapped)


def test_root_with_attributes_of_a_user_namespaces_root_says_so() -> None:
    (op,) = ops_of(OverlayRoot((Layer("/base", "overlay-userxattr"),), None, None))
    assert op.numbers[0] == lib.CLIB_ROOT_PRIVATE | lib.CLIB_ROOT_USERXATTR


def test_root_by_fuse_is_served_by_a_program_of_the_shims() -> None:
    handover, fuse, bind = ops_of(FUSE)
    assert (handover.name, fuse.name, bind.name) == ("handover", "root_fuse", "root_bind")
    assert fuse.texts == ("/usr/bin/fuse-overlayfs", "/c/rootfs")
    options = "lowerdir=/top:/base,upperdir=/c/upper,workdir=/c/work,default_permissions,allow_other"
    assert fuse.strings == ("fuse-overlayfs", "-f", "-o", options, "/dev/fd/0")
    assert fuse.numbers == (5, 0, 0)


@pytest.mark.parametrize("path", ["/a:b", "/a,b", "/a\\b"])
def test_root_by_fuse_refuses_paths_that_its_options_cannot_hold(path: str) -> None:
    with pytest.raises(Unsupported, match="choose another root"):
        ops_of(FuseRoot(("/top",), path, "/c/work", "/bin/f"))


def test_root_by_fuse_shows_files_with_the_hosts_ids_of_a_user_namespace() -> None:
    root = evolve(FUSE, uids=((0, 100_000, 1000), (1000, 5, 1)), gids=((0, 200_000, 1000),))
    _, fuse, bind = ops_of(root, MAPS, new=True)
    assert "uidmapping=0:100000:1000:1000:5:1,gidmapping=0:200000:1000," in fuse.strings[3]
    assert bind.numbers[0] == 4, "a device of the image is none"


def test_root_that_is_closed_to_its_user_namespace_is_opened_by_the_shim() -> None:
    handover, tree, bind = ops_of(BindRoot("/c/files", closed=True), MAPS, new=True)
    assert (handover.name, tree.name, bind.name) == ("handover", "tree", "root_bind")
    assert (tree.texts[0], tree.numbers[1]) == ("/c/files", lib.CLIB_TREE_AS_IT_IS)
    assert (bind.texts[0], bind.numbers[0]) == ("/c/rootfs", 4)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (FILES, ["root_overlay"]),
        (FUSE, ["root_fuse", "root_bind"]),
        (BindRoot("/c/rootfs"), ["root_bind"]),
        (BindRoot("/c/files", closed=True), ["tree", "root_bind"]),
    ],
)
def test_root_for_another_runtime_is_mounted_by_the_shim_for_itself(root: Root, expected: list[str]) -> None:
    assert names(list(foreign_root_mount_ops("/c/rootfs", root))) == expected


def test_root_for_another_runtime_cannot_be_id_mapped() -> None:
    with pytest.raises(Unsupported, match="native driver"):
        list(foreign_root_mount_ops("/c/rootfs", OverlayRoot(("/base",), None, None, mapped=True)))
