from __future__ import annotations

from pathlib import Path

from containerlib.engine.mountpoints import ensure_mountpoints


def test_ensure_mountpoints_completes_what_a_killed_process_began(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    ensure_mountpoints(str(layer))
    ensure_mountpoints(str(layer))
    found = {str(path.relative_to(layer)) for path in layer.rglob("*")}
    assert found == {"dev", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sys"}
    assert all(path.stat().st_size == 0 for path in layer.rglob("*") if path.is_file())
