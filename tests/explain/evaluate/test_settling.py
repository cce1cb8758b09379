"""What has been scored is kept; answers over all claims follow the claims and the level."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from and_nnsight.explain import card, label, read_table, score, search
from and_nnsight.explain.evaluate.verdicts import Verdicts
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.statistics.false_discovery import false_discovery_rates
from tests.explain.evaluate.scored import SAID, explained, holds, rows_of, without_rates
from tests.explain.scored_dissection import KINDS, OTHER, SITE, UNITS
from tests.explain.small_dissection import with_summaries

pytestmark = pytest.mark.slow


def test_rates_are_over_all_standing_claims_of_a_source_and_follow_them(pair) -> None:
    some = explained(pair, sites=SITE, units=[0, 8])
    assert [some[name].q for name in ("dog", "chance")] == [0.002, some["chance"].p]
    every = explained(pair)
    tested = [row for row in every.values() if row.p is not None]
    assert len(tested) == len(SAID) + 1, "the constant unit has no p, and counts for nothing"
    for p, q in (("p", "q"), ("p_beyond", "q_beyond")):
        expected = false_discovery_rates(np.array([getattr(row, p) for row in tested]))
        assert [getattr(row, q) for row in tested] == pytest.approx(expected)
    assert every["dog"].q != some["dog"].q, "there are other claims beside it"
    label(pair[0], KINDS, similarity="pearson", progress=False)
    with_labels = rows_of(pair)
    assert with_labels["dog", "explanation"] == every["dog"], "labels are a family of their own"
    table = read_table(pair[0], "scores")
    assert explained(pair) == every
    assert read_table(pair[0], "scores") == table


def test_another_level_changes_the_answers_and_measures_nothing_again(pair) -> None:
    every = explained(pair)
    encoder = Counting()
    explained(pair, text_encoder=encoder)
    encoder.asked.clear()
    every = explained(pair, text_encoder=encoder)
    edge = max(row.q for row in every.values() if row.predicts)
    at_the_edge = explained(pair, text_encoder=encoder, level=edge)
    below = explained(pair, text_encoder=encoder, level=edge - 1e-9)
    assert encoder.asked == []
    lost = {name for name, row in at_the_edge.items() if row.predicts} - {
        name for name, row in below.items() if row.predicts
    }
    assert lost == {name for name, row in every.items() if row.q == edge}, "a q that equals the level holds"
    assert all(below[name].q == row.q for name, row in every.items())


class Counting(Words):
    """`words`, counting the texts that it is asked for."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return super().encode(texts)


def test_what_has_been_scored_is_not_scored_again_and_what_has_changed_is(pair) -> None:
    dissection, _ = pair
    encoder = Counting()
    first = explained(pair, text_encoder=encoder)
    encoder.asked.clear()
    assert explained(pair, text_encoder=encoder) == first
    assert encoder.asked == []
    with_summaries(dissection, {(SITE, 0): ("Siren wailing.", None), (OTHER, 0): ("Dog barking.", None),
                           (OTHER, 1): ("Church bell.", None)}, "other")  # fmt: skip
    again = explained(pair, text_encoder=encoder)
    assert set(again) == {"dog", "other 0", "other 1"}, "what is no longer claimed is gone"
    assert again["dog"].text == "Siren wailing."
    assert without_rates(again["other 0"]) == without_rates(first["other 0"]), "of a site where all is as it was"


def test_interrupted_it_goes_on(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_nnsight.explain.evaluate import unit_scores

    whole = explained(pair)
    (pair[0].folder / "explanations" / "scores.parquet").unlink()
    measured = unit_scores.SiteScores.rows

    def breaking(self, due, units):
        if self.held_out.site == OTHER:
            raise KeyboardInterrupt
        return measured(self, due, units)

    monkeypatch.setattr(unit_scores.SiteScores, "rows", breaking)
    with pytest.raises(KeyboardInterrupt):
        score(*pair, progress=False)
    begun = read_table(pair[0], "scores")
    assert {row.site for row in begun} == {SITE}
    assert any(holds(row) for row in begun), "what was scored is judged as well"
    monkeypatch.setattr(unit_scores.SiteScores, "rows", measured)
    assert explained(pair) == whole


def test_a_few_units_at_a_time_get_the_scores_of_all_at_once(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explained(pair)
    (pair[0].folder / "explanations" / "scores.parquet").unlink()
    monkeypatch.setattr("and_nnsight.explain.evaluate.held_out_units._ELEMENTS", 3 * 200)
    assert explained(pair) == whole


def test_the_card_and_search_mark_what_does_not_hold(pair) -> None:
    dissection, _ = pair
    assert card(dissection, SITE, 3).verdicts == {}
    assert search(dissection, "dog barking")[0].verdict is None
    score(*pair, progress=False)
    siren = card(dissection, SITE, UNITS.index("siren")).verdicts["explanation"]
    assert not siren.holds
    assert str(siren).startswith("Does not predict its clips (q ")
    dog = card(dissection, SITE, 0).verdicts["explanation"]
    assert dog.holds
    assert re.match(r"Predicts its clips \(q 0\.00\d+\), more than loudness, duration, silence and brightness do "
                    r"\(q 0\.00\d+\)\. AUPRC 0\.\d+ \(chance 0\.05\), Pearson", str(dog))  # fmt: skip
    constant = card(dissection, SITE, UNITS.index("constant")).verdicts["explanation"]
    assert str(constant) == "Not judged: the unit is the same on all held-out clips."
    marks = {UNITS[match.unit]: match.verdict for match in search(dissection, "dog barking", sites=SITE)}
    assert marks["dog"] is not None and marks["dog"].holds
    assert marks["chance"] is not None and not marks["chance"].holds


def test_a_verdict_does_not_outlive_what_was_said(pair) -> None:
    dissection, _ = pair
    score(*pair, progress=False)
    with_summaries(dissection, {(SITE, 0): ("Siren wailing.", None)}, "other")
    assert card(dissection, SITE, 0).verdicts == {}
    assert Verdicts.read(dissection)(SITE, 0, "explanation", SAID["dog"]) is not None
