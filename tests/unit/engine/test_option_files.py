"""Files that options name: docker's grammar, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerlib.engine.option_files import read_env_file, timezone, with_files
from containerlib.engine.words_security import MAX_SECRET
from containerlib.errors import InvalidArgument, NotFound
from containerlib.spec.options import ContainerOptions
from containerlib.spec.secret import Secret


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("# no\n\n  \t# no\nA=# yes", {"A": "# yes"}),
        ("   A=1", {"A": "1"}),
        ("A= 1 ", {"A": " 1 "}),
        ('A="x y"', {"A": '"x y"'}),
        ("A=b=c", {"A": "b=c"}),
        ("A=", {"A": ""}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=$HOME ${HOME} \\n", {"A": "$HOME ${HOME} \\n"}),
        ("export.x-y/z=1", {"export.x-y/z": "1"}),
    ],
)
def test_env_file_line_is_read_as_docker_does(file: Path, text: str, variables: dict[str, str]) -> None:
    file.write_bytes(text.encode())
    assert read_env_file(file) == variables


def test_env_file_name_alone_takes_the_callers_value(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "here")
    monkeypatch.delenv("NOBODYS", raising=False)
    file.write_text("OURS\nNOBODYS\n")
    assert read_env_file(file) == {"OURS": "here"}


@pytest.mark.parametrize("line", [b"=1", b"export A=1", b"A =1", b"A\tB=1", b"A=\xff", b"A=\0"])
def test_env_file_line_that_is_none_is_named(file: Path, line: bytes) -> None:
    file.write_bytes(b"B=1\n" + line)
    with pytest.raises(InvalidArgument, match="line 2 of"):
        read_env_file(file)


def test_env_file_missing_is_not_found(file: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        read_env_file(file)


def test_files_later_ones_count_more_and_the_recipe_most(tmp_path: Path) -> None:
    paths = tuple(str(tmp_path / name) for name in "ab")
    for path, text in zip(paths, ("A=1\nB=1\nC=1", "B=2\nC=2"), strict=True):
        Path(path).write_text(text)
    made = with_files(ContainerOptions(env=(("C", "3"),), env_files=paths, label_files=paths[1:]))
    assert dict(made.env) == {"A": "1", "B": "2", "C": "3"}
    assert dict(made.labels) == {"B": "2", "C": "2"}


def test_label_file_name_alone_is_an_empty_label(file: Path) -> None:
    file.write_text("HOME\n")
    assert with_files(ContainerOptions(label_files=(str(file),))).labels == (("HOME", ""),)


def test_timezone_is_a_bind_of_the_hosts_file(tmp_path: Path) -> None:
    (tmp_path / "Here").write_bytes(b"TZif")
    assert timezone("Here", str(tmp_path))["source"] == str(tmp_path / "Here")
    with pytest.raises(NotFound, match="tzdata"):
        timezone("There", str(tmp_path))


def test_timezone_of_the_host_is_the_file_that_its_link_leads_to() -> None:
    own = Path("/etc/localtime")
    if not own.exists():
        pytest.skip("this machine has no /etc/localtime")
    assert timezone("local")["source"] == str(own.resolve())


def test_secret_of_a_file_has_what_is_in_it_and_a_bound(file: Path) -> None:
    asked = ContainerOptions(secrets=(Secret("a", "/a", source=str(file)), Secret("b", "/b", b"own")))
    file.write_bytes(b"x" * MAX_SECRET)
    first, second = with_files(asked).secrets
    assert (first.value, first.source, second.value) == (b"x" * MAX_SECRET, None, b"own")
    file.write_bytes(b"x" * (MAX_SECRET + 1))
    with pytest.raises(InvalidArgument, match="mount"):
        with_files(asked)
