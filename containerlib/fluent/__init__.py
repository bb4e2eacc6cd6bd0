"""The face: recipes that describe, verbs that do, handles that own. No logic of its own.

    with Engine() as engine:
        text = engine.container("alpine:3.20").env(GREETING="hello").run("printenv", "GREETING").text
        with engine.container(engine.host_image()).start("sleep", "60") as container:
            container.exec("ls", "/")

A recipe is a frozen value: every word returns a new one, it hashes, it pickles, and nothing happens before a
verb.
"""
