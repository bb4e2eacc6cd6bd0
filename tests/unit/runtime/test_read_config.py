"""One reader of config.json, and one kind of error for each way in which it fails, whoever asks."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from containerlib.errors import Error, InvalidArgument, NotFound, StageError
from containerlib.runtime import BindRoot, create
from containerlib.runtime.config.read import read_config


def create_of(bundle: Path) -> None:
    create(str(bundle), directory=str(bundle), root=BindRoot(str(bundle)), cgroup=None, owned=False)


def make_nothing(_: Path) -> None:
    """There is no bundle, or no config in it."""


READERS: list[Callable[[Path], object]] = [lambda bundle: read_config(f"{bundle}/config.json"), create_of]
readers = pytest.mark.parametrize("read", READERS, ids=["read_config", "create"])


@readers
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_nothing, NotFound),
        (lambda bundle: bundle.write_text("a file"), NotFound),
        (lambda bundle: bundle.mkdir(), NotFound),
        (lambda bundle: (bundle.mkdir(), (bundle / "config.json").mkdir()), StageError),
        (lambda bundle: (bundle.mkdir(), (bundle / "config.json").write_text("{")), InvalidArgument),
        (lambda bundle: (bundle.mkdir(), (bundle / "config.json").write_text("[]")), InvalidArgument),
        (lambda bundle: (bundle.mkdir(), (bundle / "config.json").write_bytes(b"\xff")), InvalidArgument),
        (
            lambda bundle: (bundle.mkdir(), (bundle / "config.json").write_text("[" * 100_000)),
            InvalidArgument,
        ),
    ],
)
def test_config_that_cannot_be_read_is_one_kind_of_error_for_all(
    tmp_path: Path, read: Callable[[Path], object], make: Callable[[Path], object], kind: type[Error]
) -> None:
    bundle = tmp_path / "bundle"
    make(bundle)
    with pytest.raises(kind, match=r"config\.json"):
        read(bundle)


def test_config_that_the_kernel_refuses_is_a_stage_error_with_its_errno(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(StageError) as caught:
        read_config(f"{tmp_path}/config.json")
    assert (caught.value.stage, caught.value.errno) == ("config", errno.EISDIR)
