"""What a shim leaves behind while and after it supervises a container: log and exit record.

for record in read_log(directory, follow=True):
    print(record.time, record.stream, record.text)
read_exit(directory)        # None while it runs
"""

from containerlib.shim.exits import read_exit
from containerlib.shim.log_files import log_size
from containerlib.shim.logs import LogReader, flow_of_log, read_log, read_log_bytes

__all__ = ["LogReader", "flow_of_log", "log_size", "read_exit", "read_log", "read_log_bytes"]
