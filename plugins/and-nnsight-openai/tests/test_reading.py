"""What the model answers is read for what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from and_nnsight.explain.roles import Failure

from and_nnsight_openai import OpenAIChat

from .asking import OPTIONS, asked
from .faulty_server import (
    completion,
    reply,
    serving,
)


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
