"""The command `containerlib-oci`: an OCI runtime with runc's words, for whoever calls one by its path.

    podman --runtime $(command -v containerlib-oci) run --rm alpine true

Each verb is a module of its own, loaded when it is asked for: most of what a command costs is the start of the
interpreter and its imports. For the same reason nothing here, nor below it on the way to `create`, needs argparse,
pathlib, typing, or dataclasses.
"""
