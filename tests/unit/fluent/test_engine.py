from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import containerlib as cl


def test_engine_equal_hashed_and_pickled_by_root(tmp_path: Path) -> None:
    engine = cl.Engine(root=tmp_path)
    copy = pickle.loads(pickle.dumps(engine))  # noqa: S301
    assert engine == copy
    assert hash(engine) == hash(copy)
    assert engine != cl.Engine(root=tmp_path / "other")


def test_engine_making_does_no_io(tmp_path: Path) -> None:
    cl.Engine(root=tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("driver", ["", "bin/runc", "-runc", 7])
def test_engine_driver_that_can_be_none_refused(driver: str) -> None:
    with pytest.raises(cl.InvalidArgument) as caught:
        cl.Engine(driver=driver)
    assert caught.value.field == "driver"


def test_engine_driver_that_is_not_installed_tells_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(cl.NotFound, match="'magic' is not on PATH: apt-get install magic"):
        cl.Engine(tmp_path / "root", driver="magic").containers.list()
    assert list(tmp_path.iterdir()) == []


def test_engine_block_opens_state(tmp_path: Path) -> None:
    with cl.Engine(root=tmp_path / "root") as engine:
        assert (tmp_path / "root" / "containerlib.db").exists()
        assert engine.containers.list() == []


def test_engine_closed_opens_again(tmp_path: Path) -> None:
    engine = cl.Engine(root=tmp_path)
    engine.close()
    with engine:
        pass
    assert engine.containers.list() == []
    engine.close()


def test_engine_unknown_container_not_found(tmp_path: Path) -> None:
    with cl.Engine(root=tmp_path) as engine, pytest.raises(cl.NotFound, match="nobody"):
        engine.containers.get("nobody")


def test_engine_root_that_is_a_file_is_a_stage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(cl.StageError, match="Engine\\(root=") as caught:
        cl.Engine(root=tmp_path / "file").containers.list()
    assert caught.value.stage == "state"


def test_engine_missing_image_never_pulled_tells_what_to_do(tmp_path: Path) -> None:
    with cl.Engine(root=tmp_path) as engine, pytest.raises(cl.NotFound, match="pull") as caught:
        engine.images.get("nothing:here")
    assert "nothing:here" in str(caught.value)


def test_default_engine_is_one() -> None:
    assert cl.container("redis:7").engine is cl.image("redis:7").engine is cl.default_engine()
