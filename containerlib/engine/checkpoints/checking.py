"""What a checkpoint says, whoever wrote it, held against what one that is made here can say.

Its processes go on with the rights that they had. What is beside them is no way to this host: neither to its files,
nor to programs and other containers of it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, cast

from attrs import asdict

from containerlib.engine.instance import Memo
from containerlib.engine.words_lifetime import checkpoints
from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime import NATIVE
from containerlib.runtime.config.validate import validate
from containerlib.runtime.plan.mount_entry import read_mounts

if TYPE_CHECKING:
    from containerlib.spec.runtime import Spec

__all__ = ["checked_memo", "checked_spec", "require_files", "unfit"]

_MADE = frozenset(("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"))
"""File systems that a recipe can ask for, beside what is bound."""
_BEFORE, _LAST = re.compile(r"-(\d{1,2})"), 100


def require_files(directory: str, images: str) -> None:
    """`directory` has files, and those in the directory `images`: a link, or a device, would be of this host.

    It may build on a directory "IMAGES-N", and that one on another of a lower number: what their link `parent` says.
    Raises: InvalidArgument(field="checkpoint").
    """
    if not os.path.isdir(f"{directory}/{images}"):  # noqa: PTH112 - a str
        raise InvalidArgument(f"it has no directory {images}", field="checkpoint")
    with os.scandir(directory) as entries:
        for entry in entries:
            number = _number(entry.name, images)
            if number is not None and entry.is_dir(follow_symlinks=False):
                _require_images(entry, images, number)
            else:
                _require_file(entry, ".")


def _require_images(directory: os.DirEntry[str], images: str, number: int) -> None:
    with os.scandir(directory.path) as entries:
        for entry in entries:
            if entry.name != "parent" or not entry.is_symlink():
                _require_file(entry, directory.name)
                continue
            target = os.readlink(entry.path)  # noqa: PTH115 - a str
            before = _number(target.removeprefix("../"), images)
            if not target.startswith("../") or before is None or before >= number:
                raise InvalidArgument(
                    f"{directory.name}/parent leads to {target!r}, which is no part of it", field="checkpoint"
                )


def _require_file(entry: os.DirEntry[str], directory: str) -> None:
    if not entry.is_file(follow_symlinks=False):
        raise InvalidArgument(f"{directory}/{entry.name!r} is no file", field="checkpoint")


def _number(name: str, images: str) -> int | None:
    """Of a directory of images, the last one's being the highest; None: it is none."""
    if name == images:
        return _LAST
    found = _BEFORE.fullmatch(name.removeprefix(images))
    return None if found is None or not name.startswith(images) else int(found[1])


def checked_spec(found: object, *, is_own: bool) -> Spec:
    """`found`, decoded JSON, as a configuration that the engine can have written; `is_own`: it has.

    Raises: InvalidArgument; Unsupported.
    """
    validate(found)
    spec = cast("Spec", found)
    for name in ("process", "linux", "mounts"):
        if name not in spec:
            raise InvalidArgument(f"its configuration has no {name}", field="checkpoint")
    for mount in read_mounts(spec):
        if not mount.binds and mount.fstype not in _MADE:
            raise InvalidArgument(f"it mounts {mount.fstype!r} on {mount.target}", field="checkpoint")
    if not is_own:
        _refuse_of_host(spec)
    return spec


def _refuse_of_host(spec: Spec) -> None:
    """The network namespace, that plugins had made, is made anew."""
    linux = spec["linux"]
    joined = [each["type"] for each in linux.get("namespaces") or () if each.get("path")]
    found = {
        "hooks, which are programs of its machine": spec.get("hooks"),
        "network devices of its machine": linux.get("netDevices"),
        "namespaces of its machine": [kind for kind in joined if kind != "network"],
    }
    for what, is_there in found.items():
        if is_there:
            raise Unsupported(f"the checkpoint is from elsewhere, and has {what}")


def checked_memo(text: str) -> Memo:
    """Raises: InvalidArgument where it is damaged; Unsupported for what `unfit` says."""
    try:
        memo = Memo.from_json(text)
        if memo.checkpoints is not None and checkpoints(**asdict(memo.checkpoints)) is None:
            raise ValueError("checkpoints without an interval")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidArgument(f"container.json is damaged: {error!r}", field="checkpoint") from error
    if (reason := unfit(memo)) is not None:
        raise Unsupported(f"the checkpoint cannot be restored: {reason}")
    return memo


def unfit(memo: Memo) -> str | None:
    """Why a container that was made so has no checkpoint; None where it can have one."""
    lacks = {
        f"it is of the runtime {memo.driver}, which has checkpoints of its own": memo.driver != NATIVE,
        "it is of the host's image: what it writes is in memory, and the image is this machine": memo.host,
        f"it has secrets ({', '.join(memo.secrets)}), which are kept nowhere": memo.secrets,
        "it shares namespaces of other containers, which would have to be there again": memo.joined,
        "it has a user namespace": memo.ids,
        "its first process is the engine's, whose program is no file that CRIU could open again: leave init() "
        "out": memo.init,
    }
    return next((reason for reason, is_so in lacks.items() if is_so), None)
