"""Flags as Go's programs take them."""

from __future__ import annotations

import pytest

from containerlib.errors import InvalidArgument
from containerlib.oci_cli.commands import COMMANDS, GLOBAL
from containerlib.oci_cli.parser import Flag, Values, parse, parse_duration

FLAGS = (
    Flag("bundle b", "text"),
    Flag("force f", "bool"),
    Flag("preserve-fds", "int", default=0),
    Flag("env e", "list"),
    Flag("interval", "duration", default="5s"),
    Flag("format", "text", default="table"),
)


def given(*words: str, mixed: bool = True) -> tuple[Values, list[str]]:
    return parse(words, FLAGS, mixed=mixed)


@pytest.mark.parametrize(
    "words", [("--bundle", "x"), ("-bundle", "x"), ("--bundle=x",), ("-b", "x"), ("-b=x",)]
)
def test_parse_value_every_way_to_write_it(words: tuple[str, ...]) -> None:
    assert given(*words)[0].text("bundle") == "x"


@pytest.mark.parametrize(("word", "is_set"), [("-f", True), ("--force=false", False), ("--force=1", True)])
def test_parse_bool_with_and_without_a_value(word: str, is_set: bool) -> None:
    values, arguments = given(word, "c1")
    assert (values.flag("force"), arguments) == (is_set, ["c1"])


def test_parse_flags_behind_arguments_where_mixed() -> None:
    values, arguments = given("c1", "KILL", "--force")
    assert (values.flag("force"), arguments) == (True, ["c1", "KILL"])


def test_parse_not_mixed_first_argument_ends_the_flags() -> None:
    values, arguments = given("-f", "c1", "sh", "-c", "--force", mixed=False)
    assert (values.flag("force"), arguments) == (True, ["c1", "sh", "-c", "--force"])


def test_parse_two_dashes_end_the_flags() -> None:
    values, arguments = given("--", "-f", "--", "x")
    assert (values.flag("force"), arguments) == (False, ["-f", "--", "x"])


def test_parse_one_dash_is_an_argument() -> None:
    assert given("-")[1] == ["-"]


def test_parse_list_is_repeated_and_last_value_wins_elsewhere() -> None:
    values, _ = given("-e", "A=1", "--env=B=2=3", "--bundle", "x", "--bundle", "y")
    assert values.texts("env") == ["A=1", "B=2=3"]
    assert values.text("bundle") == "y"


def test_parse_value_may_look_like_a_flag() -> None:
    assert given("--bundle", "--force")[0].text("bundle") == "--force"


def test_values_defaults_and_what_was_given() -> None:
    values, _ = given("--preserve-fds", "3")
    assert (values.number("preserve-fds"), values.seconds("interval"), values.text("format")) == (
        3,
        5.0,
        "table",
    )
    assert values.given("preserve-fds")
    assert not values.given("interval")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bogus", "x"), "flag provided but not defined: -bogus"),
        (("--bundle",), "flag needs an argument: -bundle"),
        (("--preserve-fds", "x"), 'invalid value "x" for flag -preserve-fds: parse error'),
        (("--force=maybe",), 'invalid value "maybe" for flag -force: parse error'),
        (("--interval", "5"), 'invalid value "5" for flag -interval: parse error'),
    ],
)
def test_parse_wrong_is_told_in_the_words_of_runc(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        given(*words)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5.0), ("250ms", 0.25), ("1m30s", 90.0), ("1.5h", 5400.0), ("0", 0.0), ("10us", 1e-5)],
)
def test_parse_duration_in_the_notation_of_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "s5", "5s3", "-5s", "1..5s"])
def test_parse_duration_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its message is not for people
        parse_duration(text)


def test_commands_have_no_flag_twice() -> None:
    for flags in (GLOBAL, *(command.flags for command in COMMANDS.values())):
        names = [name for flag in flags for name in flag.names]
        assert len(names) == len(set(names))
