"""OCI containers by id, below a state directory: what an OCI runtime's command does, as calls.

    containers = Containers("/run/containerlib-oci")
    container = create(containers, "c1", bundle)      # OCI's "created": its program waits
    start(container)
    container.status()                                # State.RUNNING, as the kernel sees it
    kill(container, signal.SIGTERM)
    delete(containers, "c1")

One module for each verb. Each command may be a process of its own, and be killed at any instruction: what it left is
found by `delete(..., force=True)`. Nothing here supervises: the container is its creator's child, or that of whoever
adopts orphans.

Spec: runtime-spec runtime.md#operations
"""
