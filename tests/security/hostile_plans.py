"""Feeds plans of random ops to the real helper, as an ordinary user in user namespaces: see test_hostile_plans.py.

Every op is one that the plan's maker could make, with words and numbers that no config.json should have. The helper
has to end by itself and to say how it went; a first process that dies of anything but its program is a crash.

Usage: hostile_plans.py DIRECTORY EXAMPLES
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from containerlib._sys import helper, native
from containerlib._sys.wire import Kind, Launch, Message, Stage, receive, send
from containerlib.errors import Error
from containerlib.runtime.plan import ops
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.plan.roots import OverlayRoot
from containerlib.spec.layer import Layer

PATIENCE = 20.0
CLONE_NEWUSER = 0x10000000
NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000)
ALLOW = b"\x06\0\0\0\0\0\xff\x7f"
CALM_LIMITS = (4, 6, 7, 8, 11, 12)  # those that end no process

DIRECTORY = sys.argv[1]
WORDS = (
    *(
        "",
        ".",
        "..",
        "/",
        "//",
        "/..",
        "a",
        "a/b/../../..",
        "/etc/passwd",
        "/proc",
        "/proc/self",
        "/proc/self/root",
    ),
    *(
        "/proc/self/fd/0",
        "/proc/self/fd/3",
        "/proc/self/fd/4/..",
        "/proc/self/exe",
        "/proc/1/root",
        "/dev/null",
    ),
    *(
        "/proc/self/ns/mnt",
        "/proc/self/ns/user",
        "/proc/self/ns/pid",
        "/sys",
        "/nowhere/at/all",
        "é\udcff",
        " ",
        "%s%n",
    ),
    *(
        "tmpfs",
        "proc",
        "sysfs",
        "overlay",
        "devpts",
        "size",
        "ro",
        "source",
        "lo",
        "eth%d",
        "uid_map",
        "setgroups",
    ),
    *("x" * 255, "x" * 256, "/" + "x/" * 2047, "x" * 4096, "/" * 5000, "../" * 2000),
    *(
        "0 0 1\n",
        "0 4294967295 1\n",
        "0 0 4294967295\n" * 400,
        f"0 {os.getuid()} 1\n",
        "kernel/hostname",
        "\x01\x01",
    ),
    *(f"{DIRECTORY}/root", f"{DIRECTORY}/root/a", f"{DIRECTORY}/missing/x", f"{DIRECTORY}/root/loop/loop"),
)
NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    64,
    255,
    256,
    4096,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**63,
    2**64 - 1,
    -1,
)

words = st.sampled_from(WORDS)
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**64), 2**64 - 1))
maps = st.sampled_from(["", "0 0 1\n", "0 4294967295 1\n", "0 0 4294967295\n" * 400, "x", "\0" * 9])
lists = st.lists(words, max_size=6)
data = st.one_of(st.binary(max_size=64), st.sampled_from([b"", b"\xff" * 4096, bytes(128)]))
programs = st.sampled_from(
    ["/bin/true", "/bin/false", "true", "/nowhere", "", "/proc/self/exe", "/", "x" * 5000]
)


def op(name: str, **more: Any) -> st.SearchStrategy[Op]:
    """An op of that kind with any numbers and texts: also those that no function of ops.py would give it."""
    kind = getattr(native.lib, f"CLIB_OP_{name}")
    rest = {"strings": st.just(()), "data": st.just(b""), "size": st.none(), **more}
    three, two = st.tuples(numbers, numbers, numbers), st.tuples(words, words)
    return st.builds(Op, st.just(kind), st.just(name), three, two, **rest)


def mounts() -> st.SearchStrategy[Op]:
    options = st.lists(st.tuples(words, words), max_size=4)
    flags = st.integers(0, 8191)

    def make(names: tuple[str, str], pairs: Any, attributes: int, flag: int, propagation: int) -> Op:
        return ops.mount(
            *names, "", options=pairs, attributes=attributes, flags=flag, propagation=propagation
        )

    return st.builds(make, st.tuples(words, words), options, st.integers(0, 2**32 - 1), flags, numbers)


def overlays() -> st.SearchStrategy[Op]:
    upper, ids = st.one_of(st.none(), words), st.integers(0, 2**32 - 1)
    return st.builds(
        lambda target, lowers, places, ways, owner: ops.root_overlay(
            target, OverlayRoot(tuple(lowers), *places, *ways), owner=owner
        ),
        words,
        st.lists(st.one_of(words, st.builds(Layer, words, st.just("erofs"))), max_size=4),
        st.tuples(upper, words),
        st.tuples(st.booleans(), st.booleans(), st.booleans()),
        st.tuples(ids, ids),
    )


def hooks() -> st.SearchStrategy[Op]:
    states = st.sampled_from(["{}", "\x01", "", "\x01" * 500, "x" * 100_000])
    return st.builds(
        lambda path, args, env, state: ops.hook(path, ["hook", *args], env, state, "", timeout=1.0),
        programs,
        lists,
        lists,
        states,
    )


def trees() -> st.SearchStrategy[Op]:
    return st.builds(
        lambda source, flags, mapped, uid, gid: ops.tree(
            source, flags, "", mapped=mapped, uid_map=uid, gid_map=gid
        ),
        words,
        numbers,
        st.booleans(),
        st.one_of(st.none(), maps),
        maps,
    )


def blobs(name: str) -> st.SearchStrategy[Op]:
    return op(name, data=data)


SHIMS = st.one_of(
    op("ID_MAP"),
    op("LINK"),
    op("CGROUP_JOIN"),
    trees(),
    hooks(),
    st.builds(lambda path, args: ops.command([path, *args], "", timeout=1.0), programs, lists),
    st.builds(ops.listener, words, st.sampled_from(["{}", "\x01", "x" * 70_000])),
    blobs("TREE"),
    op("NAMESPACE"),
    op("LEND"),
    op("BORROW"),
    blobs("SECRET"),
    st.builds(lambda part, count, size: ops.memory(part, count, "", size=size), words, numbers, numbers),
    overlays(),
    st.builds(ops.root_fuse, programs, words, words),
    op("PIVOT"),
    op("EXEC", strings=st.just(("a",)), size=st.just(1)),
)
OWN = st.one_of(
    hooks(),
    mounts(),
    overlays(),
    *(
        op(n)
        for n in (
            "UNSHARE",
            "SETNS",
            "OOM_SCORE_ADJ",
            "TIME_OFFSETS",
            "LOOPBACK_UP",
            "PROPAGATION",
            "ROOT_BIND",
        )
    ),
    *(
        op(n)
        for n in (
            "BIND",
            "MKNOD",
            "SYMLINK",
            "CONSOLE",
            "MASK",
            "READONLY",
            "SYSCTL",
            "PIVOT",
            "CHDIR",
            "JOIN",
        )
    ),
    *(
        op(n)
        for n in (
            "HOSTNAME",
            "DOMAINNAME",
            "SESSION_KEYRING",
            "IO_PRIORITY",
            "LABEL",
            "UMASK",
            "NO_NEW_PRIVS",
        )
    ),
    *(op(n) for n in ("CAP_BOUNDING", "REBIRTH", "CGROUP_JOIN", "DESCRIPTORS")),
    *(blobs(n) for n in ("USER", "CAPABILITIES", "SCHEDULER", "CPU_AFFINITY", "MEMORY_POLICY")),
    st.builds(
        lambda n, soft, hard: ops.rlimit("", n, soft, hard), st.sampled_from(CALM_LIMITS), numbers, numbers
    ),
    st.builds(lambda flags: ops.seccomp(ALLOW, flags & ~2), numbers),
    st.builds(lambda junk: ops.seccomp(b"\xff" * junk), st.sampled_from([0, 7, 8, 32768])),
    st.builds(ops.personality, st.sampled_from([0, 8, 2**32]), st.just("")),
    st.builds(ops.hold, programs, words),
    st.builds(lambda n: Op(native.lib.CLIB_OP_HANDOVER, "", (n, 0, 0)), numbers),
    st.lists(SHIMS, min_size=1, max_size=4).map(lambda given: ops.handover(*given)),
)
LATER = st.one_of(hooks(), op("OOM_RECORD"), op("CGROUP_REMOVE"), op("CGROUP_KILL"), op("LOG"))


def begin(sound: bool) -> tuple[Op, ...]:
    """What most of a plan's ops need to come as far as to matter."""
    if not sound:
        return ()
    maps = [ops.id_map("setgroups", "deny")]
    maps += [ops.id_map(f"{kind}_map", f"0 {os.getuid()} 1\n") for kind in ("uid", "gid")]
    return (*ops.handover(*maps), ops.user(0, 0, (), keep_groups=True), ops.root_bind(f"{DIRECTORY}/root"))


@st.composite
def plans(draw: Callable[..., Any]) -> Plan:
    before = draw(st.lists(OWN, max_size=12))
    flat = [one for given in before for one in ([given] if isinstance(given, Op) else given)]
    flags = sum(draw(st.sets(st.sampled_from(NAMESPACES)))) | CLONE_NEWUSER
    end = [ops.exec_([draw(programs), *draw(lists)], draw(lists), draw(words))]
    return Plan(
        (*begin(draw(st.booleans())), *flat, *end),
        tuple(draw(st.lists(LATER, max_size=2))),
        flags if draw(st.booleans()) else sum(NAMESPACES) | CLONE_NEWUSER,
        tuple(draw(st.lists(hooks(), max_size=1))),
    )


def feed(plan: Plan, flags: int) -> tuple[list[Message], int]:
    """What the helper says of `plan`, and how it ends."""
    packed = plan.pack()
    memory = os.memfd_create("plan", os.MFD_CLOEXEC)
    os.write(memory, packed)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    child = native.Child()
    heard = []
    with ours:
        with theirs:
            send(ours, Message(Kind.LAUNCH, (Launch.PLAN | flags, 24, 80, 0)), [memory])
            os.close(memory)
            child.spawn(helper._executable.fds()[0], theirs.fileno(), helper._executable.fds()[1])
        while select.select([ours], [], [], PATIENCE)[0]:
            try:
                received = receive(ours)
            except ConnectionResetError:
                break
            if received is None:
                break
            for fd in received[1]:
                os.close(fd)
            heard.append(received[0])
            if received[0].kind == Kind.CREATED:
                send(ours, Message(Kind.START))
        else:
            child.signal(9)
            raise AssertionError(f"it hangs after {heard}")
    status = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    os.close(child.pidfd)
    assert status is not None
    return heard, status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


def main(examples: int) -> None:
    reached: dict[str, int] = {}

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(plans(), st.sampled_from([0, int(Launch.TERMINAL)]))
    def check(plan: Plan, flags: int) -> None:
        try:
            plan.pack()
        except Error:  # and no other
            return
        heard, status = feed(plan, flags)
        note(f"{[op.name for op in plan.ops]} {heard} {status}")
        assert status == 0, f"the helper ended with {status}"
        assert heard, "the helper said nothing"
        end = heard[-1]
        assert end.kind in (Kind.FAILED, Kind.EXITED)
        name = "the program's end"
        if end.kind == Kind.FAILED:
            assert end.value[0] != Stage.LOST, "the first process crashed"
            index = end.value[2]
            name = plan.ops[index].name if 0 <= index < len(plan.ops) else Stage(end.value[0]).name.lower()
        reached[name] = reached.get(name, 0) + 1

    check()
    for name, count in sorted(reached.items(), key=lambda item: -item[1]):
        print(count, name)


main(int(sys.argv[2]))
