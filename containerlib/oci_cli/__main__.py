"""python -m containerlib.oci_cli"""

from __future__ import annotations

from containerlib.oci_cli.main import command

if __name__ == "__main__":
    command()
