"""Images on their way between a registry and a root."""
