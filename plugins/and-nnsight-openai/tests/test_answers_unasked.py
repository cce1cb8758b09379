"""Answers of servers in shapes that nobody asked for: streams of events, tools, floods, marks of the byte order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from and_nnsight.explain.roles import ChatOptions, Failure, Message

from and_nnsight_openai import OpenAIChat
from and_nnsight_openai.reading import Junk, read_answer

from .faulty_server import completion, reply, serving

CALLED = Failure("the model called a tool, and none was offered, instead of answering")


def events(*parts: dict[str, Any], end: str = "[DONE]") -> str:
    chunks = [json.dumps({"choices": [{"index": 0, **part}]}) for part in parts]
    return "".join(f"data: {chunk}\n\n" for chunk in (*chunks, end))


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            events({"delta": {"role": "assistant"}}, {"delta": {"content": "Most "}}, {"delta": {"content": "bark."}}),
            "Most bark.",
        ),
        (events({"delta": {"content": None, "reasoning_content": "Hm."}}, {"delta": {"content": "Yes."}}), "Yes."),
        (
            events({"delta": {"content": "half"}, "finish_reason": "content_filter"}),
            Failure("the server's content filter stopped the answer"),
        ),
        (f"data: {json.dumps(completion('It barks.'))}\n\ndata: [DONE]\n\n", "It barks."),
        ("\ufeff" + json.dumps(completion("It barks.")), "It barks."),
        (json.dumps(completion(None, "tool_calls", tool_calls=[{"id": "1", "function": {"name": "f"}}])), CALLED),
        (json.dumps(completion(None, function_call={"name": "f", "arguments": "{}"})), CALLED),
        (json.dumps(completion('<tool_call>{"name": "describe"}</tool_call>')), CALLED),
        (json.dumps(completion('[TOOL_CALLS] [{"name": "describe"}]')), CALLED),
        (json.dumps(completion("<function=describe>{}</function>")), CALLED),
        (json.dumps(completion("A tool_call rings.")), "A tool_call rings."),
        (
            json.dumps(completion(None, reasoning_details=[{"text": "Hm."}])),
            Failure("the answer is empty but for the model's reasoning"),
        ),
        (
            json.dumps(completion("word " * 10_000)),
            Failure("the answer has 50,000 characters, and 100 tokens were asked for"),
        ),
        (json.dumps(completion("word " * 1_000)), "word " * 1_000),
    ],
)
def test_an_answer_is_read_for_what_it_is(body: str, answer: str | Failure) -> None:
    assert read_answer(body, 100) == answer


@pytest.mark.parametrize("body", ["data: [DONE]", "data: {", "data: 3\n\ndata: []", events({"delta": 3})])
def test_events_that_are_no_answer_are_junk(body: str) -> None:
    assert isinstance(read_answer(body, 100), Junk)


def test_floods_of_a_server_are_failures_of_their_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = completion("word " * 1_000_000)
    with serving(lambda server, handler, asked: reply(handler, 200, flood)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        (answer,) = OpenAIChat("any").chat([(Message("user", "hello"),)], ChatOptions(max_tokens=50))
    assert answer == Failure("the answer has 5,000,000 characters, and 50 tokens were asked for")
