"""Bars of a pull: in a terminal, in a notebook, and without rich."""

from __future__ import annotations

import io
import subprocess
import sys

from rich.console import Console

from containerlib import progress_bars
from containerlib.images import Progress

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def drawn(*steps: Progress, jupyter: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=not jupyter, force_jupyter=jupyter, width=120)
    with progress_bars(console=console) as bars:
        for step in steps:
            bars(step)
    return output.getvalue().rpartition("\r")[2] if not jupyter else output.getvalue()


def test_progress_bars_say_how_much_of_each_layer_has_come() -> None:
    last = drawn(
        Progress("download", ONE, 1_000_000, 4_000_000),
        Progress("download", TWO, 2_000_000, 2_000_000),
        Progress("unpack", TWO, 9_000_000, 0),
    )
    one, two = (line for line in last.splitlines() if "1" * 12 in line or "2" * 12 in line)
    assert "downloading" in one
    assert "1.0/4.0 MB" in one
    assert "unpacking" in two
    assert "2.0/2.0 MB" in two


def test_progress_bars_end_as_done_and_begin_anew() -> None:
    last = drawn(
        Progress("download", ONE, 4, 4),
        Progress("done", f"sha256:{'f' * 64}", 0, 0),
        Progress("download", ONE, 1, 4),
    )
    assert "done" in last
    assert last.count("1" * 12) == 2


def test_progress_bars_say_how_much_of_an_archive_has_been_read() -> None:
    last = drawn(Progress("read", "", 1_000_000, 0), Progress("read", "", 3_000_000, 0))
    assert "archive" in last
    assert "reading" in last
    assert "3.0/" in last


def test_progress_bars_in_a_notebook_are_html() -> None:
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from IPython.utils.capture import capture_output\n"
        "from rich.console import Console\n"
        "from containerlib import progress_bars\n"
        "from containerlib.images import Progress\n"
        "shell = InteractiveShell.instance()\n"
        "with capture_output() as captured:\n"
        "    with progress_bars(console=Console(force_jupyter=True)) as bars:\n"
        f"        bars(Progress('download', {ONE!r}, 1, 4))\n"
        "html = [output.data.get('text/html', '') for output in captured.outputs]\n"
        "assert any('111111111111' in text and 'downloading' in text for text in html), html\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_progress_bars_without_rich_say_what_to_install() -> None:
    program = (
        "import sys; sys.modules['rich'] = None\n"
        "import containerlib as cl\n"
        "try:\n    cl.progress_bars()\n"
        "except cl.Unsupported as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "pip install 'containerlib[progress]'" in done.stdout
