"""A gRPC server that says what happens to it. Arguments: its name."""

import sys
import threading
import time
from concurrent import futures

import grpc

NAME = sys.argv[1]


def unary(request, context):
    """The same bytes, with what was told in metadata told back."""
    told = dict(context.invocation_metadata()).get("x-told", "")
    context.send_initial_metadata((("x-told-back", told),))
    context.set_trailing_metadata((("x-served-by", NAME), ("x-binary-bin", b"\x00\xff")))
    return request


def gather(requests, context):
    """The number of bytes of all messages together."""
    return str(sum(len(request) for request in requests)).encode()


def scatter(request, context):
    """So many messages as the request says."""
    for number in range(int(request)):
        yield str(number).encode()


def chat(requests, context):
    """Every message, as soon as it is there."""
    yield from requests


def fail(request, context):
    """The status of this number."""
    context.set_trailing_metadata((("x-reason", "told"),))
    code = next(code for code in grpc.StatusCode if code.value[0] == int(request))
    context.abort(code, "as asked: \u00e4")


def wait(request, context):
    """Waits until the client has gone."""
    gone = threading.Event()
    context.add_callback(gone.set)
    left = context.time_remaining()
    print("waiting", "for ever" if left is None or left > 1e6 else round(left), flush=True)
    gone.wait(60)
    print("gone", time.monotonic_ns(), flush=True)
    return b""


def wait_in_stream(requests, context):
    """One message, and no more until the client has gone: perhaps before more is requested."""
    gone = threading.Event()

    def note():
        print("gone", time.monotonic_ns(), flush=True)
        gone.set()

    context.add_callback(note)
    yield b"begun"
    gone.wait(60)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Gather": grpc.stream_unary_rpc_method_handler(gather),
    "Scatter": grpc.unary_stream_rpc_method_handler(scatter),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Wait": grpc.unary_unary_rpc_method_handler(wait),
    "WaitInStream": grpc.stream_stream_rpc_method_handler(wait_in_stream),
}

server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=32),
    options=(("grpc.max_receive_message_length", -1), ("grpc.max_metadata_size", 65536)),
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", METHODS),))
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
