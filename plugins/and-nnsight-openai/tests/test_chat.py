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
from and_nnsight.explain.providers.requests import cached_chat
from and_nnsight.explain.records.reading import read_table
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure, Message
from and_nnsight.plugins import PluginError, make

from and_nnsight_openai import OpenAIChat, requesting

from .bare_dissection import bare_dissection
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
        cached_chat(bare_dissection(tmp_path), at(server, timeout=PATIENT, attempts=ALWAYS)) as chat,
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
        with pytest.raises(KeyboardInterrupt), cached_chat(bare_dissection(tmp_path), model) as chat:
            interrupted(chat)
        recorded = [row.messages for row in read_table(bare_dissection(tmp_path), "requests")]
        assert 10 <= len(recorded) <= 20
        assert server.number - len(recorded) <= 4 * 5  # those in flight, and those that nobody had taken yet
        over.set()
        with cached_chat(bare_dissection(tmp_path), model) as chat:
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
        cached_chat(bare_dissection(tmp_path), at(server, concurrency=2, timeout=PATIENT)) as chat,
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
    assert answer == Failure("given up after 1 try: no answer within 0.4 s")


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
        (completion([{"type": "text", "text": "hi"}]), "hi"),
        (
            completion(
                [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "hi"}]
            ),
            "hi",
        ),
        (
            completion([{"type": "reasoning", "text": "Hm."}, "h", {"type": "output_text", "text": {"value": "i"}}]),
            "hi",
        ),
        (completion({"type": "text", "text": "hi"}), "hi"),
        (completion([{"type": "thinking", "thinking": "Hm."}]), Failure("the answer is empty")),
        (completion([{"type": "refusal", "refusal": "No."}]), Failure("the model refused: No.")),
        (completion([]), Failure("the answer is empty")),
        (completion(7), Failure("the answer is no text")),
        (completion("hi", reasoning_content="Hm."), "hi"),
        (completion(None, reasoning_content="Hm."), Failure("the answer is empty but for the model's reasoning")),
        (completion("", reasoning="Hm."), Failure("the answer is empty but for the model's reasoning")),
        (completion(None, "SAFETY"), Failure("the server's content filter stopped the answer")),
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


def says(status: int, body: Any) -> Fault:
    return lambda server, handler, asked: reply(handler, status, body)


NO_SYSTEM = [
    (400, {"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400}),
    (400, {"error": {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}}),
    (400, [{"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3", "status": "X"}}]),
    (500, {"error": {"code": 500, "message": "Value is not callable: Jinja Exception: System role not supported"}}),
    (400, {"error": {"message": "Unsupported value: 'messages[0].role' does not support 'system' with this model."}}),
    (422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant': the role "
                       "'system' is not supported", "input": "system"}]}),
    (400, "system messages are not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), NO_SYSTEM)
def test_a_server_without_a_system_role_gets_the_system_turn_in_the_users(
    at: Callable[..., OpenAIChat], status: int, body: Any
) -> None:
    def strict(server: Server, handler: Handler, sent: dict[str, Any]) -> bool:
        return sent["messages"][0]["role"] == "system" and reply(handler, status, body)

    with serving(strict) as server:
        answers = list(at(server, concurrency=1).chat(asked("a", "b"), OPTIONS))
    assert answers == ["re: Be brief.\n\na", "re: Be brief.\n\nb"]
    assert server.number == 3  # learned once
    assert {"temperature", "top_p", "seed"} <= server.bodies[-1].keys()


def test_a_top_p_that_says_nothing_is_left_out_in_silence(at: Callable[..., OpenAIChat]) -> None:
    def strict(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        message = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        return {"temperature", "top_p"} <= body.keys() and reply(handler, 400, {"error": {"message": message}})

    with serving(strict) as server:
        assert list(at(server, concurrency=1).chat(asked("a", "b"), ChatOptions())) == ["re: a", "re: b"]
    assert server.number == 3
    assert server.bodies[-1]["temperature"] == 0 and "top_p" not in server.bodies[-1]


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("temperature", 422, {"error": "`temperature` must be strictly positive", "error_type": "validation"}),
        ("temperature", 400, {"error": {"message": "Unsupported value: 'temperature' does not support 0.25 with this "
                                        "model. Only the default (1) value is supported.", "param": "temperature"}}),
        ("top_p", 400, {"object": "error", "message": "top_p must be 1 when using greedy sampling."}),
        ("seed", 400, [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "seed": Cannot '
                                  'find field.', "status": "INVALID_ARGUMENT"}}]),
        ("seed", 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "input": 7,
                                   "msg": "Extra inputs are not permitted"}]}),
        ("seed", 400, "seed is not supported"),
        ("seed", 400, {"errors": ["unknown field: seed"]}),
        ("seed", 400, {"message": '{"error": {"message": "unexpected property seed"}}'}),
        ("seed", 400, "<html><body><h1>Bad request</h1><p>unknown field <b>seed</b></p></body></html>"),
    ],
)  # fmt: skip
def test_an_option_is_left_out_however_its_refusal_is_put(
    at: Callable[..., OpenAIChat], name: str, status: int, body: Any
) -> None:
    with (
        serving(lambda server, handler, sent: name in sent and reply(handler, status, body)) as server,
        pytest.warns(RuntimeWarning, match=f"does not take '{name}'"),
    ):
        assert list(at(server, concurrency=1).chat(asked("a", "b"), OPTIONS)) == ["re: a", "re: b"]
    assert server.number == 3
    assert {"temperature", "top_p", "seed", "max_tokens"} - server.bodies[-1].keys() == {name}


def test_a_server_that_does_not_say_what_it_does_not_take_is_asked_barely(at: Callable[..., OpenAIChat]) -> None:
    with (
        serving(lambda server, handler, sent: "seed" in sent and reply(handler, 400, "")) as server,
        pytest.warns(RuntimeWarning, match="does not take 'temperature, top_p, seed'"),
    ):
        answers = list(at(server, concurrency=1).chat(asked("a", "b"), OPTIONS))
    assert answers == ["re: Be brief.\n\na", "re: Be brief.\n\nb"]
    assert server.number == 3


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged",
                         "metadata": {"reasons": ["violence"], "flagged_input": "b"}}}),
        (403, ""),
        (403, "<html><title>403 Forbidden</title></html>"),
        (400, {"error": {"code": "content_filter", "message": "The response was filtered: temperature is not allowed"}}),
        (400, "Bad request"),
        (400, {}),
        (400, "null"),
        (413, "<h1>Payload too large</h1>"),
        (451, {"detail": ["no"]}),
    ],
)  # fmt: skip
def test_a_conversation_that_is_refused_is_one_failure(at: Callable[..., OpenAIChat], status: int, body: Any) -> None:
    def refuses(server: Server, handler: Handler, sent: dict[str, Any]) -> bool:
        return "b" in sent["messages"][-1]["content"] and reply(handler, status, body)

    with serving(refuses) as server:
        first, second, third = at(server, concurrency=1).chat(asked("a", "b", "c"), OPTIONS)
    assert (first, third) == ("re: a", "re: c")
    assert isinstance(second, Failure) and f"the server answered {status}: " in second.reason
    assert "<" not in second.reason
    assert {"temperature", "top_p", "seed"} <= server.bodies[-1].keys()
    assert server.number == 3


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


def test_text_that_is_no_unicode_is_sent_as_far_as_it_can_be(at: Callable[..., OpenAIChat]) -> None:
    with serving():
        pass
    with serving() as server:
        assert list(at(server).chat(asked("a \ud800 b"), OPTIONS)) == ["re: a ? b"]


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


def test_a_request_that_was_sent_in_another_form_is_on_record_as_it_was_asked(
    tmp_path: Path, at: Callable[..., OpenAIChat]
) -> None:
    def strict(server: Server, handler: Handler, sent: dict[str, Any]) -> bool:
        return sent["messages"][0]["role"] == "system" and reply(handler, *NO_SYSTEM[0])

    with serving(strict) as server:
        for _ in range(2):
            with cached_chat(bare_dissection(tmp_path), at(server)) as chat:
                assert list(chat.chat(asked("a"), OPTIONS)) == ["re: Be brief.\n\na"]
    assert server.number == 2
    (row,) = read_table(bare_dissection(tmp_path), "requests")
    assert json.loads(row.messages)[0]["role"] == "system"


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
