"""What CRIU is asked for. Pure."""

from __future__ import annotations

from containerlib._sys.native import lib
from containerlib.runtime.checkpoint.messages import (
    CGROUP_MODES,
    DUMP,
    NFTABLES,
    NO_LOCK,
    PRE_DUMP,
    RESTORE,
    request,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from containerlib.runtime.checkpoint.options import Options

__all__ = ["DUMP_LOG", "PAGES_LOG", "RESTORE_LOG", "dump_request", "restore_request"]

DUMP_LOG, RESTORE_LOG, PAGES_LOG = "dump.log", "restore.log", "pages.log"
_NETWORK = "extRootNetNS"
"""What the network namespace is called on both sides; runc and crun call it the same."""
_CLONE_NEWNET = 0x40000000
_DEBUG = 4
_GHOST_BYTES = 64 << 20
"""Of a file that has no name any more, which becomes a part of the images; CRIU's own limit is 1 MiB."""


def dump_request(
    pid: int,
    options: Options,
    *,
    images: int,
    work: int,
    outside: Mapping[str, str],
    network: int | None,
    freezer: str | None = None,
    pre: bool = False,
) -> bytes:
    """For a dump of the tree of process `pid`; `pre`: of its memory alone, as a parent of a dump to come.

    `images` and `work`: descriptors of directories. `outside`: mountpoints, and what they are called. `network`: the
    namespace's number, None where that is the host's, or CRIU's to make. `freezer`: the group of a container that is
    frozen.
    """
    given = {
        **_of_both(options, DUMP_LOG),
        "images_dir_fd": images,
        "work_dir_fd": work,
        "pid": pid,
        "leave_running": options.leave_running,
        "freeze_cgroup": freezer,
        "link_remap": True,
        "ghost_limit": _GHOST_BYTES,
        "parent_img": options.parent,
        "track_mem": True if pre or options.parent is not None else None,
        "ps": None if options.page_server is None else _page_server(*options.page_server),
        "external": [] if network is None else [f"net[{network}]:{_NETWORK}"],
        "ext_mnt": [{"key": path, "val": name} for path, name in outside.items()],
    }
    return request(PRE_DUMP if pre else DUMP, opts=given)


def restore_request(
    options: Options,
    *,
    root: str,
    sources: Mapping[str, str],
    streams: Sequence[str | None],
    network: bool,
    cgroup_roots: Sequence[tuple[str | None, str]] = (),
) -> bytes:
    """For a restore by who has the descriptors of `clib_restore_fd`.

    `root`: where the container's root is mounted. `sources`: of mounts, by what they were called at the dump.
    `streams`: what 0, 1 and 2 were, None for one that is not given. `network`: there is a namespace for it.
    """
    inherited = {name: lib.CLIB_RESTORE_STDIN + i for i, name in enumerate(streams) if name is not None}
    if network:
        inherited[_NETWORK] = lib.CLIB_RESTORE_NETWORK
    given = {
        **_of_both(options, RESTORE_LOG),
        "images_dir_fd": lib.CLIB_RESTORE_IMAGES,
        "work_dir_fd": lib.CLIB_RESTORE_WORK,
        "root": root,
        "rst_sibling": True,
        "evasive_devices": True,
        "inherit_fd": [{"key": key, "fd": fd} for key, fd in inherited.items()],
        "ext_mnt": [{"key": key, "val": source} for key, source in sources.items()],
        "cg_root": [{"ctrl": controller, "path": path} for controller, path in cgroup_roots],
        "lsm_profile": options.lsm_profile,
        "lsm_mount_context": options.lsm_mount_context,
    }
    return request(RESTORE, opts=given)


def _page_server(address: str, port: int) -> dict[str, Any]:
    return {"address": address, "port": port}


def _of_both(options: Options, log: str) -> dict[str, Any]:
    return {
        "log_level": _DEBUG,
        "log_file": log,
        "notify_scripts": True,
        "orphan_pts_master": True,
        "network_lock": NFTABLES if options.tcp == "established" else NO_LOCK,
        "tcp_established": options.tcp == "established",
        "tcp_skip_in_flight": options.tcp_skip_in_flight,
        "tcp_close": options.tcp == "close",
        "ext_unix_sk": options.external_unix_sockets,
        "file_locks": options.file_locks,
        "shell_job": options.shell_job,
        "manage_cgroups_mode": CGROUP_MODES[options.cgroups],
        "empty_ns": _CLONE_NEWNET if options.network == "empty" else None,
        "auto_dedup": options.auto_dedup,
        "lazy_pages": options.lazy_pages,
    }
