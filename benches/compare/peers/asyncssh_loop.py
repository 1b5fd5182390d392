"""asyncssh: so many tasks at once in one loop, over a connection each, or over ones that are kept."""

import asyncio
import sys
import time

import asyncssh

port, user, key, known_hosts, at_once = sys.argv[1:6]
kept = sys.argv[6] == "kept"
script, hosts = sys.argv[7], sys.argv[8:]
places = asyncio.Semaphore(int(at_once))
# sshd gives 10 sessions to a connection.
SESSIONS = 8


def connect(host):
    return asyncssh.connect(
        host, int(port), username=user, client_keys=[key], known_hosts=known_hosts,
        config=None, agent_path=None,
    )


async def run(connection):
    size = 0
    async with connection.create_process(script, encoding=None) as process:
        while data := await process.stdout.read(1 << 20):
            size += len(data)
        assert (await process.wait()).exit_status == 0
    return size


async def alone(host):
    async with places, connect(host) as connection:
        return await run(connection)


async def main():
    begin = time.monotonic()
    if kept:
        count = max(int(at_once) // SESSIONS, 1)
        held = await asyncio.gather(*(connect(hosts[0]) for _ in range(count)))

        # A connection has as many at once as the others: each has a part of its own.
        async def part(connection, share):
            limit = asyncio.Semaphore(SESSIONS)

            async def one():
                async with limit:
                    return await run(connection)

            return sum(await asyncio.gather(*(one() for _ in range(share))))

        shares = [len(hosts[number::count]) for number in range(count)]
        sizes = await asyncio.gather(*(part(c, n) for c, n in zip(held, shares)))
    else:
        sizes = await asyncio.gather(*(alone(host) for host in hosts))
    print(sum(sizes), time.monotonic() - begin, flush=True)


asyncio.run(main())
