"""Labels: a module that is off refuses them, and new file systems take one where they can."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from containerlib.errors import Unsupported
from containerlib.runtime import BindRoot
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.container import container_plan
from containerlib.runtime.plan.groups import Groups
from containerlib.runtime.plan.labels import labelled_mounts, require_labels
from containerlib.runtime.plan.op import Op
from containerlib.spec.runtime import Linux, Process, Spec

PROFILE = cast(Process, {"apparmorProfile": "p"})
LABEL = cast(Process, {"selinuxLabel": "a:b:c:s0"})
NOTHING = cast(Process, {"apparmorProfile": "", "selinuxLabel": ""})


def enable(sys: Path, path: str, text: str) -> None:
    sys.joinpath(path).parent.mkdir(parents=True)
    sys.joinpath(path).write_text(text)


@pytest.mark.parametrize("text", [None, "N\n"])
def test_profile_without_apparmor_is_refused_with_the_way_out(tmp_path: Path, text: str | None) -> None:
    if text:
        enable(tmp_path, "module/apparmor/parameters/enabled", text)
    with pytest.raises(Unsupported, match=r"process\.apparmorProfile p: AppArmor is not active.*apparmor=1"):
        require_labels(PROFILE, {}, sys=str(tmp_path))


def test_label_without_selinux_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        Unsupported, match=r"process\.selinuxLabel a:b:c:s0: SELinux is not active.*selinux=1"
    ):
        require_labels(LABEL, {}, sys=str(tmp_path))
    with pytest.raises(Unsupported, match=r"linux\.mountLabel l: SELinux is not active"):
        require_labels(NOTHING, {"mountLabel": "l"}, sys=str(tmp_path))


def test_labels_of_modules_that_are_on_are_accepted(tmp_path: Path) -> None:
    enable(tmp_path, "module/apparmor/parameters/enabled", "Y\n")
    enable(tmp_path, "fs/selinux/enforce", "1")
    require_labels(PROFILE, {"mountLabel": "l"}, sys=str(tmp_path))
    require_labels(LABEL, {}, sys=str(tmp_path))


def test_no_label_needs_no_module(tmp_path: Path) -> None:
    require_labels(NOTHING, {"mountLabel": ""}, sys=str(tmp_path))


LABEL_OF_MOUNTS: Linux = {"mountLabel": "a:b:c:s0:c1,c2"}


@pytest.mark.parametrize(
    ("op", "added"),
    [
        (ops.mount("tmpfs", "/t", "o", options=[("mode", "755")]), ("context", "a:b:c:s0:c1,c2")),
        (ops.mount("devpts", "/t", "o"), ("context", "a:b:c:s0:c1,c2")),
        (ops.mount("tmpfs", "/t", "o", flags=ops.MOUNT_CLASSIC), ("context", '"a:b:c:s0:c1,c2"')),
        (ops.mount("tmpfs", "/t", "o", flags=ops.MOUNT_REMOUNT), ()),
        (ops.memory("/", 1, "o", size=4096), ("context", "a:b:c:s0:c1,c2")),
        (ops.mount("proc", "/t", "o"), ()),
        (ops.mount("sysfs", "/t", "o"), ()),
        (ops.mount("cgroup2", "/t", "o"), ()),
        (ops.bind("/s", "/t", "o"), ()),
    ],
)
def test_mount_label_is_an_option_of_new_file_systems(op: Op, added: tuple[str, ...]) -> None:
    (labelled,) = labelled_mounts([op], LABEL_OF_MOUNTS)
    assert labelled.strings == (*op.strings, *added)
    if added:
        assert labelled.size == (op.size or 0) + 1
    assert list(labelled_mounts([op], {})) == [op]


def test_mount_label_is_in_the_plan_of_a_container() -> None:
    spec = cast(
        Spec,
        {
            "process": {"args": ["true"]},
            "mounts": [{"destination": "/t", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"namespaces": [{"type": "mount"}], **LABEL_OF_MOUNTS},
        },
    )
    plan = container_plan(spec, "/r", BindRoot("/r"), Groups(), container_id="c")
    assert ["context" in op.strings for op in plan.before if op.texts[1] == "/t"] == [True]
