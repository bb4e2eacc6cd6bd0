"""Sphinx's settings. Build with `nox -s docs`: a warning is an error."""

from __future__ import annotations

project = "containerlib"
author = "the containerlib authors"
copyright = "the containerlib authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "containerlib"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# A handle has one name in each face, and is named in the modules of collections, where neither is defined.
suppress_warnings = ["ref.python"]
# Names of other packages have their pages elsewhere, and no inventory of them is fetched for a build.
_ELSEWHERE = (
    r"(anyio|collections\.abc|datetime|httpx|io|os|pathlib|re|types|typing)(\..*)?|Console|Socket|timedelta"
)
# Unions of what an argument may be, and values of the layers below that are seldom needed.
_ALIASES = (
    r"_OnProgress|OnOutput|_P|Auth|Check|Compression|EventKind|(.*\.)?Credentials|FileMode|HealthAction|ManifestFormat|MountSource"
    r"|Recursion|RestartPolicy|Size|SnapshotterName|Source|Target|AnyHost|HealthWord|WithId|WithName|(.*\.)?(Ready|Wait)Condition"
)
_BELOW = (
    r"Flowing|.*\.(Container|Network)Handle|ImagesPruned|(Image|Network|Volume)Record|VerifyReport"
    r"|.*\.(ConfigurationFiles|Document|Retry)"
)
nitpick_ignore_regex = [("py:.*", f"{_ELSEWHERE}|{_ALIASES}|{_BELOW}")]
