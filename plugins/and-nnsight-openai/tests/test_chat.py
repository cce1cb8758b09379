"""Every answer arrives, at its place, whatever the server does; and what cannot be mended is said at once."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from and_nnsight.dissection import Dissection
from and_nnsight.explain.requests import remembered
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure, Message
from and_nnsight.explain.tables import read_table
from and_nnsight.plugins import PluginError, make

from and_nnsight_openai import OpenAIChat, requesting

from .faulty_server import (
    Fault,
    Handler,
    Server,
    completion,
    every_third_answer_is_bad,
    every_third_request_fails,
    never,
    reply,
    serving,
)

OPTIONS = ChatOptions(max_tokens=33, temperature=0.25, top_p=0.75, seed=7)
PATIENT = 300.0  # seconds: what is in time where the machine is held back, too
ALWAYS = 1_000  # tries: nothing is given up


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requesting, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(requesting, "_LONGEST_DELAY", 0.1)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., OpenAIChat]:
    def chat(server: Server, **settings: Any) -> OpenAIChat:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        return OpenAIChat("a-model", **settings)

    return chat


def asked(*texts: str) -> list[Conversation]:
    return [(Message("system", "Be brief."), Message("user", text)) for text in texts]


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENT
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def always(status: int, message: str, **error: Any) -> Fault:
    return lambda server, handler, body: reply(handler, status, {"error": {"message": message, **error}})


def test_every_answer_arrives_at_its_place_though_every_third_request_fails(at: Callable[..., OpenAIChat]) -> None:
    with serving(every_third_request_fails) as server:
        answers = list(at(server, timeout=1.0, attempts=ALWAYS).chat(asked(*numbers(60)), OPTIONS))
    assert answers == [f"re: {text}" for text in numbers(60)]
    assert server.number >= 60 + 60 // 3


def test_identical_requests_are_sent_once_through_a_server_that_fails(
    tmp_path: Path, at: Callable[..., OpenAIChat]
) -> None:
    texts = [str(number % 20) for number in range(60)]
    with (
        serving(every_third_answer_is_bad) as server,
        remembered(Dissection(tmp_path, {}), at(server, timeout=PATIENT, attempts=ALWAYS)) as chat,
    ):
        assert list(chat.chat(asked(*texts), OPTIONS)) == [f"re: {text}" for text in texts]
        assert list(chat.chat(asked(*texts), OPTIONS)) == [f"re: {text}" for text in texts]
    assert set(server.asked) == set(texts)
    assert server.answered == dict.fromkeys(texts, 1)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, at: Callable[..., OpenAIChat]) -> None:
    over = threading.Event()

    def interrupted(chat: Any) -> None:
        for number, _ in enumerate(chat.chat(asked(*numbers(40)), OPTIONS)):
            if number == 9:
                raise KeyboardInterrupt

    def waits_in_the_middle(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return int(body["messages"][-1]["content"]) >= 20 and not over.wait(PATIENT)

    with serving(waits_in_the_middle) as server:
        model = at(server, concurrency=4, timeout=PATIENT)
        with pytest.raises(KeyboardInterrupt), remembered(Dissection(tmp_path, {}), model) as chat:
            interrupted(chat)
        recorded = [row["messages"] for row in read_table(Dissection(tmp_path, {}), "requests")]
        assert 10 <= len(recorded) <= 20
        assert server.number - len(recorded) <= 4 * 5  # those in flight, and those that nobody had taken yet
        over.set()
        with remembered(Dissection(tmp_path, {}), model) as chat:
            assert list(chat.chat(asked(*numbers(40)), OPTIONS)) == [f"re: {text}" for text in numbers(40)]
    for text in numbers(40):
        done = any(json.loads(messages)[-1]["content"] == text for messages in recorded)
        assert server.asked[text] == 1 if done else server.asked[text] in (1, 2)


def test_a_slow_answer_holds_up_no_other_and_none_is_lost(tmp_path: Path, at: Callable[..., OpenAIChat]) -> None:
    def first_waits_for_all(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        # The last is asked by whoever has taken in the answers to all but it and the first.
        return body["messages"][-1]["content"] == "0" and not soon(lambda: len(server.asked) == 30)

    with (
        serving(first_waits_for_all) as server,
        remembered(Dissection(tmp_path, {}), at(server, concurrency=2, timeout=PATIENT)) as chat,
    ):
        answers = iter(chat.chat(asked(*numbers(30)), OPTIONS))
        assert next(answers) == "re: 0"
        assert len(chat._table) >= 29
    assert server.most_in_flight == 2


def test_no_more_requests_are_in_flight_than_allowed(at: Callable[..., OpenAIChat]) -> None:
    together = threading.Barrier(5)

    def five_by_five(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return together.wait(PATIENT) < 0

    with serving(five_by_five) as server:
        list(at(server, concurrency=5, timeout=PATIENT).chat(asked(*numbers(25)), OPTIONS))
    assert server.most_in_flight == 5


def test_nobody_who_takes_nothing_is_run_ahead_of(at: Callable[..., OpenAIChat]) -> None:
    with serving() as server:
        answers = at(server, concurrency=2).chat_unordered(asked(*numbers(100)), OPTIONS)
        next(answers)
        assert soon(lambda: server.number == 2 * 4 + 1)
        time.sleep(0.3)
        assert server.number == 2 * 4 + 1
        answers.close()
        time.sleep(0.3)
        assert server.number == 2 * 4 + 1


def test_it_works_inside_a_running_event_loop(at: Callable[..., OpenAIChat]) -> None:
    with serving() as server:
        chat = at(server)

        async def in_a_notebook() -> list[str | Failure]:
            return list(chat.chat(asked("a", "b"), OPTIONS))

        assert asyncio.run(in_a_notebook()) == ["re: a", "re: b"]


def test_the_server_gets_the_conversation_the_options_and_the_key(
    at: Callable[..., OpenAIChat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    with serving() as server:
        list(at(server).chat(asked("a"), OPTIONS))
    (body,) = server.bodies
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}]
    assert {name: body[name] for name in ("model", "max_tokens", "temperature", "top_p", "seed")} == {
        "model": "a-model",
        "max_tokens": 33,
        "temperature": 0.25,
        "top_p": 0.75,
        "seed": 7,
    }
    assert server.headers[0]["authorization"] == "Bearer a-secret"


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
    assert answer == Failure("given up after 1 tries: no answer within 0.4 s")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (completion("It barks", "length"), "It barks"),
        (
            completion("", "length"),
            Failure("the answer is empty: max_tokens were used up before it began (by reasoning?)"),
        ),
        (completion(None), Failure("the answer is empty")),
        (completion("  \n"), Failure("the answer is empty")),
        (completion(None, refusal="I must not."), Failure("the model refused: I must not.")),
        (completion("half of it", "content_filter"), Failure("the server's content filter stopped the answer")),
        (completion([{"type": "text", "text": "hi"}]), Failure("the answer is no text")),
    ],
)
def test_what_the_model_answers_is_read_for_what_it_is(
    at: Callable[..., OpenAIChat], body: Any, answer: str | Failure
) -> None:
    with serving(lambda server, handler, asked: reply(handler, 200, body)) as server:
        assert list(at(server).chat(asked("a"), OPTIONS)) == [answer]
    assert server.number == 1


@pytest.mark.parametrize(
    "junk", ["", "null", "[]", '"yes"', "{}", '{"choices": [{}]}', '{"choices": [{"message": null}]}', "<html>"]
)
def test_junk_is_a_failure_after_some_tries(at: Callable[..., OpenAIChat], junk: str) -> None:
    with serving(lambda server, handler, body: reply(handler, 200, junk)) as server:
        (answer,) = at(server, attempts=3).chat(asked("a"), OPTIONS)
    assert isinstance(answer, Failure)
    assert "given up after 3 tries: the response is no chat completion" in answer.reason
    assert server.number == 3


def test_a_server_that_wants_another_name_for_max_tokens_gets_it(at: Callable[..., OpenAIChat]) -> None:
    def newer(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return "max_tokens" in body and reply(
            handler,
            400,
            {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                       "'max_completion_tokens' instead.", "param": "max_tokens", "code": "unsupported_parameter"}},
        )  # fmt: skip

    with serving(newer) as server:
        chat = at(server, concurrency=1)
        assert list(chat.chat(asked("a", "b", "c"), OPTIONS)) == ["re: a", "re: b", "re: c"]
    assert server.number == 4  # learned once
    assert server.bodies[-1]["max_completion_tokens"] == 33


def test_an_option_that_the_server_does_not_take_is_left_out_and_said_once(at: Callable[..., OpenAIChat]) -> None:
    def strict(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return "seed" in body and reply(handler, 422, {"detail": "body.seed: Extra inputs are not permitted"})

    with serving(strict) as server, pytest.warns(RuntimeWarning, match=r"does not take 'seed' \(7\)") as warned:
        answers = list(at(server, concurrency=3).chat(asked(*numbers(9)), OPTIONS))
    assert answers == [f"re: {text}" for text in numbers(9)]
    assert [warning.category for warning in warned].count(RuntimeWarning) == 1
    assert "temperature" in server.bodies[-1]


def test_a_conversation_that_is_too_long_is_its_own_failure_and_costs_no_option(at: Callable[..., OpenAIChat]) -> None:
    message = "'max_tokens' is too large: 33. This model's maximum context length is 10 tokens."

    def small(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        return body["messages"][-1]["content"] == "flood" and reply(handler, 400, {"error": {"message": message}})

    with serving(small) as server:
        first, second, third = at(server, concurrency=1).chat(asked("a", "flood", "c"), OPTIONS)
    assert (first, third) == ("re: a", "re: c")
    assert second == Failure(f"the server answered 400: {message}")
    assert server.bodies[-1]["max_tokens"] == 33


def test_it_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match="needs more: openai:MODEL"):
        make("chat model", "openai")
    with pytest.raises(PluginError, match="set OPENAI_API_KEY, or OPENAI_BASE_URL"):
        make("chat model", "openai:gpt-oss-20b")
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    assert make("chat model", "openai:gpt-oss-20b", device="cpu", batch_size=8).name == "openai:gpt-oss-20b"
    monkeypatch.setenv("AND_NNSIGHT_OPENAI_CONCURRENCY", "many")
    with pytest.raises(PluginError, match="AND_NNSIGHT_OPENAI_CONCURRENCY is to be a number, not 'many'"):
        make("chat model", "openai:gpt-oss-20b")


def test_nothing_asked_is_nothing_sent(at: Callable[..., OpenAIChat]) -> None:
    with serving() as server:
        assert list(at(server).chat([], OPTIONS)) == []
    assert server.number == 0
