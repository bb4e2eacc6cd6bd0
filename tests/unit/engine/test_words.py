from __future__ import annotations

from pathlib import Path

import pytest

from containerlib.engine import words
from containerlib.errors import InvalidArgument


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("net_admin", "CAP_NET_ADMIN"),
        ("CAP_KILL", "CAP_KILL"),
        ("cap_sys_ptrace", "CAP_SYS_PTRACE"),
        ("all", "ALL"),
    ],
)
def test_capabilities_any_spelling_normalised(given: str, normal: str) -> None:
    assert words.capabilities((given,), field="cap_add") == (normal,)


def test_capabilities_twice_kept_once_in_order() -> None:
    assert words.capabilities(("KILL", "CHOWN", "CAP_KILL"), field="cap_add") == ("CAP_KILL", "CAP_CHOWN")


def test_capabilities_unknown_names_field() -> None:
    with pytest.raises(InvalidArgument, match="NET_ADMINISTRATOR") as caught:
        words.capabilities(("NET_ADMINISTRATOR",), field="cap_drop")
    assert caught.value.field == "cap_drop"


def test_merge_pairs_same_name_keeps_place_and_takes_value() -> None:
    merged = words.merge_pairs((("A", "1"), ("B", "2")), {"A": "3"}, {"C": "4"}, field="env")
    assert merged == (("A", "3"), ("B", "2"), ("C", "4"))


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_merge_pairs_bad_variable_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        words.merge_pairs((), {name: "1"}, {}, field="env")
    assert caught.value.field == "env"


def test_merge_pairs_number_as_value_tells_how_to_write_it() -> None:
    with pytest.raises(InvalidArgument, match="write '8080'"):
        words.merge_pairs((), {"PORT": 8080}, {}, field="env")  # type: ignore[dict-item]


@pytest.mark.parametrize(("given", "normal"), [("/a/../b/", "/b"), ("//x", "/x"), ("/", "/")])
def test_container_path_absolute_normalised(given: str, normal: str) -> None:
    assert words.container_path(given, field="at") == normal


def test_container_path_relative_refused() -> None:
    with pytest.raises(InvalidArgument, match='write "/data"'):
        words.container_path("data", field="at")


def test_host_path_relative_points_to_resolve_and_volume() -> None:
    with pytest.raises(InvalidArgument, match=r"resolve\(\).*engine\.volume\('data'\)"):
        words.host_path(Path("data"), field="source")


@pytest.mark.parametrize("name", ["", "-a", "a-", "a..b", "a b", "x" * 64, "a\n"])
def test_hostname_bad_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        words.hostname(name)


@pytest.mark.parametrize("name", ["a", "web-1", "db.example.org", "with_underscore", "x" * 63])
def test_hostname_good_kept(name: str) -> None:
    assert words.hostname(name) == name


def test_command_without_program_refused() -> None:
    with pytest.raises(InvalidArgument, match="no program"):
        words.command(())


def test_argv_with_nul_refused() -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        words.argv(("echo", "a\0b"))


def test_argv_with_half_a_character_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"ud800.*no character"):
        words.argv(("echo", "a\ud800"))


def test_argv_with_bytes_that_are_no_text_kept() -> None:
    assert words.argv(("echo", "\udcff", "\u00fc")) == ("echo", "\udcff", "\u00fc")


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_seconds_no_duration_refused(value: float) -> None:
    with pytest.raises(InvalidArgument):
        words.seconds(value)
