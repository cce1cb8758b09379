"""Chat requests are sent once, and every answer belongs to its conversation whatever the chat model does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from and_nnsight.explain.providers.requests import cached_chat
from and_nnsight.explain.records.reading import read_table
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure, Message, Request
from and_nnsight.plugins import PluginError
from tests.bare_dissection import bare_dissection

OPTIONS = ChatOptions()


class Scripted:
    """A chat model that does what it is told and remembers what it was asked."""

    name = "scripted:1"

    def __init__(self, answers: Callable[[list[str]], Any]) -> None:
        self.asked: list[str] = []
        self._answers = answers

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Any:
        texts = [conversation[-1].content for conversation in conversations]
        self.asked += texts
        return self._answers(texts)


def echo(texts: list[str]) -> Iterator[str | Failure]:
    return (f"re: {text}" for text in texts)


def said(*texts: str) -> list[Conversation]:
    return [(Message("system", "Be brief."), Message("user", text)) for text in texts]


def ask(folder: Path, model: Any, *texts: str, options: ChatOptions = OPTIONS, **settings: Any) -> list[str | Failure]:
    with cached_chat(bare_dissection(folder), model, **settings) as chat:
        return list(chat.chat(said(*texts), options))


def records(folder: Path) -> dict[str, dict[str, Any]]:
    rows = read_table(bare_dissection(folder), "requests")
    return {json.loads(row.messages)[-1]["content"]: row for row in rows}


def test_identical_requests_are_sent_once_and_answered_in_order(tmp_path: Path) -> None:
    model = Scripted(echo)
    assert ask(tmp_path, model, "a", "b", "a", "c", "b") == ["re: a", "re: b", "re: a", "re: c", "re: b"]
    assert model.asked == ["a", "b", "c"]
    assert ask(tmp_path, model, "d", "c", "a", "d") == ["re: d", "re: c", "re: a", "re: d"]
    assert model.asked == ["a", "b", "c", "d"]


def test_what_differs_in_model_or_options_is_another_request(tmp_path: Path) -> None:
    model, other = Scripted(echo), Scripted(echo)
    other.name = "scripted:2"
    ask(tmp_path, model, "a")
    ask(tmp_path, model, "a", options=ChatOptions(seed=1))
    ask(tmp_path, other, "a")
    assert model.asked == ["a", "a"]
    assert other.asked == ["a"]
    assert len(read_table(bare_dissection(tmp_path), "requests")) == 3


def test_the_record_tells_everything_about_a_request(tmp_path: Path) -> None:
    options = ChatOptions(max_tokens=7, temperature=0.5, seed=11)
    with cached_chat(bare_dissection(tmp_path), Scripted(echo)) as chat:
        list(chat.chat(said("a"), options))
        key = chat.request_id(said("a")[0], options)
    (row,) = read_table(bare_dissection(tmp_path), "requests")
    assert row.id == key == Request("scripted:1", said("a")[0], options).id
    assert row.prompt_hash == Request("another", said("a")[0]).prompt_hash
    assert json.loads(row.messages) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
    ]
    assert json.loads(row.options) == {"max_tokens": 7, "temperature": 0.5, "top_p": 1.0, "seed": 11}
    assert (row.model, row.seed, row.answer, row.failure) == ("scripted:1", 11, "re: a", None)
    assert row.seconds >= 0


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_loses_only_what_is_in_flight(tmp_path: Path, interruption: type[BaseException]) -> None:
    def interrupted(texts: list[str]) -> Iterator[str]:
        for text in texts:
            if text == "c":
                raise interruption
            yield f"re: {text}"

    with pytest.raises(interruption):
        ask(tmp_path, Scripted(interrupted), "a", "b", "c", "d")
    assert set(records(tmp_path)) == {"a", "b"}
    model = Scripted(echo)
    assert ask(tmp_path, model, "a", "b", "c", "d") == ["re: a", "re: b", "re: c", "re: d"]
    assert model.asked == ["c", "d"]


def test_answers_are_on_disk_as_they_come(tmp_path: Path) -> None:
    with cached_chat(bare_dissection(tmp_path), Scripted(echo)) as chat:
        answers = iter(chat.chat(said("a", "b"), OPTIONS))
        next(answers)
        journal = next((tmp_path / "explanations").glob(".requests*.jsonl"))
        assert [json.loads(line)["answer"] for line in journal.read_text().splitlines()] == ["re: a"]


def test_failures_are_recorded_and_asked_again_by_the_next_run_only(tmp_path: Path) -> None:
    model = Scripted(lambda texts: [Failure("busy") for _ in texts])
    with cached_chat(bare_dissection(tmp_path), model) as chat:
        assert list(chat.chat(said("a", "a"), OPTIONS)) == [Failure("busy")] * 2
        assert list(chat.chat(said("a"), OPTIONS)) == [Failure("busy")]
    assert model.asked == ["a"]
    assert records(tmp_path)["a"].failure == "busy"
    assert ask(tmp_path, Scripted(echo), "a") == ["re: a"]
    assert records(tmp_path)["a"].failure is None
    assert records(tmp_path)["a"].answer == "re: a"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, "NoneType"), ({"text": "hello"}, "dict"), (3, "int"), (b"hello", "bytes"), ("", "empty"), (" \n", "empty")],
)
def test_an_answer_that_is_no_text_is_a_failure_of_its_own_conversation(
    tmp_path: Path, answer: Any, reason: str
) -> None:
    model = Scripted(lambda texts: [answer if text == "b" else f"re: {text}" for text in texts])
    first, second, third = ask(tmp_path, model, "a", "b", "c")
    assert (first, third) == ("re: a", "re: c")
    assert isinstance(second, Failure)
    assert reason in second.reason


def test_too_few_answers_leave_failures_for_the_rest(tmp_path: Path) -> None:
    answers = ask(tmp_path, Scripted(lambda texts: echo(texts[:2])), "a", "b", "c", "d")
    assert answers[:2] == ["re: a", "re: b"]
    assert answers[2:] == [Failure("no answer: 2 came for 4")] * 2


@pytest.mark.parametrize("wrong", [lambda texts: ["x"] * (len(texts) + 1), lambda texts: ["x"], lambda texts: []])
def test_a_list_of_another_length_answers_nothing(tmp_path: Path, wrong: Callable[[list[str]], list[str]]) -> None:
    answers = ask(tmp_path, Scripted(wrong), "a", "b", "c")
    assert all(isinstance(answer, Failure) and "answers came for 3" in answer.reason for answer in answers)


def test_a_stream_of_too_many_answers_does_not_go_unnoticed(tmp_path: Path) -> None:
    def endless(texts: list[str]) -> Iterator[str]:
        while True:
            yield "x"

    assert isinstance(ask(tmp_path, Scripted(endless), "a", "b")[-1], Failure)


@pytest.mark.parametrize("nothing", [None, "one text for all", 5, {"a": "b", "b": "c"}, Failure("no")])
def test_what_is_no_stream_of_answers_at_all_is_a_failure_of_each(tmp_path: Path, nothing: Any) -> None:
    answers = ask(tmp_path, Scripted(lambda texts: nothing), "a", "b")
    assert len(answers) == 2
    assert all(isinstance(answer, Failure) for answer in answers)


def test_an_error_in_the_middle_costs_one_answer(tmp_path: Path) -> None:
    def raises(texts: list[str]) -> Iterator[str]:
        for text in texts:
            if text == "c":
                raise RuntimeError("out of memory")
            yield f"re: {text}"

    first, second, third, fourth = ask(tmp_path, Scripted(raises), "a", "b", "c", "d")
    assert (first, second, fourth) == ("re: a", "re: b", "re: d")
    assert third == Failure("it raised RuntimeError: out of memory")


def test_a_model_that_always_raises_is_not_called_for_every_conversation(tmp_path: Path) -> None:
    calls = []

    def raises(texts: list[str]) -> Iterable[str]:
        calls.append(len(texts))
        raise OSError("no route")

    answers = ask(tmp_path, Scripted(raises), *(str(number) for number in range(50)))
    assert answers == [Failure("it raised OSError: no route")] * 50
    assert len(calls) == 3


def test_what_the_user_did_wrong_is_raised(tmp_path: Path) -> None:
    def refuses(texts: list[str]) -> Iterator[str]:
        yield "re: a"
        raise PluginError("the key is wrong: set it")

    with pytest.raises(PluginError, match="the key is wrong"):
        ask(tmp_path, Scripted(refuses), "a", "b")
    assert set(records(tmp_path)) == {"a"}


def test_a_conversation_that_floods_is_not_sent(tmp_path: Path) -> None:
    model = Scripted(echo)
    first, second = ask(tmp_path, model, "a", "b" * 101, longest=100)
    assert first == "re: a"
    assert second == Failure("not sent: 110 characters, more than 100")
    assert model.asked == ["a"]
    flooding = [row for row in read_table(bare_dissection(tmp_path), "requests") if row.failure]
    assert [row.messages for row in flooding] == [None]


def test_answers_in_any_order_come_back_in_order_and_wait_for_none(tmp_path: Path) -> None:
    class Unordered(Scripted):
        def chat_unordered(
            self, conversations: Sequence[Conversation], options: ChatOptions
        ) -> Iterator[tuple[int, str | Failure]]:
            texts = [conversation[-1].content for conversation in conversations]
            self.asked += texts
            for place in reversed(range(len(texts))):
                if texts[place] == "a":
                    raise KeyboardInterrupt
                yield place, f"re: {texts[place]}"

    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path, Unordered(echo), "a", "b", "c")
    assert set(records(tmp_path)) == {"b", "c"}
    assert ask(tmp_path, Unordered(echo), "b", "d", "c", "e") == ["re: b", "re: d", "re: c", "re: e"]


def test_text_that_no_file_can_hold_is_mended_alike_now_and_later(tmp_path: Path) -> None:
    model = Scripted(lambda texts: [f"\ud800 {text}" for text in texts])
    now = ask(tmp_path, model, "a\udfff")
    assert now == ask(tmp_path, model, "a\udfff") == ["? a?"]
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("Most\x00 are \x1b[31mengines\x1b[0m.\x07", "Most are engines."),
        ("\x1b]0;a title\x07two\tcolumns\nand lines\r\n", "two\tcolumns\nand lines\r\n"),
        ("a\x9b31mb\x7f", "a31mb"),
        ("\x00\x1b[2J", Failure("the answer is empty")),
    ],
)
def test_what_terminals_would_obey_is_no_part_of_an_answer(answer: str, read: str | Failure, tmp_path: Path) -> None:
    assert ask(tmp_path, Scripted(lambda texts: [answer]), "a") == [read]
    assert ask(tmp_path, Scripted(lambda texts: [answer]), "a") == [read]
