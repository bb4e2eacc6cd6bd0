"""python -m containerlib.oci_cli"""

from __future__ import annotations

from containerlib.oci_cli.start import start

if __name__ == "__main__":
    start()
