"""The device rules of a cgroup v2 group: an eBPF program, attached to its directory and exchanged for another.

    programs = DevicePrograms()
    programs.attach(directory, rules)
    with programs.changed(directory, rules):          # an exception brings the old one back
        ...

One takes the place of the other at once (BPF_F_REPLACE). Those that others have attached to the group stay, systemd's
and those of who hands out GPUs: an access is allowed where all of them allow it.

Spec: linux/bpf.h; kernel admin-guide/cgroup-v2.rst#device-controller
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from containerlib._sys import native
from containerlib.runtime.cgroups.device_filter import device_filter
from containerlib.runtime.cgroups.files import stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["DevicePrograms"]


class DevicePrograms:
    """eBPF programs on the directories of groups. A fake keeps them in a dictionary."""

    def attach(self, directory: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """To a group that has none of ours yet. Raises: StageError; InvalidArgument."""
        with self.changed(directory, rules):
            pass

    @contextlib.contextmanager
    def changed(self, directory: str, rules: Sequence[Mapping[str, Any]]) -> Iterator[None]:
        """Raises: StageError; InvalidArgument."""
        program = device_filter(rules)
        with contextlib.ExitStack() as stack:
            with stage(f"device rules of {directory}"):
                group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, group)
                if (old := native.cgroup_device_find(group)) is not None:
                    stack.callback(os.close, old)
                new = native.cgroup_device_load(program)
                stack.callback(os.close, new)
                native.cgroup_device_attach(group, new, old)
            try:
                yield
            except BaseException as error:
                try:
                    _bring_back(group, old, new)
                except OSError as cleanup:
                    error.add_note(f"the device rules of {directory} could not be brought back: {cleanup}")
                raise


def _bring_back(group: int, old: int | None, new: int) -> None:
    if old is None:
        native.cgroup_device_detach(group, new)
    else:
        native.cgroup_device_attach(group, old, new)
