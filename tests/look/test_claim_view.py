"""What a card says of claims: how each stands, in a word that anyone understands, and what comes first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from and_nnsight.dissection.exemplars import Unit
from and_nnsight.explain.evaluate.verdicts import Verdict
from and_nnsight.explain.read.unit_card import Card, Concept, Label
from and_nnsight.look.claim_view import Standing, explanation_view, label_views, word_views

VERDICT = Verdict(
    "explanation", "Bells.", True, True, 0.01, 0.02, 0.01, 0.03, 0.05, 0.5, 0.4, 0.3, 0.1, "peak", 0.2, 0.1, None, None
)
CARD = Card(Unit("site", 0, (), (), 0.0, 1.0, 0.5), {}, "Bells or so.", None, "Bells.", (), (), (), {})


@pytest.mark.parametrize(
    ("verdict", "standing"),
    [
        (VERDICT, Standing.HOLDS),
        (replace(VERDICT, beyond_acoustics=False), Standing.PREDICTS),
        (replace(VERDICT, predicts=False, beyond_acoustics=False), Standing.FAILS),
        (replace(VERDICT, failure="too few clips"), Standing.UNJUDGED),
        (None, Standing.UNTESTED),
    ],
)
def test_how_a_claim_stands(verdict: Verdict | None, standing: Standing) -> None:
    assert Standing.of(verdict) is standing
    assert len({each.key for each in Standing}) == len({each.word for each in Standing}) == len(Standing)


def test_calibrated_words_come_before_those_that_are_not() -> None:
    tested = explanation_view(replace(CARD, verdicts={"explanation": VERDICT}))
    assert tested is not None
    assert (tested.title, tested.text, tested.standing) == ("In words", "Bells.", Standing.HOLDS)
    assert tested.evidence == str(VERDICT)
    raw = explanation_view(replace(CARD, calibrated=None))
    assert raw is not None and (raw.title, raw.text) == ("In words, not calibrated", "Bells or so.")
    assert raw.standing is Standing.UNTESTED and raw.evidence is None
    assert explanation_view(replace(CARD, calibrated="")) is None, "nothing is left: nothing is said"


def test_labels_are_grouped_by_how_they_came_about() -> None:
    def label(concept: str, rank: int, method: str, members: tuple[str, ...] = ()) -> Label:
        return Label(concept, 0.5 - rank / 10, rank, method, "cos", "all clips", "hash", None, members)

    union = label("bass_drum | snare_drum", 0, "db", ("bass_drum", "snare_drum"))
    labels = (union, *(label(f"car_horn_{rank}", rank, "db") for rank in range(1, 5)), label("dog", 0, "tab"))
    first, second = label_views(replace(CARD, labels=labels, verdicts={union.source: VERDICT}))
    assert (first.text, first.score, first.standing) == ("bass or snare drum", 0.5, Standing.HOLDS)
    assert [name for name, _ in first.others] == ["car horn 1", "car horn 2"]
    assert (second.text, second.others, second.standing) == ("dog", (), Standing.UNTESTED)


def test_words_come_by_part_and_how_common_they_are() -> None:
    concepts = (
        Concept("ring", "verb", 1, None), Concept("bell", "noun", 1, None), Concept("clock", "noun", 3, None),
        Concept("under", "preposition", 9, None), Concept("loud", "adjective", 1, True), Concept("red", "adjective", 2, False),
    )  # fmt: skip
    views = [(view.part, view.words) for view in word_views(replace(CARD, concepts=concepts))]
    assert views == [
        ("acoustic adjectives", ("loud",)), ("other adjectives", ("red",)), ("nouns", ("clock", "bell")), ("verbs", ("ring",)),
    ]  # fmt: skip
