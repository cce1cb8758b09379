"""Judging by ear: what a listener is right of is what is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_nnsight.explain import card, read_table, score
from and_nnsight.explain.evaluate.claims import claims
from and_nnsight.explain.evaluate.listening.asking import listen
from and_nnsight.explain.evaluate.listening.audition import Audition
from and_nnsight.explain.evaluate.listening.plans import Design
from and_nnsight.explain.evaluate.listening.result import listening_summary
from and_nnsight.explain.records.claim_rows import ScoreRow
from tests.explain.audible_dissection import audible
from tests.explain.evaluate.listening.scripted import _NUMBER, MANY, SHARE, Guessing, Scripted, heard
from tests.explain.scored_dissection import KINDS, OTHER, SITE, UNITS
from tests.explain.small_dissection import with_summaries

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("right", "lined_up"), [(0.8, 0.6), (0.65, 0.9)])
def test_a_listener_that_is_right_so_often_is_seen_to_be(pair, right: float, lined_up: float) -> None:
    listener = Scripted(pair[1], right, lined_up)
    rows = list(heard(pair, listener).values())
    summary = listening_summary(rows)
    assert (summary.claims, summary.excerpts) == (MANY, 10 * MANY)
    assert summary.trials == 5 * MANY
    for share, interval, true, count in (
        (summary.detection, summary.interval, right, summary.excerpts),
        (summary.intruder, summary.intruder_interval, lined_up, summary.trials),
    ):
        assert share is not None and interval is not None
        assert abs(share - true) < 3.5 * (true * (1 - true) / count) ** 0.5
        assert interval[0] - 0.01 < true < interval[1] + 0.01
        assert interval[1] - interval[0] < 0.08
    assert np.mean([row.detection_auc for row in rows]) == pytest.approx(right, abs=0.02), "by pairs of yes and no"
    assert summary.others == pytest.approx(0.5, abs=0.02), "other units' words tell nothing of these clips"
    assert summary.p == pytest.approx(1 / 10_001)


def test_an_encoder_is_judged_by_the_order_of_its_fits(pair) -> None:
    """Two normal distributions one and a half deviations apart: an area of Φ(1.5 / √2)."""

    class Normal(Scripted):
        threshold = None

        def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
            noise = np.random.default_rng(int(1e9 * self.chance(statement, *clips))).standard_normal(len(clips))
            number = int(_NUMBER.search(statement)[1])
            fires = self.fires[list(clips), number] if number < MANY else np.zeros(len(clips))
            return (100 + 1.5 * fires + noise).tolist()

    rows = heard(pair, Normal(pair[1])).values()
    assert np.mean([row.detection_auc for row in rows]) == pytest.approx(0.856, abs=0.02)
    assert 0.7 < np.mean([row.detection for row in rows]) < 0.85


def test_a_listener_that_guesses_reaches_chance_and_its_p_are_no_smaller_than_they_should_be(pair) -> None:
    rows = list(heard(pair, Guessing(pair[1]), others=5).values())
    summary = listening_summary(rows)
    assert summary.detection == pytest.approx(0.5, abs=0.03)
    assert summary.intruder == pytest.approx(0.2, abs=0.04)
    assert summary.holding == 0
    assert summary.p is not None and summary.p > 0.01
    for column in ("p_chance", "p_words", "intruder_p", "p"):
        chances = np.array([getattr(row, column) for row in rows])
        for share in (0.05, 0.2, 0.5):
            assert (chances <= share).mean() <= share + 4 * (share * (1 - share) / MANY) ** 0.5
    for column in ("p_chance", "p_words"):
        assert 0.35 < np.median([getattr(row, column) for row in rows]) < 0.65, "near uniform, and not only careful"


def test_a_listener_that_prefers_some_clips_whatever_is_said_holds_for_no_claim(pair) -> None:
    """It is right of every unit that likes those clips, and would be with any other words."""

    class Deaf(Scripted):
        threshold = None

        def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
            return [float(clip) for clip in clips]

    rows = heard(pair, Deaf(pair[1]), others=5)
    assert min(row.p_chance for row in rows.values()) < 0.02
    assert all(row.p_words == row.p == 1.0 for row in rows.values())
    assert listening_summary(list(rows.values())).p == 1.0


def test_with_cheap_statements_a_claim_is_compared_with_many_and_else_with_few(pair) -> None:
    row = heard(pair, Scripted(pair[1]), units=[3])[3]
    assert row.others == 3
    assert row.p_chance == pytest.approx(1 / 252), "of 252 ways to choose five of ten"
    assert row.p == row.p_words >= 1 / 252
    listener = Scripted(pair[1])
    listener.cheap_statements = True
    row = heard(pair, listener, units=[3])[3]
    assert (row.others, row.p_words, row.p) == (199, pytest.approx(1 / 252), pytest.approx(1 / 252))
    asked = {statement for statement, _ in listener.questions}
    assert len(asked) == 201, "its own, others', and none for the intruder"
    assert all("of 5" not in str(statement) for statement in asked), "how many clips it was said of cannot be heard"


def test_score_lets_a_listener_hear_the_clips_that_judge(pair) -> None:
    explained, held_out = pair
    listener = Scripted(held_out, 0.8)
    rows = score(explained, held_out, listener=listener, share=SHARE, sites=OTHER, units=range(6), progress=False)
    assert {row.unit for row in rows} == set(range(6))
    assert isinstance(rows[0], ScoreRow)
    table = {row.unit: row for row in read_table(explained, "listening")}
    assert set(table) == set(range(6))
    assert table[0].detection is not None
    shown = card(explained, OTHER, 3).listening["explanation"]
    assert (shown.listener, shown.detection, shown.clips) == ("scripted", table[3].detection, 20)
    with_summaries(explained, {(OTHER, 3): ("Sound number 5.", None)}, "other")
    assert card(explained, OTHER, 3).listening == {}, "it does not outlive what was said"


def test_a_site_that_was_not_dissected_there_is_not_needed_unless_it_is_asked_for(pair, tmp_path: Path) -> None:
    sites = pair[1].manifest.sites
    fewer = audible(tmp_path / "fewer", seed=2, clips=60, others=MANY, sites=[site.to_json() for site in sites[1:]])
    rows = heard((pair[0], fewer), Guessing(pair[1]), units=[2])
    assert rows[2].failure is None


def test_a_result_says_what_was_heard_and_what_chance_would_reach(pair) -> None:
    explained, held_out = pair
    score(explained, held_out, listener=Scripted(held_out), share=SHARE, units=[3, 9], progress=False)
    said = str(card(explained, OTHER, 3).listening["explanation"])
    assert said.startswith("20 of 20 excerpts judged rightly (chance 10, by the words for 3 other units ")
    assert said.endswith("intruder found 5 of 5 times (chance 1; p 0.00032).")
    constant = UNITS.index("constant")
    audition = Audition(Scripted(held_out), "scripted", held_out, list(held_out.clips))
    rows = listen(explained, claims(explained), audition, Design(share=SHARE), units=[(SITE, constant)], progress=False)
    (row,) = [row for row in rows if row.site == SITE]
    assert row.failure == "the unit is the same, or not finite, on all held-out clips"
    result = card(explained, SITE, constant).listening["explanation"]
    assert str(result) == "Not judged: the unit is the same, or not finite, on all held-out clips."


def test_kinds_of_sounds_that_a_listener_knows_are_heard_to_be_what_is_said(made: Path, tmp_path: Path) -> None:
    """Units of known meaning: what is truly said of them holds by ear, what is not does not."""
    explained, held_out = audible(tmp_path / "a", seed=3), audible(tmp_path / "b", seed=4, clips=200)
    said = {
        "dog": "Dog barking.", "bell": "Church bell.", "rain": "Rain falling.", "siren": "Dog barking.",
        "engine": "Engine humming.", "chance": "Siren wailing.",
    }  # fmt: skip
    with_summaries(explained, {(SITE, UNITS.index(name)): (text, None) for name, text in said.items()})
    kinds = {clip: KINDS.index(row.label) for clip, row in held_out.clips.items()}

    class Naming(Scripted):
        def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
            return [float(statement.split()[0].lower() == KINDS[kinds[clip]].split()[0]) for clip in clips]

        def belonging(self, clips: tuple[int, ...]) -> list[float]:
            return [float(sum(kinds[clip] == kinds[other] for other in clips) - 1) for clip in clips]

    score(explained, held_out, listener=Naming(held_out), sites=SITE, progress=False)
    rows = {UNITS[row.unit]: row for row in read_table(explained, "listening")}
    for name in ("dog", "bell", "rain", "engine"):
        assert rows[name].detection == rows[name].intruder == 1.0
    assert rows["siren"].detection < 0.6, "not true"
    assert rows["siren"].intruder == 1.0, "but the clips do go together"
    assert rows["chance"].detection_auc < 0.8
