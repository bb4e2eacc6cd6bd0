"""Sphinx's settings. Build with `nox -s docs`: a warning is an error."""

from __future__ import annotations

project = "containerlib"
author = "the containerlib authors"
copyright = "the containerlib authors, Apache-2.0"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "containerlib"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
