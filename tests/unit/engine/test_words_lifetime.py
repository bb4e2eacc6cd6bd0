"""What a recipe says of a container's life, checked; and what is taken from its image."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from containerlib import InvalidArgument, command, http, tcp
from containerlib.engine.lifetime import health_of
from containerlib.engine.words_lifetime import changed, checkpoints, health, restart
from containerlib.runtime.lifetime import Lifetime, policy_bytes
from containerlib.spec.image_config import Healthcheck, ImageConfig
from containerlib.spec.lifetime import (
    CheckpointOption,
    CommandCheck,
    HealthOption,
    HttpCheck,
    RestartOption,
    TcpCheck,
)
from containerlib.spec.options import ContainerOptions

TIMES = {"every": 30.0, "timeout": 30.0, "retries": 3, "start_period": 0.0, "start_every": 5.0}


def test_restart_with_its_retries() -> None:
    assert restart("on-failure", 5) == RestartOption("on-failure", 5)
    assert restart("always", None).retries is None


@pytest.mark.parametrize(
    ("policy", "retries", "field"),
    [
        ("sometimes", None, "restart"),
        ("always", 3, "retries"),
        ("on-failure", 0, "retries"),
        ("on-failure", "3", "retries"),
    ],
)
def test_restart_that_cannot_be_names_its_field(policy: Any, retries: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        restart(policy, retries)
    assert caught.value.field == field


def test_checkpoints_with_what_becomes_of_connections() -> None:
    words = {"external_unix_sockets": False, "file_locks": True}
    made = checkpoints(60.0, keep=5, tcp="established", **words)
    assert made == CheckpointOption(60.0, 5, "established", file_locks=True)
    assert checkpoints(None, keep=1, tcp="close", **words) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"every": 0.0}, "every"),
        ({"every": "60"}, "every"),
        ({"keep": 0}, "keep"),
        ({"keep": 1.5}, "keep"),
        ({"tcp": "drop"}, "tcp"),
        ({"external_unix_sockets": 1}, "external_unix_sockets"),
        ({"file_locks": "no"}, "file_locks"),
    ],
)
def test_checkpoints_that_cannot_be_name_their_field(change: dict[str, Any], field: str) -> None:
    words: dict[str, Any] = {"every": 60.0, "keep": 3, "tcp": "close"}
    words |= {"external_unix_sockets": False, "file_locks": False, **change}
    with pytest.raises(InvalidArgument) as caught:
        checkpoints(words.pop("every"), **words)
    assert caught.value.field == field


def test_restart_that_changes_keeps_the_times_of_the_old_one() -> None:
    old = RestartOption("always", pause=7.0, longest=8.0, calm=9.0, from_checkpoint=True)
    assert changed(old, "on-failure", 2) == evolve(old, policy="on-failure", retries=2)
    assert changed(old, None, None) is None
    with pytest.raises(InvalidArgument) as caught:
        changed(old, None, 2)
    assert caught.value.field == "retries"


def test_word_at_the_end_of_its_range_is_taken() -> None:
    assert restart("on-failure", 1).retries == 1
    assert restart("on-failure", 2**31 - 1).retries == 2**31 - 1
    assert (tcp(1).port, tcp(65535).port) == (1, 65535)
    assert http(80, "/" + "a" * 2047).path == "/" + "a" * 2047
    for status in ((100, 599), (100, 100), (599, 599)):
        assert http(80, status=status) == HttpCheck(80, "/", *status)
    made = health(tcp(1), on_failure="none", **{**TIMES, "every": 0.001, "timeout": 0.001, "retries": 1})
    assert (made.every, made.timeout, made.retries) == (0.001, 0.001, 1)


def test_checks_are_values() -> None:
    assert command("pg_isready", "-q") == CommandCheck(("pg_isready", "-q"))
    assert http(80) == HttpCheck(80, "/", 200, 399)
    assert http(80, "/x", status=(200, 204)) == HttpCheck(80, "/x", 200, 204)
    assert tcp(5432) == TcpCheck(5432)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (command, "command"),
        (lambda: tcp(0), "port"),
        (lambda: tcp(65536), "port"),
        (lambda: http(80, "ready"), "path"),
        (lambda: http(80, "/a b"), "path"),
        (lambda: http(80, "/\r\nHost: other"), "path"),
        (lambda: http(80, "/" + "a" * 5000), "path"),
        (lambda: http(80, status=(300, 200)), "status"),
        (lambda: http(80, status=(200,)), "status"),  # type: ignore[arg-type]
        (lambda: http(80, status=200), "status"),  # type: ignore[arg-type]
        (lambda: http(80, status=("200", "399")), "status"),  # type: ignore[arg-type]
        (lambda: http(80, status=(99, 200)), "status"),
        (lambda: http(80, status=(200, 600)), "status"),
    ],
)
def test_check_that_cannot_be_names_its_field(make: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        make()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"every": 0.0}, "every"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": -1.0}, "timeout"),
        ({"retries": 0}, "retries"),
        ({"retries": 2**31}, "retries"),
        ({"start_period": -1.0}, "start_period"),
        ({"start_every": 0.0}, "start_every"),
        ({"on_failure": "panic"}, "on_failure"),
    ],
)
def test_health_that_cannot_be_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        health(tcp(1), **{"on_failure": "none", **TIMES, **changes})
    assert caught.value.field == field


def test_health_of_what_is_no_check_says_what_one_is() -> None:
    wrong: Any = "pg_isready"
    with pytest.raises(InvalidArgument, match=r"cl\.command"):
        health(wrong, on_failure="none", **TIMES)


def image(*test: str, **facts: Any) -> ImageConfig:
    return ImageConfig(healthcheck=Healthcheck(test, **facts))


@pytest.mark.parametrize(
    ("config", "argv"),
    [
        (image("CMD", "pg_isready", "-q"), ("pg_isready", "-q")),
        (image("CMD-SHELL", "exit 0"), ("/bin/sh", "-c", "exit 0")),
        (
            evolve(image("CMD-SHELL", "x"), shell=("/bin/bash", "-ec")),  # noqa: S604 - no subprocess's
            ("/bin/bash", "-ec", "x"),
        ),
    ],
)
def test_health_of_an_image_is_its_command(config: ImageConfig, argv: tuple[str, ...]) -> None:
    found = health_of(ContainerOptions(), config)
    assert found is not None
    assert found.check == CommandCheck(argv)


def test_health_of_an_image_has_its_times_or_dockers() -> None:
    assert health_of(ContainerOptions(), image("CMD", "true")) == HealthOption(CommandCheck(("true",)))
    given = {"interval": 1.0, "timeout": 2.0, "start_period": 3.0, "start_interval": 4.0, "retries": 5}
    assert health_of(ContainerOptions(), image("CMD", "true", **given)) == HealthOption(
        CommandCheck(("true",)), every=1.0, timeout=2.0, retries=5, start_period=3.0, start_every=4.0
    )


def test_health_of_an_image_that_says_an_odd_number_of_failures_is_one_that_the_supervisor_takes() -> None:
    found = health_of(ContainerOptions(), image("CMD", "true", retries=2**32))
    assert found is not None
    assert len(policy_bytes(Lifetime(health=found))) == 80


@pytest.mark.parametrize("config", [ImageConfig(), image("NONE"), image(), image("CMD")])
def test_health_of_an_image_without_a_check_is_none(config: ImageConfig) -> None:
    assert health_of(ContainerOptions(), config) is None


def test_health_of_the_recipe_is_before_the_images() -> None:
    own = HealthOption(TcpCheck(1))
    assert health_of(ContainerOptions(health=own), image("CMD", "true")) == own
    assert health_of(ContainerOptions(health=HealthOption(None)), image("CMD", "true")) is None
