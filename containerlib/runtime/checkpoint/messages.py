"""CRIU's messages, as far as they are used here: each request and answer is one datagram.

    request(DUMP, opts={"pid": 17, "images_dir_fd": 5})
    answer = read_answer(data)
    ACCEPTED                                            # to a notification

Spec: criu images/rpc.proto, criu.org/RPC
"""

from __future__ import annotations

from containerlib.runtime.checkpoint.protobuf import FLAG, NUMBER, TEXT, Field, Table, decode, encode
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "ACCEPTED",
    "CGROUP_MODES",
    "DUMP",
    "FEATURE_CHECK",
    "NFTABLES",
    "NOTIFY",
    "NO_LOCK",
    "PRE_DUMP",
    "REFUSED",
    "RESTORE",
    "VERSION",
    "Answer",
    "read_answer",
    "read_request",
    "request",
]

DUMP, RESTORE, CHECK, NOTIFY, FEATURE_CHECK, VERSION, PRE_DUMP = 1, 2, 3, 6, 9, 10, 13
"""Types of requests; PRE_DUMP is the one after which the conversation is over (SINGLE_PRE_DUMP)."""
CGROUP_MODES = {"ignore": 0, "none": 1, "props": 2, "soft": 3, "full": 4, "strict": 5}
NFTABLES, NO_LOCK = 2, 3
"""Of network_lock: how packets of connections that go on are kept away meanwhile."""

_PAGE_SERVER: Table = {"address": Field(1, TEXT), "port": Field(2, NUMBER), "pid": Field(3, NUMBER)}
_PAIR: Table = {"key": Field(1, TEXT), "val": Field(2, TEXT)}
_CGROUP_ROOT: Table = {"ctrl": Field(1, TEXT), "path": Field(2, TEXT)}
_INHERITED: Table = {"key": Field(1, TEXT), "fd": Field(2, NUMBER)}
_JOINED: Table = {"ns": Field(1, TEXT), "ns_file": Field(2, TEXT)}
_OPTIONS: Table = {
    "images_dir_fd": Field(1, NUMBER),
    "pid": Field(2, NUMBER),
    "leave_running": Field(3, FLAG),
    "ext_unix_sk": Field(4, FLAG),
    "tcp_established": Field(5, FLAG),
    "evasive_devices": Field(6, FLAG),
    "shell_job": Field(7, FLAG),
    "file_locks": Field(8, FLAG),
    "log_level": Field(9, NUMBER),
    "log_file": Field(10, TEXT),
    "ps": Field(11, _PAGE_SERVER),
    "notify_scripts": Field(12, FLAG),
    "root": Field(13, TEXT),
    "parent_img": Field(14, TEXT),
    "track_mem": Field(15, FLAG),
    "auto_dedup": Field(16, FLAG),
    "work_dir_fd": Field(17, NUMBER),
    "link_remap": Field(18, FLAG),
    "ext_mnt": Field(23, _PAIR, repeated=True),
    "cg_root": Field(25, _CGROUP_ROOT, repeated=True),
    "rst_sibling": Field(26, FLAG),
    "inherit_fd": Field(27, _INHERITED, repeated=True),
    "manage_cgroups_mode": Field(34, NUMBER),
    "ghost_limit": Field(35, NUMBER),
    "external": Field(37, TEXT, repeated=True),
    "empty_ns": Field(38, NUMBER),
    "join_ns": Field(39, _JOINED, repeated=True),
    "freeze_cgroup": Field(44, TEXT),
    "tcp_skip_in_flight": Field(46, FLAG),
    "lazy_pages": Field(48, FLAG),
    "orphan_pts_master": Field(50, FLAG),
    "tcp_close": Field(52, FLAG),
    "lsm_profile": Field(53, TEXT),
    "lsm_mount_context": Field(63, TEXT),
    "network_lock": Field(64, NUMBER),
    "images_dir": Field(68, TEXT),
}
_FEATURES: Table = {"mem_track": Field(1, FLAG), "lazy_pages": Field(2, FLAG), "pidfd_store": Field(3, FLAG)}
_REQUEST: Table = {
    "type": Field(1, NUMBER),
    "opts": Field(2, _OPTIONS),
    "notify_success": Field(3, FLAG),
    "keep_open": Field(4, FLAG),
    "features": Field(5, _FEATURES),
}
_VERSION: Table = {
    "major_number": Field(1, NUMBER),
    "minor_number": Field(2, NUMBER),
    "gitid": Field(3, TEXT),
    "sublevel": Field(4, NUMBER),
}
_ANSWER: Table = {
    "type": Field(1, NUMBER),
    "success": Field(2, FLAG),
    "restore": Field(4, {"pid": Field(1, NUMBER)}),
    "notify": Field(5, {"script": Field(1, TEXT), "pid": Field(2, NUMBER)}),
    "cr_errno": Field(7, NUMBER),
    "features": Field(8, _FEATURES),
    "cr_errmsg": Field(9, TEXT),
    "version": Field(10, _VERSION),
}


@frozen
class Answer:
    """What CRIU says: how a request went, or with a `script` that it has come to that point and waits."""

    kind: int
    success: bool
    script: str = ""
    errno: int = 0
    message: str = ""
    features: Mapping[str, bool] = {}
    version: tuple[int, int, int] = (0, 0, 0)


def request(kind: int, **values: Any) -> bytes:
    """A request; options that are None are left out."""
    return encode(_REQUEST, {"type": kind, **values})


ACCEPTED = request(NOTIFY, notify_success=True)
REFUSED = request(NOTIFY, notify_success=False)


def read_request(data: bytes) -> dict[str, Any]:
    """What a request says. Raises: InvalidArgument."""
    return decode(_REQUEST, data)


def read_answer(data: bytes) -> Answer:
    """Raises: InvalidArgument for what is none."""
    values = decode(_ANSWER, data)
    version = values.get("version", {})
    return Answer(
        values.get("type", 0),
        values.get("success", False),
        values.get("notify", {}).get("script", ""),
        values.get("cr_errno", 0),
        values.get("cr_errmsg", ""),
        values.get("features", {}),
        (version.get("major_number", 0), version.get("minor_number", 0), version.get("sublevel", 0)),
    )
