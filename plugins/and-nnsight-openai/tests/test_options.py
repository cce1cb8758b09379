"""A server that refuses an option or a role is asked in the form that it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from and_nnsight.explain.providers.requests import cached_chat
from and_nnsight.explain.records.reading import read_table
from and_nnsight.explain.roles import ChatOptions, Failure

from and_nnsight_openai import OpenAIChat

from .asking import OPTIONS, asked, numbers
from .bare_dissection import bare_dissection
from .faulty_server import (
    Handler,
    Server,
    reply,
    serving,
)


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
