"""A WebSocket server that says what happens to it."""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(*words):
    print(*words, flush=True)


async def echo(connection):
    """Every message, in one piece or, at /fragments, in three."""
    async for message in connection:
        if connection.request.path.startswith("/fragments"):
            third = len(message) // 3
            await connection.send([message[:third], message[third : 2 * third], message[2 * third :]])
        else:
            await connection.send(message)


async def close(connection):
    await connection.recv()
    await connection.close(4001, "the member is done")


async def ping(connection):
    await (await connection.ping(b"are you there?"))
    await connection.send("the client is there")


async def die(connection):
    await connection.recv()
    connection.transport.abort()


BEHAVIOURS = {"/close": close, "/ping": ping, "/die": die}


async def serve_one(connection):
    say("opened", connection.request.path, connection.subprotocol)
    try:
        await BEHAVIOURS.get(connection.request.path, echo)(connection)
        await connection.wait_closed()
    except ConnectionClosed:
        pass
    say("closed", connection.close_code, connection.close_reason)


def choose_subprotocol(_, offered):
    """The first of ours that the client offers, or none."""
    return next((ours for ours in ("soap", "chat") if ours in offered), None)


async def main():
    settings = {"select_subprotocol": choose_subprotocol, "max_size": None, "ping_interval": None, "compression": "deflate"}
    async with serve(serve_one, "127.0.0.1", 0, **settings) as server:
        say("port", server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
