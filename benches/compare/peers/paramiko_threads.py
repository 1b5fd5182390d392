"""paramiko: 32 threads, each task over a connection of its own, or over one that its thread keeps."""

import concurrent.futures
import os
import sys
import threading
import time

import paramiko

port, user, key_file, known_hosts, at_once = sys.argv[1:6]
kept = sys.argv[6] == "kept"
script, hosts = sys.argv[7], sys.argv[8:]
key = paramiko.Ed25519Key.from_private_key_file(key_file)
here = threading.local()


def connect(host):
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)  # and refuse what is not in it
    client.connect(host, int(port), user, pkey=key, allow_agent=False, look_for_keys=False)
    return client


def run(host):
    client = getattr(here, "client", None) or connect(host)
    if kept:
        here.client = client
    _, stdout, _ = client.exec_command(script)
    size = 0
    while data := stdout.channel.recv(1 << 20):
        size += len(data)
    code = stdout.channel.recv_exit_status()
    if not kept:
        client.close()
    return code, size


begin = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(int(at_once)) as pool:
    results = list(pool.map(run, hosts))
assert all(code == 0 for code, _ in results), results
print(sum(size for _, size in results), time.monotonic() - begin, flush=True)
os._exit(0)
