"""Checkpoints of an engine's containers: images that are processes too.

    record = checkpoint(instance, Wanted(leave_running=True))      # an image with two layers more than the container's
    instance = restore(core, Restoration(record.id, name="again")) # here, or where that image was pulled
    instances = fork(instance, 4)                                  # from one dump, without an image

        container's image     layers as they are, referenced
        what it changed       a layer, as `commit` makes it
        its processes         a layer: checkpoint/ (CRIU's images), spec.dump (its config.json), container.json

Any registry keeps such an image, and any engine runs it as what its files are. The label CHECKPOINT tells that the top
layer is no part of its root file system.
"""
