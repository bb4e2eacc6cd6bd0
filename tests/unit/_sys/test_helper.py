"""Helpers that were started are known until they are reaped, and not a moment longer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from containerlib._sys import helper

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: starts the helper")


def start(subject: str) -> tuple[helper.Helper, socket.socket]:
    """A helper that ends when the socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        started = helper.Helper(subject)
        started.start(theirs.fileno())
    return started, ours


def all_known() -> set[helper.Helper]:
    return {*helper._helpers._new, *helper._helpers._watched.values()}


def test_helper_without_a_caller_ends_and_is_forgotten_when_it_is_reaped() -> None:
    known = all_known()
    started, ours = start("subject")
    assert all_known() - known == {started}
    ours.close()
    assert started.reap(patience=10.0)
    assert all_known() <= known
    assert started.pidfd == -1
    assert started.reap(), "once more is fine"


def test_helper_that_ended_is_reaped_when_the_next_one_starts() -> None:
    for _ in range(2):
        started, ours = start("other")
        ours.close()
        helper.reap("other")
    assert started.pidfd == -1


def test_helper_that_is_being_started_shows_no_descriptor_before_there_is_one() -> None:
    """The kernel says its number sooner: another thread would take the helper for one that has ended."""

    def see(starting: helper.Helper) -> None:
        while starting.pidfd < 0:
            pass
        os.fstat(starting.pidfd)

    with ThreadPoolExecutor(1) as pool:
        for _ in range(50):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                starting = helper.Helper("seen")
                seeing = pool.submit(see, starting)
                starting.start(theirs.fileno())
                seeing.result()
            assert starting.reap(patience=10.0)


def test_helpers_of_a_process_that_was_forked_are_still_reaped_by_it() -> None:
    """The child has copies of their descriptors, and closes them as it likes."""
    code = """
import os, socket
from containerlib._sys import helper

def start():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        started = helper.Helper(None)
        started.start(theirs.fileno())
    return started, ours

first, ours = start()
helper.reap("nobody")
to_child, from_parent = os.pipe()
to_parent, from_child = os.pipe()
if os.fork() == 0:
    ours.close()
    os.read(to_child, 1)
    helper.reap("nobody")
    print(first.pidfd, flush=True)
    second, own = start()
    own.close()
    os.waitid(os.P_PIDFD, second.pidfd, os.WEXITED | os.WNOWAIT)
    helper.reap("nobody")
    print(second.pidfd, flush=True)
    os.write(from_child, b".")
    os.read(to_child, 1)
    os._exit(0)
ours.close()
os.waitid(os.P_PIDFD, first.pidfd, os.WEXITED | os.WNOWAIT)
os.write(from_parent, b".")
os.read(to_parent, 1)
helper.reap("nobody")
print(first.pidfd, helper._helpers._epoll.poll(0))
os.write(from_parent, b".")
os.wait()
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "-1\n-1\n-1 []\n", done.stderr


def test_helper_that_is_reaped_while_a_forked_child_lives_is_not_watched_any_more() -> None:
    code = """
import os, socket
from containerlib._sys import helper

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
with theirs:
    started = helper.Helper(None)
    started.start(theirs.fileno())
helper.reap("nobody")
reading, writing = os.pipe()
if os.fork() == 0:
    ours.close()
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
ours.close()
print(started.reap(patience=10.0), helper._helpers._epoll.poll(0))
os.close(writing)
os.wait()
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True []\n", done.stderr


def test_helpers_are_reaped_where_there_is_no_descriptor_to_watch_them_by() -> None:
    code = """
import os, resource, socket
from containerlib._sys import helper

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
started = helper.Helper("subject")
started.start(theirs.fileno())
theirs.close()
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
ours.close()
helper.reap("subject")
print(started.pidfd)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "-1\n", done.stderr


def test_helper_that_was_copied_in_part_is_copied_again() -> None:
    """RLIMIT_FSIZE is of files in memory too: what came of the first try would be executed from then on."""
    code = """
import resource, socket
from containerlib._sys import helper
from containerlib.errors import StageError

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
try:
    helper.Helper(None).start(theirs.fileno())
except StageError as error:
    print(error.stage)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
helper.Helper(None).start(theirs.fileno())
theirs.close()
ours.shutdown(socket.SHUT_WR)
print(len(ours.recv(64)))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "spawn\n40\n", done.stderr


def test_helper_that_cannot_be_started_leaves_no_descriptor() -> None:
    code = """
import os, resource, socket
from containerlib._sys import helper
from containerlib.errors import StageError

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
helper._executable.fds()
before = os.listdir("/proc/self/fd")
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (16, hard))  # room here, and none for the child, which begins at 16
for _ in range(3):
    try:
        helper.Helper(None).start(theirs.fileno())
    except StageError as error:
        print(error.stage)
print(os.listdir("/proc/self/fd") == before)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "spawn\nspawn\nspawn\nTrue\n", done.stderr
