"""Waiting for a container's port, and for what answers there."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

SERVES = "mkdir -p /tmp/www; echo well >/tmp/www/health; echo up; exec httpd -f -p {address}8080 -h /tmp/www"


def namespaces() -> set[str]:
    """The network namespaces that this process's threads are in."""
    return {str((thread / "ns/net").readlink()) for thread in Path("/proc/self/task").iterdir()}


def test_wait_for_log_counts_lines_of_a_regular_expression(box: cl.ContainerRecipe) -> None:
    """As a database does that starts twice: the program goes on when it is told to."""
    code = "echo ready 1; echo ready now; cat /go; echo ready 22; sleep 1000"
    with box.start("sh", "-c", f"mkfifo /go; {code}") as container:
        container.wait_for(log="ready now", timeout=30.0)
        container.wait_for(log=re.compile(r"^ready \d+$"), timeout=30.0)
        with pytest.raises(cl.Timeout, match=r"2 lines with a match of '\^ready .*' did not come"):
            container.wait_for(log=re.compile(r"^ready \d+$"), count=2, timeout=0.1)
        container.exec("sh", "-c", "echo >/go")
        container.wait_for(log=re.compile(r"^ready \d+$"), count=2, timeout=30.0)
        container.wait_for(log="ready", count=3, timeout=30.0)


def test_wait_for_port_returns_when_it_is_open(box: cl.ContainerRecipe) -> None:
    before = namespaces()
    with box.start("sh", "-c", "sleep 0.3; touch /tmp/open; exec nc -ll -p 5432 -e true") as container:
        container.wait_for(port=5432, timeout=30.0)
        container.exec("test", "-e", "/tmp/open")
    assert namespaces() == before
    assert len(before) == 1


def test_wait_for_port_that_never_opens_times_out_with_the_log(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "echo no server; sleep 1000") as container:
        container.wait_for(log="no server", timeout=30.0)
        with pytest.raises(cl.Timeout, match=r"port 5432 .* within 0\.2 s") as caught:
            container.wait_for(port=5432, timeout=0.2)
    assert caught.value.log_tail == ("no server",)


def test_wait_for_port_of_the_hosts_own_loopback_is_not_the_containers(box: cl.ContainerRecipe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, box.start("sleep", "1000") as container:
        with pytest.raises(cl.Timeout):
            container.wait_for(port=server.getsockname()[1], timeout=0.2)


def test_wait_for_port_of_a_container_on_the_hosts_network_is_the_hosts(box: cl.ContainerRecipe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with box.network("host").start("sleep", "1000") as container:
            container.wait_for(port=server.getsockname()[1], timeout=30.0)


@pytest.mark.parametrize(
    "words",
    [
        {"log": "never"},
        {"port": 5432},
        {"http": "/health", "port": 8080},
        {"exec": ("false",)},
        {"exec": ("sleep", "900")},
    ],
    ids=["log", "port", "http", "exec", "exec that waits"],
)
def test_wait_for_container_that_ends_first_conflicts_with_its_last_lines(
    box: cl.ContainerRecipe, words: dict[str, object]
) -> None:
    with box.start("sh", "-c", "sleep 0.2; echo cannot bind >&2; exit 1") as container:
        with pytest.raises(cl.Conflict, match="cannot bind") as caught:
            container.wait_for(timeout=600.0, **words)  # type: ignore[arg-type]
    assert caught.value.state == "stopped"


def test_wait_for_container_that_ends_while_somebody_else_holds_its_question_conflicts(
    box: cl.ContainerRecipe,
) -> None:
    """On the host's network a port may be another's, who takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with box.network("host").start("sh", "-c", "sleep 0.5; echo gone; exit 1") as container:
            with pytest.raises(cl.Conflict, match="gone"):
                container.wait_for(http="/", port=server.getsockname()[1], timeout=3600.0)


@pytest.mark.parametrize("address", ["", "[::1]:"])
def test_wait_for_http_returns_when_it_answers_well(box: cl.ContainerRecipe, address: str) -> None:
    if address and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this kernel has no IPv6")
    with box.start("sh", "-c", SERVES.format(address=address)) as container:
        container.wait_for(http="/health", port=8080, timeout=30.0)


def test_wait_for_http_takes_no_other_status_for_an_answer(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", SERVES.format(address="")) as container:
        container.wait_for(port=8080, timeout=30.0)
        with pytest.raises(cl.Timeout, match="GET /missing at port 8080"):
            container.wait_for(http="/missing", port=8080, timeout=0.3)
        container.exec("sh", "-c", "echo there >/tmp/www/missing")
        container.wait_for(http="/missing", port=8080, timeout=30.0)


@pytest.mark.parametrize(
    "answer",
    ["sleep 1000", "while :; do printf H; usleep 1000; done", "cat /dev/zero", "echo SSH-2.0 200", "true"],
)
def test_wait_for_http_of_a_server_that_never_answers_ends_in_time(
    box: cl.ContainerRecipe, answer: str
) -> None:
    code = f"printf '#!/bin/sh\\n{answer}\\n' >/tmp/answer; chmod +x /tmp/answer; exec nc -ll -p 80 -e /tmp/answer"
    with box.start("sh", "-c", code) as container:
        container.wait_for(port=80, timeout=30.0)
        started = time.monotonic()
        with pytest.raises(cl.Timeout):
            container.wait_for(http="/", timeout=0.5)
        assert time.monotonic() - started < 30


def test_wait_for_http_is_content_with_another_place(box: cl.ContainerRecipe) -> None:
    """Who answers 302 or 399 runs; 400 is a refusal."""
    for status, is_good in ((302, True), (399, True), (400, False)):
        answer = f"printf 'HTTP/1.1 {status} So\\r\\n\\r\\n'"
        code = f'echo "{answer}" >/answer; exec nc -ll -p 80 -e sh /answer'
        with box.start("sh", "-c", code) as container:
            container.wait_for(port=80, timeout=30.0)
            with contextlib.nullcontext() if is_good else pytest.raises(cl.Timeout):
                container.wait_for(http="/", timeout=30.0 if is_good else 0.3)


def test_wait_for_all_of_it_in_order(box: cl.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    with box.start("sh", "-c", SERVES.format(address="")) as container:
        container.wait_for(log="up", http="/health", port=8080, exec=("true",), timeout=30.0)
    left_nothing()


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({}, "log"),
        ({"log": re.compile(b"x")}, "log"),
        ({"log": "x", "count": 0}, "count"),
        ({"port": 80, "count": 2}, "count"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "80"}, "port"),
        ({"port": True}, "port"),
        ({"http": "health"}, "http"),
        ({"http": "/a b"}, "http"),
        ({"http": "/\r\nHost: elsewhere"}, "http"),
        ({"http": "/\N{SNOWMAN}"}, "http"),
        ({"http": "/" + "x" * 2048}, "http"),
    ],
)
def test_wait_for_what_cannot_be_is_refused(
    box: cl.ContainerRecipe, words: dict[str, object], field: str
) -> None:
    with box.create("true") as container, pytest.raises(cl.InvalidArgument) as caught:
        container.wait_for(timeout=1.0, **words)  # type: ignore[arg-type]
    assert caught.value.field == field
