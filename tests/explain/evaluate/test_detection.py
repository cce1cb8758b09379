"""Detection by a chat model: what is true, and not what is shuffled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from and_nnsight.explain import read_table
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from tests.explain.evaluate.scored import explained
from tests.explain.scored_dissection import KINDS, SITE


class Knowing:
    """Chooses the clips that share a word with the statement; counts its requests."""

    name = "knowing"

    def __init__(self, answer: str | None = None) -> None:
        self.requests, self.answer = 0, answer

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions):
        import json

        for conversation in conversations:
            self.requests += 1
            said, clips = conversation[1].content.removeprefix("Statement:\n").split("\nClips:\n")
            words = set(json.loads(said).casefold().replace(".", "").split()) & {kind.split()[0] for kind in KINDS}
            fit = [
                int(number) for number, caption in json.loads(clips).items() if words & set(caption.casefold().split())
            ]
            yield self.answer if self.answer is not None else f"They are {fit}."


@pytest.mark.slow
def test_a_chat_model_detects_what_is_true_and_not_what_is_shuffled(pair) -> None:
    chat = Knowing()
    rows = explained(pair, chat=chat)
    assert rows["half"].detection == 1.0
    assert rows["half"].detection_clips == 10
    assert rows["half"].detection_shuffled < 0.8
    assert rows["siren"].detection < 0.8
    assert rows["loud"].detection_null == 1.0
    assert rows["constant"].detection is None
    assert len(rows["dog"].requests) == 2
    asked = {row.id for row in read_table(pair[0], "requests")}
    assert set(rows["dog"].requests) <= asked
    before = chat.requests
    explained(pair, chat=chat)
    (pair[0].folder / "explanations" / "scores.parquet").unlink()
    assert explained(pair, chat=chat) == rows
    assert chat.requests == before, "every request is on record, and sent once"


@pytest.mark.parametrize(
    ("answer", "reason"), [("I cannot say", "names no clip"), ("[3, 44]", "names clip 44, where there are 10")]
)
def test_an_answer_that_says_nothing_is_a_failure_on_record(pair, answer: str, reason: str) -> None:
    row = explained(pair, chat=Knowing(answer), sites=SITE, units=[0])["dog"]
    assert row.detection is None
    assert reason in row.detection_failure
    assert row.auprc > row.base_rate


def test_answers_are_read_as_they_come() -> None:
    from and_nnsight.explain.evaluate.detection import numbers_in

    assert numbers_in("[1, 3]", 5) == {1, 3}
    assert numbers_in("Of [1, 2, 3] only these: [2]", 5) == {2}
    assert numbers_in("Clips 2 and 4.", 5) == {2, 4}
    assert numbers_in("[]", 5) == set()
    assert numbers_in("None of them.", 5) == set()
    assert isinstance(numbers_in("0", 5), Failure)
