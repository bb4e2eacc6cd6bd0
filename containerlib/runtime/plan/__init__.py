"""config.json to a plan: the flat list of ops that the helper runs. Pure, and compared with golden lists.

container.py    a new container, and another process in one: the order of everything
mounts.py, devices.py, process.py, user.py, hooks.py, ...    each section of config.json to its ops
ops.py          one function for each op; op.py says what an op is, and how a plan becomes bytes
"""
