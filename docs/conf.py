"""Sphinx's settings. Build with `nox -s docs`: a warning is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

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
# Names of other packages have their pages elsewhere, and no inventory of them is fetched for a build.
_ELSEWHERE = r"(anyio|collections\.abc|datetime|httpx|io|os|pathlib|types|typing)(\..*)?|Console|timedelta"
# Unions of what an argument may be, and values of the layers below that are seldom needed.
_ALIASES = (
    r"_OnProgress|_P|Auth|Check|Compression|(.*\.)?Credentials|FileMode|HealthAction|ManifestFormat|MountSource|Recursion"
    r"|RestartPolicy|Size|SnapshotterName|Source|Target|(.*\.)?(Ready|Wait)Condition"
)
_BELOW = r"Flowing|.*\.ContainerHandle|ImagesPruned|VerifyReport|.*\.(ConfigurationFiles|Document|Retry)"
nitpick_ignore_regex = [("py:.*", f"{_ELSEWHERE}|{_ALIASES}|{_BELOW}")]


def setup(app: Sphinx) -> None:
    """A verb's steps and flow are its own affair: what a caller gets is the result, or an iterator."""
    app.connect("autodoc-process-signature", _as_called)


def _as_called(*event: Any) -> tuple[str, str] | None:
    signature, returned = event[-2:]
    if not returned:
        return None
    for inner, outer in (("Steps[", ""), ("Flow[", "Iterator[")):
        if (found := returned.partition(inner))[1]:
            return signature, (outer + found[2]) if outer else found[2].removesuffix("]")
    return None
