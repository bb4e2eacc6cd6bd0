"""Containers on networks find each other by name, and ask the host's resolvers for all other names."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import parent_of, until
from rig.dnsmasq import Dnsmasq
from rig.host import has_sanitizers
from rig.lifetime import shim_of

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.skipif(shutil.which("dig") is None, reason="no dig: install bind9-dnsutils"),
]

OTHERS = {"example.test": "192.0.2.1,2001:db8::1", "deep.example.test": "192.0.2.2"}


@pytest.fixture
def host(engine: cl.Engine) -> cl.ContainerRecipe:
    """This machine's programs in a container: dig, getent, skopeo."""
    return engine.container(engine.host_image())


@pytest.fixture
def dnsmasq() -> Iterator[Dnsmasq]:
    if shutil.which("dnsmasq") is None:
        pytest.skip("no dnsmasq: install dnsmasq-base")
    with Dnsmasq(OTHERS) as server:
        yield server


def dig(container: cl.Container, *words: str) -> list[str]:
    """The answers."""
    return container.exec("dig", "+short", "+time=5", "+tries=1", *words).text.splitlines()


def status(container: cl.Container, *words: str) -> str:
    text = container.exec("dig", "+time=5", "+tries=1", *words).text
    found = re.search(r"status: (\w+)", text)
    assert found is not None, text
    return found[1]


def addresses_of(container: cl.Container) -> list[str]:
    lines = container.exec("ip", "-o", "address", "show", "dev", "eth0", "scope", "global").text.splitlines()
    return [line.split()[3].partition("/")[0] for line in lines]


def resolver_of(container: cl.Container) -> int:
    """The pid of who answers for names in the container."""
    shim = shim_of(container)

    def found() -> list[int]:
        children = Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
        return [pid for pid in map(int, children) if Path(f"/proc/{pid}/comm").read_text() == "cl-resolver\n"]

    until(found)
    return found()[0]


# ---- each other ----


def test_containers_find_each_other_by_name_alias_and_id(
    engine: cl.Engine, box: cl.ContainerRecipe, host: cl.ContainerRecipe
) -> None:
    with engine.network("backend").ipv6().create() as backend:
        db = box.join(backend, alias=("db", "Primary")).name("Postgres")
        with db.start("sleep", "600") as server, host.join(backend).start("sleep", "600") as client:
            ipv4, ipv6 = addresses_of(server)
            for name in ("postgres", "POSTGRES", "db", "primary", server.id[:12], "postgres.backend", "db."):
                assert dig(client, name) == [ipv4]
                assert dig(client, name, "AAAA") == [ipv6]
            assert dig(client, "-x", ipv4) == dig(client, "-x", ipv6) == ["postgres.backend."]
            assert status(client, "postgres", "MX") == "NOERROR"
            for name in ("postgre", "postgress", "ostgres", "backend", server.id[:11]):
                assert status(client, name) in ("NXDOMAIN", "SERVFAIL")


def test_names_are_found_by_every_resolver(
    engine: cl.Engine, box: cl.ContainerRecipe, host: cl.ContainerRecipe, tmp_path: Path
) -> None:
    """The C library's, musl's and Go's; each asks for both families, and takes an answer of one for enough."""
    with (
        engine.network("backend").create() as backend,
        box.join(backend).name("db").start("sleep", "600") as server,
        host.mount(tmp_path, at="/mnt").join(backend).start("sleep", "600") as client,
    ):
        (address,) = addresses_of(server)
        assert client.exec("getent", "ahosts", "db").text.split()[0] == address
        said = client.exec("env", "GODEBUG=netdns=go", "skopeo", "inspect", "docker://db:80/x", check=False)
        assert f"{address}:80" in said.stderr.decode()
        if shutil.which("musl-gcc") is None:
            pytest.skip("no musl-gcc: install musl-tools")
        tmp_path.joinpath("find.c").write_text(FIND)
        subprocess.run(["musl-gcc", "-static", "-o", tmp_path / "find", tmp_path / "find.c"], check=True)
        assert client.exec("/mnt/find", "db").text == f"{address}\n"


FIND = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv) {
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    char text[64];
    int error = getaddrinfo(argv[argc - 1], "80", &hints, &found);
    if (error)
        return printf("%s\n", gai_strerror(error)), 1;
    for (; found; found = found->ai_next)
        if (!getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST))
            puts(text);
    return 0;
}
"""


def test_names_come_and_go_with_their_containers(
    engine: cl.Engine, box: cl.ContainerRecipe, host: cl.ContainerRecipe
) -> None:
    with engine.network("backend").internal().create() as backend:
        with host.join(backend).start("sleep", "600") as client:
            assert status(client, "db") == "NXDOMAIN"
            server = box.join(backend).name("db").start("sleep", "600", detach=True)
            assert dig(client, "db") == addresses_of(server)
            server.stop(0)
            until(lambda: status(client, "db") == "NXDOMAIN")
            server.start()
            assert dig(client, "db") == addresses_of(server)
            server.rename("base")
            assert dig(client, "base") == addresses_of(server)
            assert status(client, "db") == "NXDOMAIN"
            os.kill(shim_of(server), signal.SIGKILL)
            until(lambda: status(client, "base") == "NXDOMAIN")
            server.remove(force=True)
            files = Path(engine.core.names.directory)
            assert [path.name for path in files.glob(f"{server.id}*")] == []
            assert "base" not in (files / backend.id).read_text()


def test_names_of_a_container_that_is_started_again(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    """With nobody's engine: by its supervisor, in new namespaces, with a resolver of its own."""
    with engine.network("backend").create() as backend, box.join(backend).name("db").start("sleep", "600"):
        recipe = box.join(backend).restart("always")
        script = "until [ -e /again ]; do touch /again; sleep 1; exit 1; done; nslookup db.backend; sleep 600"
        with recipe.start("sh", "-c", script) as container:
            before = resolver_of(container)
            container.wait_for(log="Name:\tdb.backend")
            assert not Path(f"/proc/{before}").exists()
            assert resolver_of(container)


def test_an_alias_of_several_is_all_of_them_in_turn(
    engine: cl.Engine, box: cl.ContainerRecipe, host: cl.ContainerRecipe
) -> None:
    with engine.network("backend").create() as backend:
        recipe = box.join(backend, alias="web").stop_timeout(0)
        with recipe.start("sleep", "600") as one, recipe.start("sleep", "600") as other:
            both = {*addresses_of(one), *addresses_of(other)}
            with host.join(backend).start("sleep", "600") as client:
                answers = [dig(client, "web") for _ in range(20)]
        assert {frozenset(answer) for answer in answers} == {frozenset(both)}
        assert {answer[0] for answer in answers} == both


def test_answer_too_long_for_a_datagram_comes_over_tcp(engine: cl.Engine, host: cl.ContainerRecipe) -> None:
    with engine.network("backend").create() as backend, host.join(backend).start("sleep", "600") as client:
        lines = "".join(f"c0a8{number:04x} - many\n" for number in range(200))
        Path(engine.core.names.directory, backend.id).write_text(lines)
        assert len(dig(client, "many")) == len(dig(client, "+tcp", "many")) == 200
        assert " tc " in client.exec("dig", "+ignore", "many").text


def test_networks_do_not_know_each_others_names(
    engine: cl.Engine, box: cl.ContainerRecipe, host: cl.ContainerRecipe
) -> None:
    with engine.network("one").internal().create() as one, engine.network("two").internal().create() as two:
        with (
            box.join(one).name("db").start("sleep", "600") as server,
            host.join(two).start("sleep", "600") as stranger,
            host.join(two).join(one).start("sleep", "600") as member,
        ):
            assert status(stranger, "db") == status(stranger, "-x", addresses_of(server)[0]) == "NXDOMAIN"
            assert dig(member, "db") == addresses_of(server)


def test_server_of_the_containers_own_may_have_the_port(
    engine: cl.Engine, box: cl.ContainerRecipe, host: cl.ContainerRecipe
) -> None:
    if shutil.which("dnsmasq") is None:
        pytest.skip("no dnsmasq: install dnsmasq-base")
    words = "dnsmasq -k --conf-file=/dev/null --no-hosts --no-resolv --user=root --pid-file= --host-record=db,192.0.2.7"
    with (
        engine.network("backend").create() as backend,
        box.join(backend).name("db").start("sleep", "600") as server,
        host.join(backend).start(*words.split()) as container,
    ):
        asked = ("dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", "db")
        until(
            lambda: container.exec(*asked, check=False).text == "192.0.2.7\n", 30.0
        )  # it may not listen yet
        assert dig(container, "db") == addresses_of(server)


def test_own_name_is_in_the_hosts_file(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("backend").ipv6().create() as backend:
        with box.join(backend).hostname("me").start("sleep", "600") as container:
            hosts = container.exec("cat", "/etc/hosts").text.splitlines()
            assert [f"{address}\tme" for address in addresses_of(container)] == hosts[-2:]


# ---- others ----


def test_other_names_are_asked_of_the_hosts_resolver_on_loopback(
    engine: cl.Engine, host: cl.ContainerRecipe, dnsmasq: Dnsmasq
) -> None:
    with host.dns("127.0.0.1").join("bridge").start("sleep", "600") as client:
        for words in ((), ("+tcp",)):
            assert dig(client, *words, "example.test") == ["192.0.2.1"]
            assert dig(client, *words, "example.test", "AAAA") == ["2001:db8::1"]
            assert dig(client, *words, "-x", "192.0.2.2") == ["deep.example.test."]
            assert status(client, *words, "other.test") == "NXDOMAIN"
        assert client.exec("getent", "ahostsv4", "deep.example.test").text.split()[0] == "192.0.2.2"
    assert dnsmasq.asked()[:2] == ["example.test", "example.test"]


ASK = """
import sys, containerlib as cl
with cl.Engine(sys.argv[1]) as engine:
    ask = engine.container(engine.host_image()).join("bridge")
    print(ask.run("dig", "+short", "+time=5", "+tries=1", "example.test").text, end="")
"""


def test_other_names_are_asked_of_those_whom_the_hosts_file_names(
    engine: cl.Engine, dnsmasq: Dnsmasq, tmp_path: Path
) -> None:
    own = tmp_path / "resolv.conf"
    own.write_text("nameserver 127.0.0.1\n")
    command = 'mount --bind "$1" /etc/resolv.conf && exec "$2" -P -c "$3" "$4"'
    words = ["sh", "-c", command, "sh", str(own), sys.executable, ASK, engine.root]
    done = subprocess.run(["unshare", "--mount", *words], capture_output=True, text=True, check=False)
    assert done.stdout == "192.0.2.1\n", done.stderr
    assert dnsmasq.asked() == ["example.test"]


def test_internal_network_asks_nobody(engine: cl.Engine, host: cl.ContainerRecipe, dnsmasq: Dnsmasq) -> None:
    """CVE-2024-29018: what is asked tells as much as a packet."""
    with engine.network("vault").internal().create() as vault:
        with host.dns("127.0.0.1").join(vault).start("sleep", "600") as client:
            for words in ((), ("+tcp",)):
                assert status(client, *words, "secret.example.test") == "NXDOMAIN"
    assert dnsmasq.asked() == []


def test_next_resolver_is_asked_where_one_is_silent_or_knows_nothing(
    engine: cl.Engine, host: cl.ContainerRecipe, dnsmasq: Dnsmasq
) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        Dnsmasq({}, address="127.0.0.3", options=("--server=127.0.0.4", "--local=")) as refuses,
    ):
        silent.bind(("127.0.0.2", 53))
        for first in ("127.0.0.2", "127.0.0.3", "127.0.0.9"):
            with host.dns(first, "127.0.0.1").join("bridge").start("sleep", "600") as client:
                assert dig(client, "example.test") == ["192.0.2.1"]
    del refuses


def test_resolver_that_nobody_answers_says_so(engine: cl.Engine, host: cl.ContainerRecipe) -> None:
    with host.dns("127.0.0.9").join("bridge").start("sleep", "600") as client:
        assert status(client, "example.test") == "SERVFAIL"


def test_made_up_answers_are_not_taken(engine: cl.Engine, host: cl.ContainerRecipe) -> None:
    """Of another id, or of another question, before the real one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        server.settimeout(10)
        with (
            host.dns("127.0.0.1").join("bridge").start("sleep", "600") as client,
            client.spawn("dig", "+short", "+time=9", "+tries=1", "example.test") as asking,
        ):
            query, resolver = server.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            made_up = query[12:end].replace(b"example", b"exemple")
            for number, question, address in (
                (bytes([query[0] ^ 1, query[1]]), query[12:end], "192.0.2.66"),
                (query[:2], made_up, "192.0.2.67"),
                (b"", b"", "192.0.2.68"),
                (query[:2], query[12:end], "192.0.2.1"),
            ):
                record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address)
                server.sendto(number + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record, resolver)
            assert asking.stdout is not None
            assert asking.stdout.read() == b"192.0.2.1\n"


# ---- who answers ----


def test_resolver_is_nobody_and_sees_nothing(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.join("bridge").start("sleep", "600") as container:
        process = Path(f"/proc/{resolver_of(container)}")
        facts = dict(
            line.split(":\t", 1)
            for line in process.joinpath("status").read_text().splitlines()
            if ":\t" in line
        )
        assert {facts[name].split()[0] for name in ("Uid", "Gid")} == {"65534"}
        assert facts["Groups"].strip() == ""
        assert {int(facts[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert facts["NoNewPrivs"] == "1"
        assert facts["Seccomp"] == ("0" if has_sanitizers() else "2")
        assert str(process.joinpath("root").readlink()) == engine.core.names.directory
        kinds = [str(link.readlink()).partition(":")[0] for link in process.joinpath("fd").iterdir()]
        assert sorted(kinds) == ["/dev/null"] * 3 + ["socket"] * 3
        assert parent_of(int(process.name)) == shim_of(container)


@pytest.mark.parametrize("how", ["stop", "supervisor", "program"])
def test_resolver_ends_with_its_container(engine: cl.Engine, box: cl.ContainerRecipe, how: str) -> None:
    with box.join("bridge").start("sleep", "600") as container:
        pid, shim = resolver_of(container), shim_of(container)
        if how == "stop":
            container.stop(0)
        else:
            os.kill(shim if how == "supervisor" else container.inspect().pid or 0, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


def test_resolver_survives_messages_that_are_none(engine: cl.Engine, host: cl.ContainerRecipe) -> None:
    with engine.network("backend").internal().create() as backend:
        with host.join(backend).name("me").start("sleep", "600") as client:
            before = resolver_of(client)
            client.exec("python3", "-c", NOISE, timeout=60)
            assert dig(client, "me") == dig(client, "+tcp", "me") == addresses_of(client)
            assert resolver_of(client) == before


NOISE = """
import random, socket
random.seed(1)
good = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\2me\\0\\0\\1\\0\\1"
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def noise():
    message = bytearray(good)
    for _ in range(random.randrange(1, 6)):
        message[random.randrange(len(message))] = random.randrange(256)
    return bytes(message[:random.randrange(len(message) + 1)]) + random.randbytes(random.choice((0, 0, 9, 600)))
for _ in range(20000):
    datagrams.sendto(noise(), ("127.0.0.11", 53))
for _ in range(300):
    with socket.create_connection(("127.0.0.11", 53)) as stream:
        stream.settimeout(0.02)
        message = noise()
        try:
            stream.sendall(len(message).to_bytes(2, "big") + message)
            stream.recv(100)
        except OSError:
            pass
"""


# ---- the files ----


def test_files_of_names_are_mended_by_the_next_engine(
    engine: cl.Engine, box: cl.ContainerRecipe, host: cl.ContainerRecipe
) -> None:
    """What a killed process has not written, or has left behind."""
    with (
        engine.network("backend").create() as backend,
        box.join(backend).name("db").start("sleep", "600") as server,
        host.join(backend).start("sleep", "600") as client,
    ):
        directory = Path(engine.core.names.directory)
        directory.joinpath(backend.id).unlink()
        directory.joinpath(f"{'f' * 32}.view").write_text("network x\n")
        directory.joinpath(f"{backend.id}.123").write_text("")
        engine.reconcile()
        assert dig(client, "db") == addresses_of(server)
        views = {f"{one.id}.view" for one in (server, client)}
        assert {path.name for path in directory.iterdir()} == {backend.id, *views}
    assert list(directory.iterdir()) == []
