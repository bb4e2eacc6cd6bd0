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


def test_helper_without_a_caller_ends_and_is_forgotten_when_it_is_reaped() -> None:
    known = set(helper._helpers._known)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        started = helper.Helper("subject")
        started.start(theirs.fileno())
    assert helper._helpers._known - known == {started}
    ours.close()
    assert started.reap(patience=10.0)
    assert set(helper._helpers._known) <= known
    assert started.pidfd == -1
    assert started.reap(), "once more is fine"


def test_helper_that_ended_is_reaped_when_the_next_one_starts() -> None:
    for _ in range(2):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            started = helper.Helper("other")
            started.start(theirs.fileno())
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
