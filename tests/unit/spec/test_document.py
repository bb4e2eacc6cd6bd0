"""JSON from strangers: what two readers could read in two ways is refused, and so is what only costs memory."""

from __future__ import annotations

import json

import pytest

from containerlib.errors import InvalidArgument
from containerlib.spec.document import Document, parse_json


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "'a' twice"),
        (b'{"a": {"b": [{"c": 1, "c": 1}]}}', "'c' twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        ('{"a": 1}'.encode("utf-16"), "utf-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a": [' + b"{}," * 100_000 + b"{}]}", "more than 100000"),
        (b"[" * 99_999, "recursion"),
    ],
)
def test_json_that_readers_disagree_about_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as caught:
        parse_json(data, "there")
    assert caught.value.field == "there"
    assert len(str(caught.value)) < 500


def test_json_pairs_of_surrogates_and_escapes_are_text() -> None:
    assert parse_json(b'{"a": "\\ud83d\\ude00 \\\\ud800"}', "there") == {"a": "\U0001f600 \\ud800"}


def test_fields_that_differ_in_case_alone_are_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Document.parse(b'{"config": {"layers": [], "Layers": [1]}}', "manifest").document("config")
    assert caught.value.field == "manifest.config"


@pytest.mark.parametrize(
    "text", ["-1", "9223372036854775808", "1e3", "1.0", "true", '"1"', "[1]", "1" * 4000]
)
def test_number_that_is_no_size_is_refused(text: str) -> None:
    document = Document.parse(b'{"size": ' + text.encode() + b"}", "there")
    with pytest.raises(InvalidArgument) as caught:
        document.number("size")
    assert caught.value.field == "there.size"
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("value", ["text", {"a": "b"}, ["a", 1], 1, [["a"]]])
def test_texts_that_are_no_list_of_strings_are_refused(value: object) -> None:
    document = Document(json.loads(json.dumps({"urls": value})), "there")
    with pytest.raises(InvalidArgument) as caught:
        document.texts("urls")
    assert caught.value.field == "there.urls"


def test_argv_takes_a_lone_string_as_docker_does() -> None:
    document = Document({"a": "sh", "b": ["sh", "-c"], "c": None}, "there")
    assert (document.argv("a"), document.argv("b"), document.argv("c")) == (("sh",), ("sh", "-c"), None)


@pytest.mark.parametrize(
    "text", ["", "json", "a/b/c", "a /b", "a/b\r\nX: y", "a/b;c=d", "a/" + "b" * 128, "/b", "a/", "é/b"]
)
def test_media_type_unfit_for_a_header_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Document({"mediaType": text}, "there").media_type("mediaType")
    assert caught.value.field == "there.mediaType"
