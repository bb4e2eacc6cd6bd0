"""The page for users of Docker has every flag, and names words that are there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.engine.events import EVENT_ACTIONS

PAGE = Path(__file__).parents[3].joinpath("docs/docker-users.md").read_text()
LATER = "--checkpoint --checkpoint-dir --ip --ip6 --link --link-local-ip --mac-address --network-alias --privileged"
LATER += " --publish --publish-all"
"""What waits for bridges and for checkpoints, and of `exec` --privileged."""
COMMANDS = ("run", "create", "exec", "attach", "start", "logs", "cp", "stats", "events", "update")


def rows(command: str) -> dict[str, str]:
    """The table whose title has the command: what stands beside each flag."""
    for section in re.split(r"^#+ ", PAGE, flags=re.MULTILINE):
        if f"`docker {command}`" in section.partition("\n")[0]:
            return dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| (.*) \|$", section, re.MULTILINE))
    raise AssertionError(f"no section of docker {command}")


@pytest.mark.parametrize("command", COMMANDS)
def test_page_has_each_flag_of_the_command(command: str) -> None:
    if shutil.which("docker") is None:
        pytest.skip("no docker: install docker.io")
    done = subprocess.run(["docker", command, "--help"], check=True, capture_output=True, text=True)
    flags = re.findall(r"^ +(?:-\w, )?(--[a-z0-9-]+)", done.stdout, re.MULTILINE)
    assert len(flags) > 2
    assert [flag for flag in flags if flag not in rows(command)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_page_flags_are_in_order(command: str) -> None:
    assert [*rows(command)] == sorted(rows(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_page_says_a_word_or_why_there_is_none(command: str) -> None:
    for flag, text in rows(command).items():
        assert re.match(r"`|none: .|not in this version|each record", text), flag


def test_page_puts_off_nothing_else_than_what_is_to_come() -> None:
    later = {
        flag for command in COMMANDS for flag, text in rows(command).items() if text.startswith("not in")
    }
    assert later <= {*LATER.split()}


def test_page_words_are_there() -> None:
    words = {word for text in rows("run").values() for word in re.findall(r"`\.(\w+)\(", text)}
    assert {"limit", "mount", "userns"} <= words
    assert [word for word in sorted(words) if not hasattr(cl.ContainerRecipe, word)] == []
    methods = {name for command in COMMANDS for text in rows(command).values() for name in called(text)}
    assert [name for name in sorted(methods) if not hasattr(cl.Container, name)] == []


def test_page_has_each_filter_of_events() -> None:
    """As `docker events` of version 28 has them."""
    known = "config container daemon event image label network node plugin scope secret service type volume"
    section = PAGE.partition("### `docker events --filter`")[2].partition("###")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == known.split()


DOCKERS_ACTIONS = {
    "container": """attach commit copy create destroy detach die exec_create exec_detach exec_die exec_start export
        health_status kill oom pause prune rename resize restart start stop top unpause update""",
    "image": "create delete import load prune pull push save tag untag",
    "volume": "create destroy mount prune unmount",
}
"""Docker Engine API v1.48, `GET /events`."""


def table(kind: str) -> dict[str, str]:
    section = PAGE.partition("### What `docker events` tells")[2].partition("###")[0]
    part = section.partition(f"| {kind} | ours |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE))


@pytest.mark.parametrize("kind", DOCKERS_ACTIONS)
def test_page_has_each_action_of_events_or_why_there_is_none(kind: str) -> None:
    found = table(kind)
    assert [*found] == DOCKERS_ACTIONS[kind].split()
    ours = {text.split("`")[1] for text in found.values() if not text.startswith("none: ")}
    named = (
        {"missed", "checkpoint", "checkpoint_failed", "restore"}
        if kind == "container"
        else {"build", "import"}
        if kind == "image"
        else set()
    )
    assert ours | named == set(EVENT_ACTIONS[kind])  # type: ignore[index]


def called(text: str) -> list[str]:
    return re.findall(r"container\.(\w+)\(", text)


def test_page_names_no_word_for_what_is_not_there() -> None:
    """Words of later versions are named when they come."""
    for name in ("restart", "healthy_when", "publish", "log", "init", "secret"):
        if not hasattr(cl.ContainerRecipe, name):
            assert f"`.{name}(" not in PAGE
