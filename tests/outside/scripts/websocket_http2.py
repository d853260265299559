"""WebSocket over a stream of HTTP/2 (RFC 8441). Arguments: the server's host and port."""

import socket
import struct
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

TIMEOUT = 30
MASK = b"\x01\x02\x03\x04"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Client:
    """One connection, whose streams are read in the order in which they are asked for."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, int(port)), TIMEOUT)
        settings = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.connection = h2.connection.H2Connection(settings)
        self.connection.initiate_connection()
        self.heads, self.bytes, self.ended = {}, {}, set()
        self.authority = f"{host}:{port}"
        self.read_until(lambda: self.may_connect())

    def may_connect(self):
        code = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        return self.connection.remote_settings.get(code) == 1

    def read_until(self, is_there):
        self.flush()
        while not is_there():
            received = self.socket.recv(65536)
            assert received, "the connection is closed"
            for event in self.connection.receive_data(received):
                self.note(event)
            self.flush()

    def note(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.heads[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.bytes[event.stream_id] = self.bytes.get(event.stream_id, b"") + event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            self.ended.add(event.stream_id)

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def open(self, path, protocol="websocket"):
        stream = self.connection.get_next_available_stream_id()
        fields = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "http"),
            (":path", path),
            (":authority", self.authority),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat"),
        ]
        self.connection.send_headers(stream, fields)
        self.read_until(lambda: stream in self.heads)
        return stream, self.heads[stream]

    def send(self, stream, kind, payload):
        """One frame, masked as those of clients are."""
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | kind, 0x80 | length)
        else:
            head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, length)
        masked = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))
        frame = head + MASK + masked
        while frame:
            window = self.connection.local_flow_control_window(stream)
            room = min(window, self.connection.max_outbound_frame_size)
            self.connection.send_data(stream, frame[:room])
            frame = frame[room:]
            self.flush()
            if frame:
                self.read_until(lambda: self.connection.local_flow_control_window(stream) > 0)

    def receive(self, stream):
        """The next frame, which is not masked: its kind and what is in it."""
        self.read_until(lambda: self.frame(stream) is not None)
        kind, payload, end = self.frame(stream)
        self.bytes[stream] = self.bytes[stream][end:]
        return kind, payload

    def frame(self, stream):
        received = self.bytes.get(stream, b"")
        if len(received) < 2:
            return None
        length, begin = received[1], 2
        if length == 126:
            if len(received) < 4:
                return None
            length, begin = struct.unpack("!H", received[2:4])[0], 4
        end = begin + length
        return (received[0] & 15, received[begin:end], end) if len(received) >= end else None


client = Client(sys.argv[1], sys.argv[2])
streams = [client.open("/") for _ in range(3)]
for stream, head in streams:
    assert head[":status"] == "200", head
    assert head["sec-websocket-protocol"] == "chat", head
    for unfit in ("sec-websocket-accept", "upgrade", "connection"):
        assert unfit not in head, head
for round in range(3):
    for stream, _ in streams:
        client.send(stream, TEXT, f"{stream} {round}".encode())
    for stream, _ in reversed(streams):
        assert client.receive(stream) == (TEXT, f"{stream} {round}".encode())
stream = streams[0][0]
client.send(stream, TEXT, b"x" * 60_000)
assert client.receive(stream) == (TEXT, b"x" * 60_000)
client.send(stream, PING, b"there?")
assert client.receive(stream) == (PONG, b"there?")
client.send(stream, CLOSE, struct.pack("!H", 1000))
assert client.receive(stream) == (CLOSE, struct.pack("!H", 1000))
client.read_until(lambda: stream in client.ended)

# The others go on, and a member that dies ends its stream only.
dying, _ = client.open("/die")
client.send(dying, TEXT, b"die")
client.read_until(lambda: dying in client.ended)
client.send(streams[1][0], TEXT, b"still here")
assert client.receive(streams[1][0]) == (TEXT, b"still here")

# What no member may be asked for.
_, head = client.open("/", "something-else")
assert head[":status"] in ("400", "501", "502", "426"), head
print("well")
