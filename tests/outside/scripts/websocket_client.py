"""A WebSocket client that checks one thing. Arguments: what, the URL without a path, and perhaps the file of an authority."""

import ssl
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

URL = sys.argv[2]
PATIENCE = 30
TLS = {}
if len(sys.argv) > 3:
    TLS = {"ssl": ssl.create_default_context(cafile=sys.argv[3]), "server_hostname": "shop.example"}


def opened(path, **settings):
    return connect(URL + path, open_timeout=PATIENCE, close_timeout=PATIENCE, max_size=None, proxy=None, **TLS, **settings)


def echoes(connection, message):
    connection.send(message)
    answer = connection.recv(PATIENCE)
    assert answer == message, (len(answer), len(message))


def echo():
    for path in ("/", "/fragments"):
        for compression in (None, "deflate"):
            with opened(path, compression=compression) as connection:
                for size in (0, 1, 125, 126, 65_535, 65_536, 3_000_000):
                    echoes(connection, "\u00e4" * size)
                    echoes(connection, b"\x00\xff" * size)
                connection.send(["in ", "three ", "pieces"])
                assert connection.recv(PATIENCE) == "in three pieces"


def pings():
    with opened("/") as connection:
        assert connection.ping(b"are you there?").wait(PATIENCE), "no pong"
    with opened("/ping") as connection:
        assert connection.recv(PATIENCE) == "the client is there"


def client_closes():
    connection = opened("/")
    echoes(connection, "hello")
    connection.close(4000, "the client is done")
    assert connection.close_code == 4000, connection.close_code


def member_closes():
    with opened("/close") as connection:
        connection.send("close")
        closed(connection, 4001, "the member is done")


def member_dies():
    with opened("/die") as connection:
        connection.send("die")
        # No close frame came: 1006 (RFC 6455, 7.1.5).
        closed(connection, 1006, "")


def closed(connection, code, reason):
    try:
        connection.recv(PATIENCE)
    except ConnectionClosed:
        got = (connection.close_code, connection.close_reason)
        assert got == (code, reason), got
    else:
        raise AssertionError("it is not closed")


def subprotocols():
    for offered, taken in ((["chat"], "chat"), (["soap"], "soap"), (["chat", "soap"], "soap"), (None, None)):
        with opened("/", subprotocols=offered) as connection:
            # The member is the one that chooses.
            assert connection.subprotocol == taken, (offered, connection.subprotocol)


def refused():
    try:
        opened("/")
    except InvalidStatus as error:
        assert error.response.status_code != 101
        print(error.response.status_code)
    else:
        raise AssertionError("it is open")


def many():
    """A hundred at once."""
    connections = [opened("/") for _ in range(100)]
    for number, connection in enumerate(connections):
        connection.send(str(number))
    for number, connection in enumerate(connections):
        assert connection.recv(PATIENCE) == str(number)
    for connection in connections:
        connection.close()


CHECKS = [echo, pings, client_closes, member_closes, member_dies, subprotocols, refused, many]
{check.__name__: check for check in CHECKS}[sys.argv[1]]()
