"""A WebSocket client that checks one thing. Arguments: what, the URL without a path, and perhaps the file of an authority.

It goes by asyncio, for the threads of websockets.sync share an SSL object that, before Python 3.13, is not made for it.
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

URL = sys.argv[2]
TIMEOUT = 30
TLS = {}
if len(sys.argv) > 3:
    TLS = {"ssl": ssl.create_default_context(cafile=sys.argv[3]), "server_hostname": "shop.example"}


def opened(path, **settings):
    return connect(URL + path, open_timeout=TIMEOUT, close_timeout=TIMEOUT, max_size=None, proxy=None, **TLS, **settings)


async def next_of(connection):
    return await asyncio.wait_for(connection.recv(), TIMEOUT)


async def echoes(connection, message):
    await connection.send(message)
    answer = await next_of(connection)
    assert answer == message, (len(answer), len(message))


async def echo():
    for path in ("/", "/fragments"):
        for compression in (None, "deflate"):
            async with opened(path, compression=compression) as connection:
                for size in (0, 1, 125, 126, 65_535, 65_536, 3_000_000):
                    await echoes(connection, "\u00e4" * size)
                    await echoes(connection, b"\x00\xff" * size)
                await connection.send(["in ", "three ", "pieces"])
                assert await next_of(connection) == "in three pieces"


async def pings():
    async with opened("/") as connection:
        pong = await connection.ping(b"are you there?")
        await asyncio.wait_for(pong, TIMEOUT)
    async with opened("/ping") as connection:
        assert await next_of(connection) == "the client is there"


async def client_closes():
    async with opened("/") as connection:
        await echoes(connection, "hello")
        await connection.close(4000, "the client is done")
        assert connection.close_code == 4000, connection.close_code


async def member_closes():
    async with opened("/close") as connection:
        await connection.send("close")
        await closed(connection, 4001, "the member is done")


async def member_dies():
    async with opened("/die") as connection:
        await connection.send("die")
        # No close frame came: 1006 (RFC 6455, 7.1.5).
        await closed(connection, 1006, "")


async def closed(connection, code, reason):
    try:
        await next_of(connection)
    except ConnectionClosed:
        got = (connection.close_code, connection.close_reason)
        assert got == (code, reason), got
    else:
        raise AssertionError("it is not closed")


async def subprotocols():
    for offered, taken in ((["chat"], "chat"), (["soap"], "soap"), (["chat", "soap"], "soap"), (None, None)):
        async with opened("/", subprotocols=offered) as connection:
            # The member is the one that chooses.
            assert connection.subprotocol == taken, (offered, connection.subprotocol)


async def refused():
    try:
        await opened("/")
    except InvalidStatus as error:
        assert error.response.status_code != 101
    else:
        raise AssertionError("it is open")


async def many():
    """A hundred at once."""
    connections = [await opened("/") for _ in range(100)]
    for number, connection in enumerate(connections):
        await connection.send(str(number))
    for number, connection in enumerate(connections):
        assert await next_of(connection) == str(number)
    for connection in connections:
        await connection.close()


CHECKS = [echo, pings, client_closes, member_closes, member_dies, subprotocols, refused, many]
asyncio.run({check.__name__: check for check in CHECKS}[sys.argv[1]]())
