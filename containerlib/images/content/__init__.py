"""Blobs: on their way in, by digest once they are whole, and kept or collected."""
