"""Every answer arrives, at its place, whatever the server does."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from and_nnsight.explain.providers.requests import cached_chat
from and_nnsight.explain.records.reading import read_table
from and_nnsight.explain.roles import Failure
from and_nnsight.plugins import PluginError, make

from and_nnsight_openai import OpenAIChat

from .asking import OPTIONS, PATIENT, asked, numbers
from .bare_dissection import bare_dissection
from .faulty_server import (
    Handler,
    Server,
    every_third_answer_is_bad,
    every_third_request_fails,
    serving,
)

ALWAYS = 1_000  # tries: nothing is given up


def soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENT
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


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


def test_text_that_is_no_unicode_is_sent_as_far_as_it_can_be(at: Callable[..., OpenAIChat]) -> None:
    with serving():
        pass
    with serving() as server:
        assert list(at(server).chat(asked("a \ud800 b"), OPTIONS)) == ["re: a ? b"]


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
