"""What this machine says about registries: registries.conf and certs.d."""

from __future__ import annotations

from containerlib.images.registry.configuration.files import ConfigurationFiles
from containerlib.images.registry.configuration.rules import Configuration, Location, Mirror, Rule, parse

__all__ = ["Configuration", "ConfigurationFiles", "Location", "Mirror", "Rule", "parse"]
