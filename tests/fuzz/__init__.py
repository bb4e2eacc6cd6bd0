"""A fuzzer of what reads a config.json: `python -m fuzz --count 100000`, or `nox -s fuzz`."""
