"""Checkpoints of an engine's containers: images that are processes too.

    # an image with two layers more than the container's
    record = checkpoint(instance, Options(leave_running=True), reference="redis:warm", compression="zstd")
    # here, or where that image was pulled
    instance = restore(core, Restoration(record.id, name="again"))
    # from one dump, without an image
    instances = fork(instance, 4, Options(), detached=True)

        container's image     layers as they are, referenced
        what it changed       a layer, as `commit` makes it
        its processes         a layer: checkpoint/ (CRIU's images), spec.dump (its config.json), container.json

Any registry keeps such an image, and any engine runs it as what its files are. The label CHECKPOINT tells that the top
layer is no part of its root file system.
"""
