"""The table of docs/security.md, which says where each published vulnerability is tried."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/security.md"
NAMED = re.compile(r"`((?:\.\./[\w/]+/)?test_\w+\.py)::(test_\w+)`")


def test_table_of_vulnerabilities_names_tests_that_are_there() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 40
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (HERE / file).read_text()]
    assert missing == []


def test_table_of_vulnerabilities_has_every_one_that_a_test_is_for() -> None:
    page = PAGE.read_text()
    pattern = re.compile(r"CVE-\d{4}-\d{4,}")
    found = {cve for path in HERE.glob("test_*.py") for cve in pattern.findall(path.read_text())}
    assert sorted(found - set(pattern.findall(page))) == []
