"""The log's lines, which conmon, podman and containerd read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.oci_cli.log import Log

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)"


def test_error_as_json_is_one_object_a_line(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), "json")
    log.error('no "such" container\nat all')
    log.warning("é")
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (first["level"], first["msg"]) == ("error", 'no "such" container\nat all')
    assert (second["level"], second["msg"]) == ("warning", "é")
    assert re.fullmatch(TIME, first["time"])


def test_error_as_text_is_one_line_of_pairs(tmp_path: Path) -> None:
    Log(str(tmp_path / "log")).error('no "such" container\nat all')
    line = (tmp_path / "log").read_text()
    assert re.fullmatch(f'time="{TIME}" level=error msg="no \\\\"such\\\\" container\\\\nat all"\n', line)


def test_log_is_added_to(tmp_path: Path) -> None:
    for message in ("one", "two"):
        Log(str(tmp_path / "log")).error(message)
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_debug_only_where_asked_for(tmp_path: Path) -> None:
    Log(str(tmp_path / "quiet")).debug("x")
    Log(str(tmp_path / "loud"), debug=True).debug("x")
    assert (tmp_path / "quiet").read_text() == ""
    assert "level=debug" in (tmp_path / "loud").read_text()


def test_fatal_into_a_file_is_told_the_person_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Log(str(tmp_path / "log"), "json").fatal("it broke")
    assert capfd.readouterr().err == "it broke\n"
    assert json.loads((tmp_path / "log").read_text())["msg"] == "it broke"


def test_fatal_without_a_file_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    Log().fatal("it broke")
    assert capfd.readouterr().err.count("it broke") == 1


def test_log_unknown_format_or_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="invalid log-format: xml"):
        Log(form="xml")
    with pytest.raises(StageError) as caught:
        Log(str(tmp_path / "no" / "log"))
    assert caught.value.detail == str(tmp_path / "no" / "log")
