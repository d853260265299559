"""A gRPC client that checks one thing. Arguments: what, the server, and perhaps the file of an authority, for TLS."""

import sys
import time
from collections import Counter

import grpc

OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 65536),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)
TIMEOUT = 30


def connect(server, authority=None):
    if authority is None:
        return grpc.insecure_channel(server, OPTIONS)
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    named = (("grpc.ssl_target_name_override", "shop.example"),)
    return grpc.secure_channel(server, credentials, OPTIONS + named)


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it succeeded")


class Echo:
    def __init__(self, channel):
        self.unary = channel.unary_unary("/test.Echo/Unary")
        self.gather = channel.stream_unary("/test.Echo/Gather")
        self.scatter = channel.unary_stream("/test.Echo/Scatter")
        self.chat = channel.stream_stream("/test.Echo/Chat")
        self.fail = channel.unary_unary("/test.Echo/Fail")
        self.wait = channel.unary_unary("/test.Echo/Wait")
        self.wait_in_stream = channel.stream_stream("/test.Echo/WaitInStream")
        self.unknown = channel.unary_unary("/test.Echo/Unknown")
        self.elsewhere = channel.unary_unary("/test.Other/Unary")


def unary(echo):
    for size in (0, 1, 100_000, 5_000_000):
        assert echo.unary(b"x" * size, timeout=TIMEOUT) == b"x" * size, size


def gather(echo):
    messages = (b"x" * 50_000 for _ in range(100))
    assert echo.gather(messages, timeout=TIMEOUT) == b"5000000"


def scatter(echo):
    got = list(echo.scatter(b"1000", timeout=TIMEOUT))
    assert got == [str(number).encode() for number in range(1000)], got


def chat(echo):
    """Each message is sent when the answer to the one before is there."""
    answers = []

    def messages():
        for number in range(50):
            assert len(answers) == number
            yield str(number).encode()
            deadline = time.monotonic() + TIMEOUT
            while len(answers) == number and time.monotonic() < deadline:
                time.sleep(0.001)

    for answer in echo.chat(messages(), timeout=TIMEOUT):
        answers.append(answer)
    assert answers == [str(number).encode() for number in range(50)], answers


def metadata(echo):
    told = "x" * 16_000
    answer, call = echo.unary.with_call(b"", timeout=TIMEOUT, metadata=(("x-told", told),))
    assert dict(call.initial_metadata())["x-told-back"] == told
    trailing = dict(call.trailing_metadata())
    assert trailing["x-served-by"] == "one", trailing
    assert trailing["x-binary-bin"] == b"\x00\xff", trailing


def status(echo):
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        error = error_of(lambda: echo.fail(str(code.value[0]).encode(), timeout=TIMEOUT))
        assert error.code() is code, (error.code(), code)
        assert error.details() == "as asked: \u00e4", error.details()
        assert dict(error.trailing_metadata())["x-reason"] == "told"


def unknown(echo):
    error = error_of(lambda: echo.unknown(b"", timeout=TIMEOUT))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error
    assert "not found" in error.details().lower(), error


def elsewhere(echo):
    error = error_of(lambda: echo.elsewhere(b"", timeout=TIMEOUT))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error


def unavailable(echo):
    error = error_of(lambda: echo.unary(b"", timeout=TIMEOUT))
    assert error.code() is grpc.StatusCode.UNAVAILABLE, error


def deadline(echo):
    error = error_of(lambda: echo.wait(b"", timeout=2))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error
    print("gone", time.monotonic_ns())


def cancel(echo):
    """When the member has said that it waits, which this is told on standard input."""
    call = echo.wait.future(b"", timeout=TIMEOUT)
    sys.stdin.readline()
    call.cancel()
    print("gone", time.monotonic_ns())


def cancel_in_stream(echo):
    call = echo.wait_in_stream(iter(()), timeout=TIMEOUT)
    assert next(call) == b"begun"
    call.cancel()
    print("gone", time.monotonic_ns())


def balanced(echo):
    """On one connection, which gRPC makes of one channel."""
    served = Counter()
    for _ in range(20):
        _, call = echo.unary.with_call(b"", timeout=TIMEOUT)
        served[dict(call.trailing_metadata())["x-served-by"]] += 1
    assert served == {"one": 10, "two": 10}, served


CHECKS = [
    unary, gather, scatter, chat, metadata, status, unknown, elsewhere, unavailable, deadline, cancel,
    cancel_in_stream, balanced,
]
check = {check.__name__: check for check in CHECKS}[sys.argv[1]]
with connect(*sys.argv[2:]) as channel:
    check(Echo(channel))
