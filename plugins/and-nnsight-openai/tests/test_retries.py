"""What is tried again and how often; what cannot be mended is said at once."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from and_nnsight.explain.roles import Conversation, Failure
from and_nnsight.plugins import PluginError

from and_nnsight_openai import OpenAIChat, requesting

from .asking import OPTIONS, PATIENT, asked, numbers
from .faulty_server import (
    Fault,
    Handler,
    Server,
    never,
    reply,
    serving,
)


def always(status: int, message: str, **error: Any) -> Fault:
    return lambda server, handler, body: reply(handler, status, {"error": {"message": message, **error}})


def test_retry_after_is_respected_by_all(at: Callable[..., OpenAIChat]) -> None:
    times: list[float] = []

    def busy(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        times.append(time.monotonic())
        return server.number == 1 and reply(handler, 429, {"error": {"message": "busy"}}, retry_after="0.6")

    with serving(busy) as server:
        assert list(at(server, concurrency=1).chat(asked("a", "b"), OPTIONS)) == ["re: a", "re: b"]
    assert times[1] - times[0] >= 0.6


@pytest.mark.parametrize(
    ("value", "least"), [("12", 12.0), ("0", 0.0), ("Fri, 31 Dec 2100 23:59:59 GMT", 1e9), ("?", None)]
)
def test_retry_after_is_seconds_or_a_date(value: str, least: float | None) -> None:
    wait = requesting._retry_after({"retry-after": value})
    assert wait is None if least is None else wait is not None and wait >= least


def test_a_wait_of_hours_is_not_sat_out(at: Callable[..., OpenAIChat]) -> None:
    def quota(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return reply(handler, 429, {"error": {"message": "daily limit"}}, retry_after="7200")

    with serving(quota) as server, pytest.raises(PluginError, match=r"wait 7200 s \(daily limit\)"):
        list(at(server).chat(asked("a"), OPTIONS))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (always(401, "bad key"), r"answered 401: bad key \(check OPENAI_API_KEY\)"),
        (always(404, "no model a-model"), "answered 404: no model a-model"),
        (always(429, "You exceeded your quota", code="insufficient_quota"), "insufficient_quota"),
    ],
)
def test_what_would_meet_every_request_stops_at_once(at: Callable[..., OpenAIChat], fault: Fault, reason: str) -> None:
    with serving(fault) as server, pytest.raises(PluginError, match=reason):
        list(at(server).chat(asked(*numbers(500)), OPTIONS))
    assert server.number <= 16


def test_no_server_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # ours as long as it is open, so that nobody else comes to listen there
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        with pytest.raises(PluginError, match=f"no server answers at http://127.0.0.1:{port}/v1"):
            list(OpenAIChat("a-model").chat(asked(*numbers(100)), OPTIONS))


def test_a_server_that_stays_ill_gives_failures_and_then_an_error(at: Callable[..., OpenAIChat]) -> None:
    answers: list[str | Failure] = []
    with serving(always(503, "ill")) as server, pytest.raises(PluginError, match="40 requests in a row"):
        for _, answer in at(server, attempts=2).chat_unordered(asked(*numbers(500)), OPTIONS):
            answers.append(answer)
    assert answers == [Failure("given up after 2 tries: 503: ill")] * 39


def test_time_outs_are_failures_of_their_own_conversations(
    at: Callable[..., OpenAIChat], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = requesting.Requesting._try

    async def patient_but_with_b(self: Any, client: Any, conversation: Conversation, parameters: Any) -> Any:
        self._timeout = 0.3 if conversation[-1].content == "b" else PATIENT  # the others are answered, however late
        return await tries(self, client, conversation, parameters)

    monkeypatch.setattr(requesting.Requesting, "_try", patient_but_with_b)

    def hangs(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return body["messages"][-1]["content"] == "b" and never(handler)

    with serving(hangs) as server:
        first, second, third = at(server, concurrency=1, attempts=2).chat(asked("a", "b", "c"), OPTIONS)
    assert (first, third) == ("re: a", "re: c")
    assert second == Failure("given up after 2 tries: no answer within 0.3 s")


def test_a_server_that_trickles_is_not_waited_for_for_ever(at: Callable[..., OpenAIChat]) -> None:
    def trickles(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _ in range(1000):  # most of a minute, after which the answer is there, and is junk
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
        return True

    with serving(trickles) as server:
        (answer,) = at(server, timeout=0.4, attempts=1).chat(asked("a"), OPTIONS)
    assert answer == Failure("given up after 1 try: no answer within 0.4 s")


@pytest.mark.parametrize(
    "junk", ["", "null", "[]", '"yes"', "{}", '{"choices": [{}]}', '{"choices": [{"message": null}]}', "<html>"]
)
def test_junk_is_a_failure_after_some_tries(at: Callable[..., OpenAIChat], junk: str) -> None:
    with serving(lambda server, handler, body: reply(handler, 200, junk)) as server:
        (answer,) = at(server, attempts=3).chat(asked("a"), OPTIONS)
    assert isinstance(answer, Failure)
    assert "given up after 3 tries: the response is no chat completion" in answer.reason
    assert server.number == 3


def says(status: int, body: Any) -> Fault:
    return lambda server, handler, asked: reply(handler, status, body)


def test_a_server_that_forbids_everything_ends_the_run(at: Callable[..., OpenAIChat]) -> None:
    with serving(says(403, "no")) as server, pytest.raises(PluginError, match="answered nothing .check OPENAI_API_KEY"):
        list(at(server, concurrency=1).chat(asked(*numbers(500)), OPTIONS))
    assert server.number < 20


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            400,
            [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}],
            "OPENAI_API_KEY",
        ),
        (
            403,
            {"error": {"message": "Project does not have access to model `a-model`", "code": "model_not_found"}},
            "model",
        ),
        (400, {"error": {"message": "a-model is not a valid model ID", "code": 400}}, "check the model's name"),
        (404, {"error": 'model "a-model" not found, try pulling it first'}, "check the model's name"),
        (401, "", "OPENAI_API_KEY"),
        (200, {"error": {"code": 401, "message": "No auth credentials found"}}, "OPENAI_API_KEY"),
        (404, "<html><body>nginx</body></html>", "check OPENAI_BASE_URL"),
    ],
)
def test_a_wrong_key_or_model_ends_the_run_whatever_status_it_has(
    at: Callable[..., OpenAIChat], status: int, body: Any, reason: str
) -> None:
    with serving(says(status, body)) as server, pytest.raises(PluginError, match=reason):
        list(at(server).chat(asked(*numbers(100)), OPTIONS))
    assert server.number <= 16


def test_an_error_with_the_status_of_a_success_is_tried_again(at: Callable[..., OpenAIChat]) -> None:
    def limited(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return server.number == 1 and reply(handler, 200, {"error": {"code": 429, "message": "slow down"}})

    with serving(limited) as server:
        assert list(at(server).chat(asked("a"), OPTIONS)) == ["re: a"]
    assert server.number == 2


def test_no_password_or_key_is_ever_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://me:hunter2@127.0.0.1:{port}/v1?api_key=hunter2")
        with pytest.raises(PluginError, match="no server answers at") as error:
            list(OpenAIChat("a-model").chat(asked("a"), OPTIONS))
    assert "hunter2" not in str(error.value)
    monkeypatch.setenv("OPENAI_BASE_URL", "me:hunter2@localhost:8000/v1")
    with pytest.raises(PluginError, match="is to begin with http://") as error:
        OpenAIChat("a-model")
    assert "hunter2" not in str(error.value)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2…")
    with pytest.raises(PluginError, match="copy it again"):
        OpenAIChat("a-model")
