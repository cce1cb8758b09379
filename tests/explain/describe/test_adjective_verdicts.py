"""The test of adjectives: a chat model is asked once a word, and every verdict can be traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from and_nnsight.explain.describe.acoustic_words import AGAIN, QUESTION, verdict
from and_nnsight.explain.describe.concepts import find_concepts
from and_nnsight.explain.records.reading import read_table
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from tests.explain.describe.calibrated import BELL, RUMBLE, Judge, calibrated, empty_folder, words_of


def test_the_chat_model_is_asked_once_a_word_over_all_units(tmp_path: Path) -> None:
    judge = Judge()
    dissection = calibrated(tmp_path, [RUMBLE], [BELL], [BELL, RUMBLE], ["A loud, bright noise."])
    rows = find_concepts(dissection, chat=judge, progress=False)
    assert sorted(judge.asked) == ["bright", "loud", "low-pitched", "wooden"]
    assert words_of(rows, "adjective", 2) == {
        "loud": (1, True),
        "low-pitched": (1, True),
        "bright": (1, True),
        "wooden": (1, False),
    }
    again = Judge()
    assert find_concepts(dissection, chat=again, progress=False) == rows
    assert again.asked == []


def test_more_units_ask_only_about_their_new_words(tmp_path: Path) -> None:
    dissection = calibrated(tmp_path, [RUMBLE])
    judge = Judge()
    find_concepts(dissection, chat=judge, progress=False)
    calibrated(tmp_path, [RUMBLE], [BELL])
    rows = find_concepts(dissection, chat=judge, progress=False)
    assert sorted(judge.asked) == ["bright", "loud", "low-pitched", "wooden"]
    assert {row.unit for row in rows} == {0, 1}


def test_every_verdict_can_be_traced_to_its_request(tmp_path: Path) -> None:
    dissection = calibrated(tmp_path, [BELL])
    find_concepts(dissection, chat=Judge(), progress=False)
    requests = {row.id: row for row in read_table(dissection, "requests")}
    for row in read_table(dissection, "words"):
        assert row.source == "chat"
        assert QUESTION.format(row.word).replace('"', '\\"') in requests[row.request].messages
        assert requests[row.request].answer == row.answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("Yes", True),
        ("no.", False),
        ("**Yes**, it can.", True),
        ("NO, it cannot; yes would be wrong.", False),
        ("Answer: no\nReason: it is a material.", False),
        ("Sure! Yes, it is often used of tones.", True),
        ("The answer is 'yes'.", True),
        ("No the word does not describe sound", False),
        ("Yes or no? Yes.", True),
        ("I am asked yes/no: no.", False),
        ("Yes or no.", None),
        ("There is no doubt about it.", None),
        ("No idea.", None),
        ("I cannot help with that.", None),
        ("It can be used of audio.", None),
        ("Yesterday I noted nothing.", None),
        ("", None),
        ("はい", None),
    ],
)
def test_an_answer_is_yes_or_no_or_neither(answer: str, says: bool | None) -> None:
    assert verdict(answer) is says


def test_who_talks_round_the_question_is_asked_for_one_word(tmp_path: Path) -> None:
    said = iter(["What a lovely word!", "Yes"])
    judge = Judge(lambda _: next(said))
    dissection = calibrated(tmp_path, ["A loud bell."])
    assert words_of(find_concepts(dissection, chat=judge, progress=False), "adjective") == {"loud": (1, True)}
    assert [turn.content for turn in judge.conversations[1]] == [
        QUESTION.format("loud"),
        "What a lovely word!",
        AGAIN,
    ]


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (lambda _: "What a lovely word!", "neither yes nor no"),
        (lambda _: "I'm sorry, I can't help with that.", "neither yes nor no"),
        (lambda _: Failure("timed out after 60 s"), "timed out"),
        (lambda _: "", "empty"),
    ],
    ids=["junk", "refusal", "time-out", "nothing"],
)
def test_a_word_without_a_verdict_is_left_out_with_the_reason_and_asked_again(
    tmp_path: Path, say: Callable[[str], str | Failure], reason: str
) -> None:
    dissection = calibrated(tmp_path, [RUMBLE, BELL])
    rows = find_concepts(dissection, chat=Judge(lambda w: say(w) if w == "loud" else "yes"), progress=False)
    assert set(words_of(rows, "adjective")) == {"low-pitched", "bright", "wooden"}
    word = next(row for row in read_table(dissection, "words") if row.word == "loud")
    assert word.acoustic is None
    assert reason in word.failure
    better = Judge()
    rows = find_concepts(dissection, chat=better, options=ChatOptions(max_tokens=16), progress=False)
    assert set(better.asked) <= {"loud"}
    if isinstance(say("loud"), Failure):
        assert words_of(rows, "adjective")["loud"] == (1, True)


def test_a_chat_model_that_breaks_down_costs_only_adjectives(tmp_path: Path) -> None:
    class Broken:
        name = "broken:1"

        def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str]:
            raise RuntimeError("CUDA out of memory")

    dissection = calibrated(tmp_path, [BELL])
    rows = find_concepts(dissection, chat=Broken(), progress=False)
    assert words_of(rows, "adjective") == {}
    assert set(words_of(rows, "noun")) == {"bell", "church"}
    assert all("CUDA out of memory" in row.failure for row in read_table(dissection, "words"))


def test_an_interrupted_test_goes_on_where_it_was(tmp_path: Path) -> None:
    def interrupted(word: str) -> str:
        if word == "low-pitched":
            raise KeyboardInterrupt
        return "yes"

    dissection = calibrated(tmp_path, [RUMBLE, BELL])
    judge = Judge(interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_concepts(dissection, chat=judge, progress=False)
    assert [row.word for row in read_table(dissection, "words")] == ["bright", "loud"]
    after = Judge()
    rows = find_concepts(dissection, chat=after, progress=False)
    assert after.asked == ["low-pitched", "wooden"]
    whole = find_concepts(calibrated(empty_folder(tmp_path / "whole"), [RUMBLE, BELL]), chat=Judge(), progress=False)
    assert rows == whole


def test_another_chat_model_has_its_own_verdicts(tmp_path: Path) -> None:
    dissection = calibrated(tmp_path, [BELL])
    find_concepts(dissection, chat=Judge(), progress=False)
    other = Judge(lambda _: "no")
    other.name = "judge:2"
    rows = find_concepts(dissection, chat=other, progress=False)
    assert words_of(rows, "adjective") == {"bright": (1, False), "wooden": (1, False)}
    assert words_of(find_concepts(dissection, chat=Judge(lambda _: "?"), progress=False), "adjective")["bright"] == (
        1,
        True,
    )
