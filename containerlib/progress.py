"""Bars for what takes long, drawn by rich: in a terminal, and in a Jupyter notebook.

    with cl.progress_bars() as bars:
        engine.image("redis:7").pull(progress=bars)
        image.push("registry:5000/redis:7", progress=bars)

One bar for each layer: its download (of so many bytes), then its unpacking. Needs the extra `progress` (rich), and in a
notebook `notebook` (ipywidgets too).
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from containerlib.errors import Unsupported

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from containerlib.images import Progress

__all__ = ["ProgressBars", "progress_bars"]

_SHORT = 12
_WORDS = {
    "read": "reading",
    "download": "downloading",
    "unpack": "unpacking",
    "upload": "uploading",
    "done": "done",
}


class ProgressBars:
    """What a verb's `progress` takes. Bars are drawn within `with`, and stay when it ends."""

    def __init__(self, console: Console | None = None) -> None:
        try:
            from rich import progress as rich  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise Unsupported("bars are drawn by rich: pip install 'containerlib[progress]'") from error
        self._bars = rich.Progress(
            rich.TextColumn("{task.fields[layer]}"),
            rich.TextColumn("{task.description:11}"),
            rich.BarColumn(),
            rich.DownloadColumn(),
            rich.TransferSpeedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: Progress) -> None:
        """Takes one step of one layer."""
        if step.phase == "done":
            for ended in self._tasks.values():
                self._bars.update(ended, description=_WORDS["done"])
            self._tasks.clear()  # the next verb may have the same layers
            return
        # how much will be unpacked from a layer is not known before: the bar stays, the word changes
        is_counted = step.total or step.phase == "read"
        total, done = (step.total or None, step.current) if is_counted else (None, None)
        description = _WORDS[step.phase]
        task: TaskID | None = self._tasks.get(step.digest)
        if task is None:
            layer = step.digest.partition(":")[2][:_SHORT] or "archive"
            task = self._bars.add_task(description, layer=layer, total=total, completed=done or 0)
            self._tasks[step.digest] = task
        self._bars.update(task, description=description, completed=done, total=total)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def progress_bars(*, console: Console | None = None) -> ProgressBars:
    """Bars for `progress=` of pull, push, load and import, on `console` or where the program's output goes.

    Raises: Unsupported where rich is not installed.
    """
    return ProgressBars(console)
