"""The config of an image that is made of another one."""

from __future__ import annotations

import json
from typing import Any

from containerlib.images.archives.configs import ConfigChanges, History, child_config
from containerlib.spec.digest import Digest
from containerlib.spec.image_config import ImageConfig

OLD = Digest.of(b"old")
NEW = Digest.of(b"new")
MADE = History(1_700_000_000.0, "commit", author="Ada", comment="more")


def child(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    config = child_config(json.dumps(base).encode(), [OLD, NEW], MADE, ConfigChanges(**changes))
    ImageConfig.from_bytes(config)
    found: dict[str, Any] = json.loads(config)
    return found


def test_child_config_keeps_what_it_does_not_understand() -> None:
    base = {
        "os": "linux",
        "architecture": "s390x",
        "config": {"Healthcheck": {"Test": ["NONE"]}, "Cmd": ["a"]},
    }
    found = child(base)
    assert found["architecture"] == "s390x"
    assert found["config"] == base["config"]


def test_child_config_drops_what_was_of_the_container_that_made_the_base() -> None:
    assert "container_config" not in child({"container_config": {"Cmd": ["x"]}, "container": "1234"})


def test_child_config_lists_layers_and_history() -> None:
    found = child({"history": [{"created_by": "first"}]})
    assert found["rootfs"] == {"type": "layers", "diff_ids": [str(OLD), str(NEW)]}
    assert found["history"][1] == {
        "created": "2023-11-14T22:13:20Z",
        "created_by": "commit",
        "author": "Ada",
        "comment": "more",
    }
    assert (found["created"], found["author"]) == ("2023-11-14T22:13:20Z", "Ada")


def test_child_config_of_nothing_is_for_this_machine() -> None:
    assert child({})["os"] == "linux"
    assert child({})["architecture"]


def test_child_config_with_an_entrypoint_drops_the_command() -> None:
    found = child({"config": {"Entrypoint": ["a"], "Cmd": ["b"]}}, entrypoint=("c",))
    assert found["config"] == {"Entrypoint": ["c"]}


def test_child_config_adds_to_the_environment_and_replaces_in_it() -> None:
    found = child({"config": {"Env": ["A=1", "B=2"]}}, env=(("B", "3"), ("C", "4")))
    assert found["config"]["Env"] == ["A=1", "B=3", "C=4"]


def test_child_config_changes_what_is_given() -> None:
    found = child(
        {"config": {"Labels": {"a": "b"}, "User": "root"}},
        cmd=("x",),
        labels=(("c", "d"),),
        user="1:2",
        workdir="/w",
        stop_signal="SIGINT",
    )
    assert found["config"] == {
        "Cmd": ["x"],
        "Labels": {"a": "b", "c": "d"},
        "User": "1:2",
        "WorkingDir": "/w",
        "StopSignal": "SIGINT",
    }
