"""A real HTTP server on loopback that answers chat requests, and does not when it is told so."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handler = BaseHTTPRequestHandler
Fault = Callable[["Server", Handler, dict[str, Any]], bool]


class Server:
    """What was asked and how often, and how many requests were in flight at once."""

    def __init__(self, fault: Fault) -> None:
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.number, self.in_flight, self.most_in_flight = 0, 0, 0
        self.answered: Counter[str] = Counter()
        self.url = ""
        self.this = threading.local()  # the number of the request that this thread answers
        self._fault, self._lock = fault, threading.Lock()

    def handle(self, handler: Handler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        text = body["messages"][-1]["content"]
        with self._lock:
            self.number += 1
            self.this.number = self.number
            self.asked[text] += 1
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answers = not self._fault(self, handler, body)
        finally:
            with self._lock:  # before the answer: who has it asks the next thing, while this thread may have to wait
                self.in_flight -= 1
        if answers:
            with self._lock:
                self.answered[text] += 1
            reply(handler, 200, completion(f"re: {text}"))


@contextmanager
def serving(fault: Fault = lambda server, handler, body: False) -> Iterator[Server]:
    """A server on a free port. `fault` may answer in its place: then it says True."""
    server = Server(fault)

    class Handles(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                server.handle(self)
            except (BrokenPipeError, ConnectionResetError):  # the client would not wait
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    class Listens(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # connections that are cut are what is tested here

    listening = Listens(("127.0.0.1", 0), Handles)
    server.url = f"http://127.0.0.1:{listening.server_port}/v1"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def reply(handler: Handler, status: int, body: Any, **headers: str) -> bool:
    """Answer with JSON, or with text as it is."""
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    handler.send_response(status)
    for name, value in {"content-type": "application/json", "content-length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)
    return True


def completion(content: Any, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **message},
    }
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "any", "choices": [choice]}


def never(handler: Handler) -> bool:
    """No answer: wait until the client hangs up."""
    handler.connection.settimeout(300)
    handler.close_connection = True
    return handler.connection.recv(1) == b""


def every_third_request_fails(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
    """In turn: 500, 429 with Retry-After, a connection cut, no answer, and what `every_third_answer_is_bad` does."""
    if server.this.number % 12 == 9:
        return never(handler)
    return every_third_answer_is_bad(server, handler, body)


def every_third_answer_is_bad(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
    """In turn: 500, 429 with Retry-After, a connection cut, junk, no choices, half an answer. None is slow."""
    if server.this.number % 3:
        return False
    fault = server.this.number // 3 % 6
    if fault == 0:
        return reply(handler, 500, {"error": {"message": "oops"}})
    if fault == 1:
        return reply(handler, 429, {"error": {"message": "slow down"}}, retry_after="0.05")
    if fault == 2:
        handler.close_connection = True
        handler.connection.close()
        return True
    if fault == 3:
        return reply(handler, 200, "<html>proxy says hello")
    if fault == 4:
        return reply(handler, 200, {"choices": []})
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.close_connection = True
    return True
