"""A plugin of a test's own: what it was told is in a file, what it answers is said by the test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import containerlib as cl

__all__ = ["Plugins", "two"]

VERSIONS = ("0.4.0", "1.0.0", "1.1.0")
_SCRIPT = """\
#!/bin/sh
said=$(cat)
printf '{"plugin":"%s","command":"%s","id":"%s","netns":"%s","interface":"%s","path":"%s","told":%s}\\n' \\
    "{name}" "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_PATH" "$said" >> "{log}"
[ -e "{directory}/{name}.$CNI_COMMAND" ] && . "{directory}/{name}.$CNI_COMMAND"
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":{versions}}' ;;
ADD) echo '{"ips":[{"address":"10.99.0.2/24"}]}' ;;
esac
"""


class Plugins:
    """A directory of them."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self._log = directory / "log"

    def make(self, *names: str, versions: Sequence[str] = VERSIONS) -> None:
        for name in names:
            words = {
                "name": name,
                "log": self._log,
                "directory": self.directory,
                "versions": json.dumps(versions),
            }
            text = _SCRIPT
            for word, value in words.items():
                text = text.replace(f"{{{word}}}", str(value))
            program = self.directory / name
            program.write_text(text)
            program.chmod(0o755)

    def says(self, name: str, command: str, script: str | None) -> None:
        """What it does at that command before all else; None: nothing any more."""
        place = self.directory / f"{name}.{command}"
        if script is None:
            place.unlink()
        else:
            place.write_text(script)

    def told(self, *commands: str) -> list[dict[str, Any]]:
        """All that it was asked for, or these commands alone."""
        if not self._log.exists():
            return []
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [one for one in lines if not commands or one["command"] in commands]


def two(engine: cl.Engine, plugins: Plugins, **words: Any) -> cl.NetworkRecipe:
    """A network of a chain of the plugins "first" and "second"; `words`: more of its configuration."""
    config = {
        "cniVersion": "1.1.0",
        "name": "two",
        "plugins": [{"type": "first", "own": 1}, {"type": "second"}],
        **words,
    }
    return engine.network("lan").driver("cni", config=config, path=[plugins.directory], timeout=2.0)
