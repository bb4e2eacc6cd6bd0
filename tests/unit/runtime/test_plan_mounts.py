"""A mount of config.json to its ops: which, in what order, and what is refused before anything is done."""

from __future__ import annotations

from typing import Any, cast

import pytest

from containerlib._sys.native import lib
from containerlib.errors import InvalidArgument
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.late import Borrowed, Found, Memory, Part
from containerlib.runtime.plan.mount_entry import read_mounts
from containerlib.runtime.plan.mounts import mount_ops, read_only_ops, root_propagation
from containerlib.runtime.plan.op import Op
from containerlib.spec.runtime import Spec
from containerlib.spec.secret import Secret
from rig.mounts import entry

RDONLY, NOSUID, NOATIME, ATIME = 0x1, 0x2, 0x10, 0x70
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_SYNCHRONOUS, MS_SILENT = 1 << 4, 1 << 15
MAPS = {
    "uidMappings": [{"containerID": 0, "hostID": 10, "size": 5}],
    "gidMappings": [{"containerID": 1, "hostID": 20, "size": 6}],
}
LOW = 0xFFFFFFFF
NO_GROUPS = Groups()


def spec_of(*mounts: dict[str, Any], kinds: str = "mount pid network ipc", **linux: Any) -> Spec:
    namespaces = [dict(zip(("type", "path"), kind.split("="), strict=False)) for kind in kinds.split()]
    return cast(Spec, {"mounts": list(mounts), "linux": {"namespaces": namespaces, **linux}})


def planned(*mounts: dict[str, Any], **more: Any) -> list[Op]:
    return ops_of(spec_of(*mounts, **more))


def ops_of(spec: Spec, groups: Groups = NO_GROUPS, *, private: bool = True, bundle: str = "/") -> list[Op]:
    return list(mount_ops(read_mounts(spec, bundle), spec["linux"], groups, private_cgroups=private))


def only(*mounts: dict[str, Any], **more: Any) -> Op:
    (op,) = planned(*mounts, **more)
    return op


def in_user_namespace(*mounts: dict[str, Any], kinds: str = "mount pid network ipc user") -> list[Op]:
    return planned(*mounts, kinds=kinds, **MAPS)


# ---- binds ----


def test_bind_has_its_own_attributes_and_those_below_apart() -> None:
    op = only(entry("/x", "bind", "/s", "rbind", "rro", "rw", "nosuid", "rnoatime", "rdev", "rslave"))
    own, flags, propagation = op.numbers
    assert (own & LOW, own >> 32) == (NOSUID | NOATIME, RDONLY | 0x4 | ATIME)
    assert (flags & LOW, flags >> 32) == (
        ops.MOUNT_RECURSIVE | ops.MOUNT_PROPAGATION_RECURSIVE,
        RDONLY | NOATIME,
    )
    assert (propagation & LOW, propagation >> 32) == (MS_SLAVE, 0x4 | ATIME)
    assert op.texts == ("/s", "/x")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("bind", "remount", "ro"), ops.MOUNT_REMOUNT),
        (("bind", "copy-symlink"), ops.MOUNT_COPY_SYMLINK),
        (("rbind",), ops.MOUNT_RECURSIVE),
        (("bind", "rprivate"), ops.MOUNT_PROPAGATION_RECURSIVE),
        (("bind", "sync", "silent"), 0),
    ],
)
def test_bind_has_the_flag_of_its_word(words: tuple[str, ...], flag: int) -> None:
    assert only(entry("/x", "bind", "/s", *words)).numbers[1] == flag


@pytest.mark.parametrize(("word", "recursive"), [("idmap", 0), ("ridmap", ops.MOUNT_ATTR_RECURSIVE)])
def test_id_mapped_bind_is_opened_by_the_shim_with_its_maps(word: str, recursive: int) -> None:
    handover, tree, bind = planned(entry("/x", "bind", "/s", "rbind", word, **MAPS))
    assert (handover.name, handover.numbers[0]) == ("handover", 1)
    assert tree.name == "tree"
    assert tree.texts[0] == "/s"
    assert tree.data == b"0 10 5\n\x001 20 6\n\0"
    assert tree.numbers == (ops.MOUNT_RECURSIVE | recursive, 0, MS_SLAVE)
    assert bind.numbers[1] & LOW == ops.MOUNT_RECURSIVE | ops.MOUNT_TREE


def test_id_mapped_bind_without_maps_takes_those_of_the_user_namespace() -> None:
    _, tree, _ = in_user_namespace(entry("/x", "bind", "/s", "bind", "idmap"))
    assert (tree.numbers[1], tree.data) == (1, b"")


@pytest.mark.parametrize("kinds", ["mount user", "mount user=/proc/1/ns/user"])
def test_bind_in_a_user_namespace_is_opened_by_the_shim_as_it_is(kinds: str) -> None:
    _, tree, bind = in_user_namespace(entry("/x", "bind", "/s", "rbind", "ro"), kinds=kinds)
    assert tree.numbers == (ops.MOUNT_RECURSIVE, 2, MS_SLAVE)
    assert bind.numbers[1] & ops.MOUNT_TREE


@pytest.mark.parametrize(
    ("word", "propagation"), [("rslave", MS_SLAVE), ("private", MS_PRIVATE), ("unbindable", MS_PRIVATE)]
)
def test_id_mapped_bind_is_spread_as_the_root(word: str, propagation: int) -> None:
    _, tree, _ = planned(entry("/x", "bind", "/s", "bind", "idmap", **MAPS), rootfsPropagation=word)
    assert tree.numbers[2] == propagation


def test_bind_of_a_shared_root_is_the_shims_and_stays_a_peer() -> None:
    _, tree, _ = planned(entry("/x", "bind", "/s", "rbind"), rootfsPropagation="rshared")
    assert tree.numbers[1:] == (2, 0)


@pytest.mark.parametrize(
    ("mount", "field", "word"),
    [
        (entry("/x", "bind", "/s", "bind", "idmap"), "options", "user namespace"),
        (entry("/x", "bind", "/s", "bind", uidMappings=MAPS["uidMappings"]), "gidMappings", "required"),
        (entry("/x", "bind", "/s", "bind", gidMappings=MAPS["gidMappings"]), "uidMappings", "required"),
        (entry("/x", "bind", "/s", "bind", "tmpcopyup"), "options", "tmpfs"),
        (entry("/x", "bind", "", "bind"), "source", "required"),
        (entry("/x", "tmpfs", "t", "idmap"), "options", "only a bind"),
        (entry("/x", "tmpfs", "t", **MAPS), "options", "only a bind"),
        (entry("/x", "ramfs", "t", "tmpcopyup"), "options", "tmpfs"),
        (entry("/proc", "tmpfs", "t"), "destination", "no procfs"),
        (entry("proc/sys", "tmpfs", "t"), "destination", "below /proc"),
        (entry("/a/../proc/./1", "bind", "/s", "bind"), "destination", "below /proc"),
    ],
)
def test_mount_that_cannot_be_is_refused_at_its_property(
    mount: dict[str, Any], field: str, word: str
) -> None:
    with pytest.raises(InvalidArgument, match=word) as caught:
        planned(entry("/first", "tmpfs", "t"), mount)
    assert caught.value.field == f"mounts[1].{field}"


@pytest.mark.parametrize(("source", "expected"), [("data", "/bundle/data"), ("/data", "/data")])
def test_source_of_a_bind_is_relative_to_the_bundle(source: str, expected: str) -> None:
    spec = spec_of(entry("/x", "bind", source, "bind"), entry("/y", "tmpfs", "name"))
    bind, tmpfs = ops_of(spec, bundle="/bundle")
    assert bind.texts[0] == expected
    assert pairs(tmpfs) == [("source", "name")]


@pytest.mark.parametrize("value", ["\udc80", "\udc80" * 300])
def test_option_of_bytes_that_are_no_text_goes_to_the_kernel_as_they_are(value: str) -> None:
    op = only(entry("/x", "ramfs", "r", f"word={value}"))
    assert ("word", value) in pairs(op)


@pytest.mark.parametrize("gid", ["\u00b2", "9" * 5000])
def test_group_of_devpts_that_is_no_number_is_for_the_kernel_to_refuse(gid: str) -> None:
    (op,) = in_user_namespace(entry("/dev/pts", "devpts", "devpts", f"gid={gid}"))
    assert ("gid", gid) in pairs(op)


# ---- /proc ----


@pytest.mark.parametrize(
    ("mount", "flags"),
    [
        (entry("/proc", "proc", "proc"), ops.MOUNT_ON_PROC | ops.MOUNT_NO_SYMLINKS),
        (
            entry("/proc", "bind", "/proc", "rbind"),
            ops.MOUNT_ON_PROC | ops.MOUNT_PROC_SOURCE | ops.MOUNT_NO_SYMLINKS | ops.MOUNT_RECURSIVE,
        ),
        (entry("/proc/uptime", "bind", "/s", "bind"), ops.MOUNT_ON_PROC | ops.MOUNT_NO_SYMLINKS),
        (entry("//proc/", "proc", "proc"), ops.MOUNT_ON_PROC | ops.MOUNT_NO_SYMLINKS),
        (entry("/host/proc", "bind", "/proc", "rbind"), ops.MOUNT_RECURSIVE),
        (entry("/procedure", "bind", "/s", "bind"), 0),
    ],
)
def test_mount_may_lie_on_proc_only_where_its_words_say_so(mount: dict[str, Any], flags: int) -> None:
    assert only(mount).numbers[1] == flags


@pytest.mark.parametrize("words", [("bind",), ("bind", "remount", "ro")])
def test_what_is_put_into_a_procfs_at_another_place_may_lie_on_proc(words: tuple[str, ...]) -> None:
    place = "/host/proc" if "remount" in words else "/host/proc/uptime"
    *_, op = planned(entry("/host/proc", "bind", "/proc", "rbind"), entry(place, "bind", "/s", *words))
    assert op.numbers[1] & ops.MOUNT_ON_PROC


def late(found: Found, *words: str, **more: Any) -> list[Op]:
    """The ops of a bind on /x whose source stands for that."""
    spec = spec_of(entry("/x", "bind", "/c/late/it", "rprivate", *words), **more)
    named = {"/c/late/it": found}
    return list(mount_ops(read_mounts(spec, "/"), spec["linux"], NO_GROUPS, private_cgroups=True, late=named))


def test_bind_of_a_part_is_opened_by_the_shim_inside_its_directory() -> None:
    handover, tree, bind = late(Part("/volumes/v", "a/b"), "rbind")
    assert handover.kind == ops.handover(tree)[0].kind
    assert (tree.name, tree.texts) == ("tree", ("/volumes/v", "a/b"))
    assert tree.numbers[:2] == (ops.MOUNT_RECURSIVE, lib.CLIB_TREE_AS_IT_IS)
    assert bind.numbers[1] & ops.MOUNT_TREE


def test_bind_of_a_part_is_id_mapped_as_any_other() -> None:
    _, tree, _ = late(Part("/volumes/v", "a"), "idmap", kinds="mount pid network ipc user", **MAPS)
    assert (tree.texts[1], tree.numbers[1]) == ("a", lib.CLIB_TREE_OF_NAMESPACE)


def test_bind_of_what_another_container_lends_is_borrowed_by_the_shim() -> None:
    _, borrow, bind = late(Borrowed("/containers/other"), "rbind", "nosuid")
    assert (borrow.name, borrow.texts) == ("borrow", ("/containers/other", None))
    assert (bind.numbers[0] & LOW, bind.numbers[2] & LOW) == (NOSUID, MS_PRIVATE)


def test_bind_of_memory_is_made_by_the_shim_and_shown_in_no_repr() -> None:
    files = (Secret("a", "a", b"battery"), Secret("b", "sub/b", b"staple", mode=0o440, uid=5, gid=6))
    handover, memory, *secrets, bind = late(Memory(files, "/", (7, 8)), "bind", "ro")
    assert handover.numbers[0] == 3
    assert (memory.texts, memory.numbers[0], memory.numbers[2]) == ((None, "/"), 2, 7 << 32 | 8)
    assert ("noswap", "") in pairs(memory)
    assert [(op.texts[1], op.numbers, op.data) for op in secrets] == [
        ("a", (0o400, 0, 0), b"battery"),
        ("sub/b", (0o440, 0, 5 << 32 | 6), b"staple"),
    ]
    assert bind.numbers[0] & RDONLY
    assert "battery" not in repr(secrets) + repr(files)


# ---- new file systems ----


def pairs(op: Op) -> list[tuple[str, str]]:
    return list(zip(op.strings[::2], op.strings[1::2], strict=True))


def test_new_file_system_has_its_options_its_attributes_and_its_propagation() -> None:
    op = only(entry("/x", "tmpfs", "mine", "nosuid", "noatime", "size=1k", "shared", "lazytime"))
    assert op.numbers == (NOSUID | NOATIME, ops.MOUNT_TARGET_MODE, MS_SHARED)
    assert pairs(op) == [("source", "mine"), ("lazytime", ""), ("size", "1k")]
    assert op.size == 3


def test_mount_without_a_source_has_its_types_name() -> None:
    assert pairs(only({"destination": "/x", "type": "mqueue"})) == [("source", "mqueue")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ext4", [("source", "/d"), ("ro", "")]), ("sysfs", [("source", "/d")]), ("proc", [("source", "/d")])],
)
def test_read_only_is_the_file_systems_own_where_no_other_container_shares_it(
    kind: str, expected: list[tuple[str, str]]
) -> None:
    op = only(entry("/x", kind, "/d", "ro"))
    assert pairs(op) == expected
    assert op.numbers[0] == RDONLY


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ((), ops.MOUNT_TARGET_MODE),
        (("mode=0700",), 0),
        (("tmpcopyup",), ops.MOUNT_TARGET_MODE | ops.MOUNT_TARGET_OWNER | ops.MOUNT_COPY_UP),
        (("tmpcopyup", "uid=1", "mode=755"), ops.MOUNT_COPY_UP),
    ],
)
def test_tmpfs_takes_of_the_directory_what_its_options_do_not_say(
    options: tuple[str, ...], flags: int
) -> None:
    assert only(entry("/x", "tmpfs", "t", *options)).numbers[1] == flags


@pytest.mark.parametrize(
    ("options", "superblock"),
    [(("silent", "sync"), MS_SILENT | MS_SYNCHRONOUS), (("lowerdir=" + "/x" * 128, "private"), MS_PRIVATE)],
)
def test_what_fsconfig_does_not_take_goes_to_mount_2(options: tuple[str, ...], superblock: int) -> None:
    op = only(entry("/x", "overlay", "o", *options))
    assert op.numbers[1:] == (ops.MOUNT_CLASSIC, superblock)


def test_value_that_fsconfig_just_takes_goes_there() -> None:
    assert only(entry("/x", "overlay", "o", "lowerdir=" + "x" * 255)).numbers[1] == 0


def test_remount_has_no_source_and_says_what_is_cleared() -> None:
    op = only(entry("/x", "ext4", "/d", "remount", "rw", "nosuid", "data=journal"))
    assert pairs(op) == [("rw", ""), ("data", "journal")]
    assert op.numbers == (NOSUID | RDONLY << 32, ops.MOUNT_REMOUNT, 0)


@pytest.mark.parametrize(
    ("kind", "host", "namespace"),
    [("sysfs", "/sys", "network"), ("proc", "/proc", "pid"), ("mqueue", "/dev/mqueue", "ipc")],
)
def test_file_system_of_the_hosts_namespace_is_bound_in_a_user_namespace(
    kind: str, host: str, namespace: str
) -> None:
    kinds = "mount pid network ipc user".replace(f" {namespace}", "")
    target = {"proc": "/proc"}.get(kind, "/x")
    (op,) = in_user_namespace(entry(target, kind, kind, "ro", "nosuid"), kinds=kinds)
    assert (op.name, op.texts) == ("bind", (host, target))
    assert op.numbers[0] == op.numbers[1] >> 32 == RDONLY | NOSUID
    (own,) = in_user_namespace(entry(target, kind, kind))
    assert own.name == "mount"


@pytest.mark.parametrize(
    ("gid", "kinds", "kept"),
    [
        ("1", "mount user", True),
        ("6", "mount user", True),
        ("0", "mount user", False),
        ("7", "mount user", False),
        ("7", "mount", True),
        ("7", "mount user=/proc/1/ns/user", True),
    ],
)
def test_group_of_devpts_is_left_out_where_it_is_not_mapped(gid: str, kinds: str, *, kept: bool) -> None:
    (op,) = planned(entry("/x", "devpts", "d", f"gid={gid}", "mode=620"), kinds=kinds, **MAPS)
    assert (("gid", gid) in pairs(op)) == kept
    assert ("mode", "620") in pairs(op)


# ---- read-only at the end ----


@pytest.mark.parametrize(
    ("mount", "late"),
    [
        (entry("/x", "tmpfs", "t", "ro"), True),
        (entry("/x", "tmpfs", "t", "rro"), True),
        (entry("/x", "tmpfs", "t", "ro", "rw"), False),
        (entry("/x", "tmpfs", "t", "remount", "ro"), False),
        (entry("/dev/", "devtmpfs", "d", "ro"), True),
        (entry("/dev", "bind", "/dev", "rbind", "ro"), True),
        (entry("/x", "bind", "/s", "rbind", "ro"), False),
        (entry("/x", "sysfs", "s", "ro"), False),
    ],
)
def test_what_is_filled_first_is_made_read_only_last(mount: dict[str, Any], *, late: bool) -> None:
    at_once = only(mount).numbers[0] & RDONLY
    last = list(read_only_ops(read_mounts(spec_of(mount))))
    if late:
        assert not at_once
        (op,) = last
        assert (op.name, op.texts[1]) == ("bind", mount["destination"])
        assert op.numbers == (RDONLY, ops.MOUNT_REMOUNT, 0)
    else:
        assert not last


# ---- the root ----


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", (MS_SLAVE, 0)),
        ("slave", (MS_SLAVE, 0)),
        ("rslave", (MS_SLAVE, 0)),
        ("private", (MS_PRIVATE, 0)),
        ("rprivate", (MS_PRIVATE, 0)),
        ("shared", (MS_SLAVE, MS_SHARED)),
        ("rshared", (MS_SLAVE, MS_SHARED)),
        ("unbindable", (MS_PRIVATE, MS_UNBINDABLE)),
        ("runbindable", (MS_PRIVATE, MS_UNBINDABLE)),
    ],
)
def test_root_is_never_shared_while_the_container_is_made(word: str, expected: tuple[int, int]) -> None:
    assert root_propagation({"rootfsPropagation": word}) == expected


def test_propagation_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        root_propagation({"rootfsPropagation": "sideways"})
    assert caught.value.field == "linux.rootfsPropagation"


# ---- cgroups ----


def cgroups(groups: Groups, *options: str, private: bool) -> list[Op]:
    spec = spec_of(entry("/cg", "cgroup", "cgroup", *options))
    return ops_of(spec, groups, private=private)


def test_cgroup_of_v2_is_a_new_mount_or_the_groups_directory() -> None:
    groups = Groups(directories=("/sys/fs/cgroup/c",))
    (own,) = cgroups(groups, "ro", "nosuid", private=True)
    assert (own.texts, own.numbers[0]) == (("cgroup2", "/cg"), RDONLY | NOSUID)
    (bound,) = cgroups(groups, "ro", private=False)
    assert (bound.texts, bound.numbers[0]) == (("/sys/fs/cgroup/c", "/cg"), RDONLY)


def test_cgroups_of_v1_are_made_read_only_when_all_are_there() -> None:
    groups = Groups(hierarchies={"pids": "/h/pids/c", "cpu,cpuacct": "/h/cpu/c"})
    order = [(op.name, op.texts[1]) for op in cgroups(groups, "ro", private=True)]
    assert order == [
        ("mount", "/cg"),
        ("mount", "/cg/pids"),
        ("mount", "/cg/cpu,cpuacct"),
        ("readonly", "/cg"),
    ]
    bound = [op.texts for op in cgroups(groups, private=False) if op.name == "bind"]
    assert bound == [("/h/pids/c", "/cg/pids"), ("/h/cpu/c", "/cg/cpu,cpuacct")]
