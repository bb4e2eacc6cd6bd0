"""Helpers that were started are known until they are reaped, and not a moment longer."""

from __future__ import annotations

import socket

import pytest

from containerlib._sys import helper

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: starts the helper")


def test_helper_without_a_caller_ends_and_is_forgotten_when_it_is_reaped() -> None:
    known = set(helper._helpers._known)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        started = helper.spawn_helper(theirs.fileno(), "subject")
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
            started = helper.spawn_helper(theirs.fileno(), "other")
        ours.close()
        helper.reap("other")
    assert started.pidfd == -1
