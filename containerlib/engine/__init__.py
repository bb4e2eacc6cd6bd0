"""The use cases: run, exec, stop, reconcile, prune. Wires the layers together and has no face of its own.

    core = Core("/var/lib/containerlib")
    order = Order(HostSource(), ContainerOptions(command=("true",)))
    completed = finish(run(core, order))              # one call: started, waited for, removed

    instance = start(core, order)                     # or alive
    finish(execute(instance, ExecOptions(("ls", "/"))))
    finish(stop(instance))
    remove(instance)

What waits is steps, which `finish` takes here and `containerlib.aio` in an event loop (_sys/steps.py).

Every function takes what it works on and keeps nothing between calls: live truth comes from the kernel and
the container's directory, so that a second thread or process may do the same at the same time.
"""
