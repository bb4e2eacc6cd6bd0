"""Configurations of CNI plugins, and what they answer, without running any."""

from __future__ import annotations

import json
from typing import Any

import pytest

from containerlib.errors import InvalidArgument
from containerlib.networking.cni import CniNetwork, Result, read

ONE = {"type": "bridge"}


def config(**words: Any) -> bytes:
    return json.dumps({"cniVersion": "1.0.0", "name": "lan", "plugins": [ONE], **words}).encode()


@pytest.mark.parametrize(
    ("words", "versions"),
    [
        ({}, ("1.0.0",)),
        ({"cniVersion": "0.4.0", "cniVersions": ["1.1.0", "0.3.1", "1.0.0"]}, ("1.0.0", "1.1.0")),
        ({"cniVersions": []}, ("1.0.0",)),
    ],
)
def test_versions_that_are_spoken_here_are_kept_oldest_first(
    words: dict[str, Any], versions: tuple[str, ...]
) -> None:
    assert read(config(**words), name="x").versions == versions


def test_configuration_of_one_plugin_is_a_chain_of_it() -> None:
    chain = read(json.dumps({"cniVersion": "0.4.0", "type": "bridge", "bridge": "b0"}).encode(), name="lan")
    assert (chain.name, [one["bridge"] for one in chain.plugins]) == ("lan", ["b0"])


def test_chain_comes_back_from_the_database_as_it_went() -> None:
    network = CniNetwork(
        "1", read(config(disableCheck=True, disableGC=True), name="x", path=("/a",), timeout=5.0)
    )
    again = CniNetwork.of("1", json.loads(json.dumps(network.settings())))
    assert again == network


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"[]", "config"),
        (b"\xff", "config"),
        (b'{"name":"a","name":"b"}', "config"),
        (config(plugins=[1]), "config.plugins[0]"),
        (config(plugins={}), "config.plugins"),
        (config(plugins=[{"type": "a/b"}]), "config.plugins[0].type"),
        (config(plugins=[{"type": ".."}]), "config.plugins[0].type"),
        (config(plugins=[{**ONE, "ipam": {"type": "/bin/sh"}}]), "config.plugins[0].ipam.type"),
        (config(plugins=[{**ONE, "ipam": []}]), "config.plugins[0].ipam"),
        (config(plugins=[{**ONE, "capabilities": []}]), "config.plugins[0].capabilities"),
        (config(cniVersions="1.0.0"), "config.cniVersions"),
        (config(disableGC=1), "config.disableGC"),
        (config(name="-"), "config.name"),
    ],
)
def test_what_is_no_configuration_is_refused_by_its_field(data: bytes, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(data, name="x")
    assert caught.value.field == field


def test_addresses_are_those_of_the_containers_interface() -> None:
    value = {
        "interfaces": [
            {"name": "cni0"},
            {"name": "eth0", "sandbox": "/x"},
            {"name": "eth1", "sandbox": "/x"},
        ],
        "ips": [
            {"address": "10.0.0.2/24", "interface": 1},
            {"address": "fd00::2/64", "interface": 1},
            {"address": "10.0.1.2/24", "interface": 2},
            {"version": "4", "address": "10.0.0.3/24"},
        ],
        "dns": {"domain": "example.test", "nameservers": ["192.0.2.53"]},
    }
    assert Result.of(value, "eth0") == Result(
        ("10.0.0.2", "fd00::2", "10.0.0.3"), ("192.0.2.53",), ("example.test",), ()
    )


@pytest.mark.parametrize(
    "value",
    [
        {"ips": 1},
        {"ips": [{}]},
        {"ips": [{"address": "10.0.0.300/24"}]},
        {"interfaces": [{"sandbox": "/x"}]},
        {"dns": {"nameservers": ["here"]}},
        {"dns": {"search": ["a\nnameserver 192.0.2.66"]}},
        {"dns": {"options": [""]}},
    ],
)
def test_what_is_no_result_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Result.of(value, "eth0")
