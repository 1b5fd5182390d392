"""parallel-ssh: its own client over all hosts; a host that is there twice is connected to twice."""

import os
import sys
import time

from pssh.clients import ParallelSSHClient

port, user, key, _, at_once, _, script = sys.argv[1:8]
hosts = sys.argv[8:]
begin = time.monotonic()
client = ParallelSSHClient(
    hosts, user=user, port=int(port), pkey=key, pool_size=int(at_once), allow_agent=False
)
outputs = client.run_command(script)
client.join(outputs)
assert all(output.exit_code == 0 for output in outputs)
assert len(outputs) == len(hosts)
print(0, time.monotonic() - begin, flush=True)
os._exit(0)
