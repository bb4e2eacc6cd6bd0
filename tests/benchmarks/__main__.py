"""`python -m benchmarks [--rounds N] [--containers N] [FIGURE]...`: measures, and prints the table."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.ending import ended_by_signals
from benchmarks.measure import HEADINGS, Row, Skip, table

NAMES = (
    "run",
    "exec",
    "caller",
    "many",
    "memory",
    "fleet",
    "streams",
    "logs",
    "import",
    "pull",
    "push",
    "layer",
    "layers",
    "oci",
    "checkpoint",
    "checkpoint_redis",
    "network_start",
    "network_connect",
    "network_speed",
    "network_names",
    "network_many",
)
GROUPS = {"networks": tuple(name for name in NAMES if name.startswith("network_"))}
"""Several figures by one name."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument(
        "figures",
        nargs="*",
        metavar="FIGURE",
        help=f"of: {' '.join((*NAMES, *GROUPS))}; default: all of them",
    )
    parser.add_argument(
        "--rounds", type=int, default=15, help="turns that each figure takes (the long ones take fewer)"
    )
    parser.add_argument(
        "--containers", type=int, default=500, help="on one network, where there are many (network_many)"
    )
    arguments = parser.parse_args()
    figures = [name for one in arguments.figures for name in GROUPS.get(one, (one,))]
    for name in set(figures) - set(NAMES):
        parser.error(f"no figure {name!r}: there are {' '.join((*NAMES, *GROUPS))}")
    if os.geteuid() != 0:
        sys.exit("the benchmarks make containers: run them as root")
    rows: list[Row] = []
    with ended_by_signals(), Bench(arguments.rounds, arguments.containers) as bench:
        for name in figures or NAMES:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            try:
                rows += importlib.import_module(f"benchmarks.figure_{name}").measure(bench)
            except Skip as skip:
                rows.append(Row(name, "-", note=str(skip)))
    load = Path("/proc/loadavg").read_text().split()[0]
    host = f"Linux {os.uname().release}, {os.cpu_count()} cores, load {load}"
    print(f"{host}; medians of {arguments.rounds} turns, the long figures of fewer")
    print(table([HEADINGS, *(row.cells() for row in rows)]))


if __name__ == "__main__":
    main()
