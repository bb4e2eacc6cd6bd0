"""What the words about names, addresses and identity take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from containerlib.engine import words_names as words
from containerlib.errors import InvalidArgument


@pytest.mark.parametrize(
    ("field", "use"),
    [
        ("domainname", lambda: words.domainname("a b")),
        ("domainname", lambda: words.domainname("x" * 65)),
        ("add_host", lambda: words.host_entry("a b", "10.0.0.1")),
        ("add_host", lambda: words.host_entry("a", "10.0.0.1\n10.0.0.2 b")),
        ("add_host", lambda: words.host_entry("a", "host-gateway")),
        ("dns", lambda: words.servers(("one.one",))),
        ("search", lambda: words.search(("a b",))),
        ("options", lambda: words.dns_options(("ndots:2\nnameserver 1",))),
        ("group_add", lambda: words.groups(("a:b",))),
        ("group_add", lambda: words.groups((-1,))),
        ("umask", lambda: words.umask(0o1000)),
        ("timezone", lambda: words.timezone("../../../etc/shadow")),
    ],
)
def test_word_that_cannot_be_is_refused_by_name(field: str, use: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        use()
    assert caught.value.field == field


def test_words_in_normal_form() -> None:
    assert words.host_entry("db", "2001:DB8::1") == ("db", "2001:db8::1")
    assert words.groups(("audio", 44, "44")) == ("audio", "44")
    assert words.search((".",)) == (".",)


def test_file_path_counts_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words.file_path("x", field="env_file") == str(tmp_path / "x")
