"""Registries on a machine of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.images.registry.client import Registry
from containerlib.images.registry.configuration import ConfigurationFiles
from containerlib.images.registry.retry import Retry
from containerlib.spec.auth import Auth
from rig.mock_server import MockServer


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., Registry]:
    """A registry of the name "registry.example" on a machine that has no files but a registries.conf, `conf`."""

    def connect(server: MockServer, conf: str = "", auth: Auth | None = None, **options: Any) -> Registry:
        path = tmp_path / "home/.config/containers/registries.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(conf)
        return Registry(
            "registry.example",
            auth=auth,
            files=ConfigurationFiles({"HOME": str(tmp_path / "home")}, root=str(tmp_path)),
            transport=server.transport,
            **{"retry": Retry(attempts=2, first_delay=0.0), **options},
        )

    return connect
