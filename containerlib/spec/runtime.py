"""The runtime-spec's config.json as types: a dict stays a dict, mypy knows its keys.

Spec: runtime-spec config.md and config-linux.md. Only the properties that a layer above writes or reads are listed;
the rest pass through.
"""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = ["Capabilities", "Linux", "Mount", "Process", "Root", "Spec", "User"]


class User(TypedDict, total=False):
    uid: int
    gid: int
    umask: int
    additionalGids: list[int]


class Capabilities(TypedDict, total=False):
    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class Rlimit(TypedDict):
    type: str
    soft: int
    hard: int


class Process(TypedDict, total=False):
    terminal: bool
    consoleSize: dict[str, int]
    user: User
    args: list[str]
    env: list[str]
    cwd: str
    capabilities: Capabilities
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: int
    apparmorProfile: str


class Root(TypedDict, total=False):
    path: str
    readonly: bool


class Mount(TypedDict, total=False):
    destination: str
    type: str
    source: str
    options: list[str]


class Namespace(TypedDict, total=False):
    type: str
    path: str


class Device(TypedDict, total=False):
    path: str
    type: str
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int


class Linux(TypedDict, total=False):
    namespaces: list[Namespace]
    devices: list[Device]
    cgroupsPath: str
    resources: dict[str, Any]
    seccomp: dict[str, Any]
    sysctl: dict[str, str]
    rootfsPropagation: str
    maskedPaths: list[str]
    readonlyPaths: list[str]


class Spec(TypedDict, total=False):
    ociVersion: str
    process: Process
    root: Root
    hostname: str
    domainname: str
    mounts: list[Mount]
    annotations: dict[str, str]
    linux: Linux
