"""Layers as a container mounts them."""
