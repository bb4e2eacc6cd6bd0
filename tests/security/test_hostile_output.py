"""What a container writes, and what its image calls itself, must not drive the terminal or the page of the reader.

Held to: every character of a message or a repr is printable, but for the newlines and tabs between them. That leaves
out ANSI and OSC sequences, C1 controls, bidirectional overrides and NUL. In HTML nothing is markup but our own.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import containerlib as cl
from rig.images import Image, Layer, busybox_layer

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

HOSTILE = {
    "ANSI": "\x1b[2J\x1b[31mred",
    "OSC 52": "\x1b]52;c;ZXZpbA==\x07",
    "OSC 8": "\x1b]8;;http://evil.test\x1b\\here\x1b]8;;\x1b\\",
    "C1": "\x9b31m\x9d52;c;ZXZpbA==\x9c",
    "bidi": "\u202egpj.exe\u2066\u2069\u200f",
    "tags": "\U000e0041\ufeff\u2028x\u2029",
    "NUL": "a\0b",
    "backspace": "rm -rf /\b\b\b\b\b\b\b\b\rharmless",
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
}
each = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def is_calm(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text)


def told(error: BaseException) -> str:
    """All that Python prints of an error."""
    return "".join(traceback.format_exception_only(error)) + repr(error) + str(error)


def wrote(text: str) -> str:
    """A shell's words that write that."""
    octal = "".join(f"\\0{byte:03o}" for byte in text.encode())
    return f"printf '%b\\n' '{octal}'; printf '%b\\n' '{octal}' >&2"


@pytest.fixture
def box(engine: cl.Engine, busybox_image: Path) -> cl.ContainerRecipe:
    (image,) = engine.images.load(busybox_image)
    return engine.container(image)


@each
def test_output_in_an_exit_error_is_escaped(box: cl.ContainerRecipe, text: str) -> None:
    with pytest.raises(cl.ExitError) as caught:
        box.run("sh", "-c", f"{wrote(text)}; exit 3")
    assert is_calm(told(caught.value))
    assert caught.value.stderr == f"{text}\n".encode()
    assert is_calm(repr(box.run("sh", "-c", wrote(text))))


@each
def test_output_in_a_timeout_and_a_conflict_is_escaped(box: cl.ContainerRecipe, text: str) -> None:
    with pytest.raises(cl.Timeout) as late:
        box.run("sh", "-c", f"{wrote(text)}; sleep 1000", timeout=0.3)
    assert late.value.log_tail != ()
    with box.start("sh", "-c", f"{wrote(text)}; echo end; exit 1") as container:
        with pytest.raises(cl.Conflict) as ended:
            container.wait_for(log="never", timeout=30.0)
        records = list(container.logs())
        assert text.encode().decode(errors="replace") in "".join(record.text for record in records)
    for error in (late.value, ended.value):
        assert is_calm(told(error))
    assert is_calm("".join(late.value.log_tail) + repr(records))


@pytest.fixture
def hostile(engine: cl.Engine, tmp_path: Path) -> Callable[..., cl.ContainerRecipe]:
    """A container of an image whose configuration says so."""

    def make(layer: bytes | None = None, **config: object) -> cl.ContainerRecipe:
        layers = (busybox_layer(),) if layer is None else (busybox_layer(), layer)
        place = tmp_path / f"image-{len(list(tmp_path.iterdir()))}"
        (image,) = engine.images.load(Image(layers, config).write_layout(place))
        return engine.container(image)

    return make


ARGUMENTS = {name: text.replace("\0", "") for name, text in HOSTILE.items() if name != "NUL"}
each_argument = pytest.mark.parametrize("text", ARGUMENTS.values(), ids=ARGUMENTS)


@each_argument
def test_names_of_an_image_in_errors_are_escaped(
    hostile: Callable[..., cl.ContainerRecipe], text: str
) -> None:
    wrong = [
        hostile(Cmd=[text]),
        hostile(Entrypoint=["sh", "-c", "exit 3", text]),
        hostile(Cmd=["true"], User=text),
        hostile(Cmd=["true"], User=f"root:{text}"),
        hostile(
            Layer().symlink("link", "/proc/self/mem").file(f"etc/{text}", "x").finish(), Cmd=[f"/etc/{text}"]
        ),
        hostile(Layer().file("place", "x").finish(), Cmd=["true"], WorkingDir=f"/place/{text}"),
    ]
    for recipe in wrong:
        with pytest.raises(cl.Error) as caught:
            recipe.run()
        assert is_calm(told(caught.value)), caught.value
    odd = [hostile(Cmd=["true"], Env=[f"A={text}"]), hostile(Cmd=["true"], Labels={text: text})]
    for recipe in odd:
        assert recipe.run().exit_code == 0
        assert is_calm(repr(recipe))


@each_argument
def test_handles_of_what_is_hostile_are_calm(hostile: Callable[..., cl.ContainerRecipe], text: str) -> None:
    recipe = hostile(Layer().file(f"files/{text.replace('/', '')}", "x").finish(), Labels={text: text})
    with recipe.start(
        "sh", "-c", 'touch "/tmp/$1"; exec sleep 1000', text, text.replace("/", "")
    ) as container:
        container.wait_for(exec=("sh", "-c", 'test -n "$(ls /tmp)"'), timeout=30.0)
        process = container.spawn("sh", "-c", "exit 0", text)
        with process:
            process.wait(30.0)
        seen = [
            *map(repr, (container, process, container.inspect(), container.top(), container.diff())),
            *map(str, container.diff()),
            *map(repr, container.path("/files").iterdir()),
            repr(list(container.engine.events(since=container.created_at))),
            repr(container.engine.images.list()),
            str(container.state),
        ]
        with pytest.raises(cl.Error) as caught:
            container.exec(text)
    assert is_calm("".join(seen))
    assert is_calm(told(caught.value))


class Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.tags.add(tag if not attributes else f"{tag} with attributes")


@each_argument
def test_tables_of_images_are_nothing_but_tables(engine: cl.Engine, text: str, tmp_path: Path) -> None:
    image = Image((busybox_layer(),), {"Cmd": [text], "Labels": {text: text}}, machine=text)
    (loaded,) = engine.images.load(image.write_docker_archive(tmp_path / "image.tar", tag="hostile:1"))
    for page in (loaded._repr_html_(), engine.images._repr_html_()):
        parser = Markup()
        parser.feed(page)
        assert parser.tags == {"table", "thead", "tbody", "tr", "th", "td"}
        assert is_calm(page)
