"""What a notebook shows: every handle of a session as a table, and nothing of a container's as markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import containerlib as cl
from rig.lifetime import quick

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

TAGS = {"table", "thead", "tbody", "tr", "th", "td", "pre"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=y>\x1b[2J&amp;"


class Shown(HTMLParser):
    """What a browser makes of it: which elements, and their text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert attrs == []

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def shown(value: object) -> str:
    """As IPython's display asks for it."""
    page = Shown(value._repr_html_())  # type: ignore[attr-defined]
    assert page.tags <= TAGS
    assert "\x1b" not in page.text
    return page.text


def test_notebook_shows_a_session_as_tables(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    recipe = box.name("web").healthy_when(cl.command("true"), every=1000.0).limit(memory="64MiB")
    with recipe.start("sh", "-c", f"exec sleep 600 # {HOSTILE[:-5]}".replace("\x1b", "")) as web:
        web.wait_healthy()
        assert "web" in shown(web)
        assert "running" in shown(web)
        assert "healthy" in shown(web)
        assert "<script>" in shown(engine.containers)
        assert "of 64.0 MiB" in shown(web.stats())
        done = web.exec("printf", "%s", HOSTILE)
        assert "<script>alert(1)</script>" in shown(done)
        assert "\\x1b[2J&amp;" in shown(done)
        assert "exit code 3" in shown(web.exec("sh", "-c", "echo no >&2; exit 3", check=False))
    assert "removed" in shown(web)
    assert "web" not in shown(engine.containers)


def test_notebook_shows_how_a_container_ended(box: cl.ContainerRecipe) -> None:
    with quick(box.restart("on-failure", retries=2)).start("sh", "-c", "exit 7") as container:
        container.wait(30.0)
        assert "stopped (7), started again 2 times" in shown(container)


def test_notebook_shows_the_end_of_much_output() -> None:
    html = shown(cl.Completed(0, b"first" + b"x" * 1_000_000 + b"last"))
    assert len(html) < 30_000
    assert "1000009 bytes" in html
    assert "first" not in html
    assert "xlast" in html
