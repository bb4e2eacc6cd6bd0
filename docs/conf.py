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
# The standard library's names have their pages elsewhere, and no inventory of them is fetched for a build.
nitpick_ignore_regex = [
    ("py:.*", r"(collections\.abc|datetime|os|pathlib|types|typing)(\..*)?|MountSource|_P")
]
