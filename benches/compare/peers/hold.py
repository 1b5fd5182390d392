"""Holds a script on each host, and says so when all run: asyncssh in one loop, or paramiko with the
thread that it makes for each connection."""

import asyncio
import sys
import time

library, port, user, key, known_hosts, script = sys.argv[1:7]
hosts = sys.argv[7:]


def paramiko_held():
    import paramiko

    key_object = paramiko.Ed25519Key.from_private_key_file(key)
    held = []
    for host in hosts:
        client = paramiko.SSHClient()
        client.load_host_keys(known_hosts)
        client.connect(host, int(port), user, pkey=key_object, allow_agent=False, look_for_keys=False)
        held.append((client, client.exec_command(script)))
    for _, (_, stdout, _) in held:
        stdout.readline()
    print("held", flush=True)
    time.sleep(600)


async def asyncssh_held():
    import asyncssh

    places = asyncio.Semaphore(32)

    async def one(host):
        async with places:
            connection = await asyncssh.connect(
                host, int(port), username=user, client_keys=[key], known_hosts=known_hosts,
                config=None, agent_path=None,
            )
            process = await connection.create_process(script)
            await process.stdout.readline()
            return connection, process

    held = await asyncio.gather(*(one(host) for host in hosts))
    print("held", flush=True)
    await asyncio.sleep(600)
    del held


if library == "paramiko":
    paramiko_held()
else:
    asyncio.run(asyncssh_held())
