"""Scores: what is true of a unit holds on clips it has not seen; what is not, or says no more, is marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import label, read_table, score
from and_nnsight.explain.evaluate.verdicts import verdict
from and_nnsight.explain.providers.embeddings import cosines
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.explain.records.description_rows import SummaryRow
from and_nnsight.explain.records.tables import Table
from tests.explain.evaluate.scored import (
    SAID,
    _caption_anew,
    explained,
    holds,
    plain_average_precision,
    rows_of,
    without_rates,
)
from tests.explain.scored_dissection import KINDS, OTHER, SITE, UNITS, written
from tests.explain.small_dissection import with_summaries

pytestmark = pytest.mark.slow


def test_true_explanations_hold_and_false_ones_do_not(pair) -> None:
    rows = explained(pair)
    assert {name for name, row in rows.items() if holds(row)} >= {"dog", "bell", "rain", "engine", "broken", "half"}
    assert not any(rows[name].predicts for name in ("siren", "loud", "bright", "chance", "constant"))
    dog = rows["dog"]
    assert dog.p == dog.p_beyond == 0.001, "no order of 999 comes near"
    assert (dog.clips, dog.positives, dog.base_rate) == (200, 10, 0.05)
    assert (dog.others, dog.others_as_good) == (10, 4 / 10), "four others say as much of dogs"
    assert verdict(rows["engine"]).distinctive
    assert not verdict(rows["siren"]).distinctive
    assert rows["half"].auprc == pytest.approx(1), "it fires on all dogs alike, and nothing else"


def test_the_numbers_are_those_of_the_definitions(pair) -> None:
    dissection, held_out = pair
    rows, words = explained(pair), Words()
    captions = [row.caption for row in held_out.clips.values()]
    values = np.asarray(held_out.activations(SITE))
    for name, statements in (("dog", [("Dog barking.", 1)]), ("bell", [("Church bell.", 0.8), ("Rain falling.", 0.2)])):
        near = cosines(words.encode(captions), words.encode([text for text, _ in statements]))
        predicted = (near.astype(np.float64) * [weight for _, weight in statements]).sum(1).round(6)
        unit = values[:, UNITS.index(name)]
        fires = unit >= np.sort(unit)[-10]
        assert rows[name].pearson == pytest.approx(np.corrcoef(predicted, unit)[0, 1], abs=1e-4)
        assert rows[name].auprc == pytest.approx(plain_average_precision(predicted, fires), abs=5e-3)
    levels = [row.measured.level_dbfs for row in read_table(held_out, "acoustics")]
    unit = values[:, UNITS.index("loud")]
    assert rows["loud"].loudness_pearson == pytest.approx(np.corrcoef(levels, unit)[0, 1], abs=1e-5)
    assert rows["loud"].loudness_auprc == pytest.approx(1.0)
    assert dissection.folder != held_out.folder


def test_the_null_that_makes_a_unit_is_found_with_its_direction(pair) -> None:
    rows = explained(pair)
    assert (rows["loud"].null, rows["loud"].null_sign) == ("loudness", 1)
    assert (rows["bright"].null, rows["bright"].null_sign) == ("brightness", 1)
    assert rows["loud"].null_pearson == pytest.approx(1, abs=1e-5)
    assert rows["bright"].null_auprc == pytest.approx(1)


@pytest.mark.parametrize("text", ["Loud.", "Church bell. Loud."])
def test_what_is_said_of_a_unit_of_loudness_predicts_but_not_more_than_loudness_does(pair, text: str) -> None:
    dissection, held_out = pair
    words = {name: ("Very loud" if level > -20 else "Quiet") for name, level in enumerate(_levels(held_out))}
    _caption_anew(held_out, words)
    with_summaries(dissection, {(SITE, UNITS.index("loud")): (text, None)}, made_by="another")
    _add_summary(dissection, {(SITE, UNITS.index("dog")): "Quiet."})
    row = explained(pair)["loud"]
    assert row.predicts, "the explanation is true as far as it goes"
    assert not row.beyond_acoustics
    assert row.p_beyond > 0.05
    assert "but not more than loudness, duration, silence and brightness do (q" in str(verdict(row))


def _levels(dissection: Dissection) -> list[float]:
    return [row.measured.level_dbfs for row in read_table(dissection, "acoustics")]


def test_captions_by_another_captioner_are_warned_of(pair) -> None:
    dissection = pair[0]
    said = {(SITE, UNITS.index("dog")): "Dog barking.", (SITE, UNITS.index("rain")): "Rain falling."}
    _add_summary(dissection, said, {"captions": {"captioner": "acoustic"}})
    with pytest.warns(UserWarning, match="explained from captions by acoustic, and .* captions by column:caption"):
        explained(pair)
    _add_summary(dissection, said, {"captions": {"captioner": "column:text"}})
    assert explained(pair)["dog"].pearson > 0.5, "captions of the data on either side need no warning"


def _add_summary(dissection: Dissection, said: dict[tuple[str, int], str], settings: Any = None) -> None:
    with Table(dissection, SummaryRow, settings or {"summarizer": "another"}) as table:
        table.add(SummaryRow(site, unit, text) for (site, unit), text in said.items())


def test_nulls_are_fitted_on_the_explained_clips_alone(pair, made: Path, tmp_path: Path) -> None:
    """Among the held-out clips the loud unit is turned round: the null that was settled before must fail there."""
    dissection, held_out = pair
    kept = np.load(held_out.folder / "activations" / f"{SITE}.npy")
    kept[:, UNITS.index("loud")] *= -1
    np.save(held_out.folder / "activations" / f"{SITE}.npy", kept)
    row = explained((dissection, Dissection.load(held_out.folder)))["loud"]
    assert (row.null, row.null_sign) == ("loudness", 1)
    assert row.null_pearson == pytest.approx(-1, abs=1e-5)


def test_of_units_that_mean_nothing_few_are_said_to_mean_something(tmp_path: Path) -> None:
    dissection = written(tmp_path / "found", seed=1, others=302)
    held_out = written(tmp_path / "held", seed=2, others=302)
    with_summaries(dissection, {(OTHER, unit): (f"{KINDS[unit % len(KINDS)]}.", None) for unit in range(302)})
    rows = [row for row in score(dissection, held_out, sites=OTHER, progress=False) if row.unit >= 2]
    assert len(rows) == 300
    assert 0.4 < np.mean([row.p <= 0.5 for row in rows]) < 0.6
    assert np.mean([row.p <= 0.05 for row in rows]) < 0.09
    assert not any(row.predicts or row.beyond_acoustics for row in rows), "of 300 false claims none is discovered"


def test_without_kept_activations_the_nulls_are_fitted_on_each_units_top_clips(pair, tmp_path: Path) -> None:
    dissection = written(tmp_path / "top", seed=1, kept=False)
    with_summaries(dissection, {(SITE, UNITS.index(name)): (text, None) for name, text in SAID.items()} | {
        (SITE, UNITS.index("dark")): ("Rain falling.", None)
    })  # fmt: skip
    rows = explained((dissection, pair[1]))
    assert (rows["loud"].null, rows["loud"].null_sign) == ("loudness", 1)
    assert (rows["dark"].null, rows["dark"].null_sign) == ("brightness", -1)
    assert holds(rows["dog"])


def test_a_unit_that_cannot_be_judged_says_why(pair) -> None:
    rows = explained(pair)
    assert rows["constant"].failure == "the unit is the same on all held-out clips"
    assert rows["constant"].auprc is None
    assert rows["broken"].clips == 195, "where it is not finite it has no part"
    assert holds(rows["broken"])


def test_a_unit_that_is_finite_on_few_clips_is_not_judged(pair) -> None:
    dissection, held_out = pair
    path = held_out.folder / "activations" / f"{SITE}.npy"
    whole = np.load(path)
    for finite, judged in ((20, True), (19, False)):
        kept = whole.copy()
        kept[finite:, UNITS.index("dog")] = np.nan
        np.save(path, kept)
        (dissection.folder / "explanations" / "scores.parquet").unlink(missing_ok=True)
        row = explained((dissection, Dissection.load(held_out.folder)))["dog"]
        assert row.clips == finite
        assert (row.failure is None, row.p is not None) == (judged, judged)
    assert row.failure == "the unit is finite on 19 held-out clips, fewer than 20"


def test_where_nothing_else_is_said_of_the_site_a_claim_can_still_be_judged(pair) -> None:
    dissection, _ = pair
    with_summaries(
        dissection, {(SITE, 0): ("Dog barking (5 of 5).", None), (SITE, 11): ("dog barking (3 of 5)", None)}, "few"
    )
    rows = explained(pair)
    assert set(rows) == {"dog", "half"}
    assert all(holds(row) for row in rows.values())
    assert {(row.others, row.others_as_good) for row in rows.values()} == {(1, 1.0)}, "the other says the same"


def test_one_in_twenty_is_few_enough_to_be_distinctive(pair) -> None:
    row = explained(pair)["dog"]
    assert verdict(replace(row, others_as_good=1 / 20)).distinctive
    assert not verdict(replace(row, others_as_good=1 / 20 + 1e-9)).distinctive
    assert not verdict(replace(row, others_as_good=None)).distinctive


def test_seed_and_units_asked_for_make_no_difference_to_others(pair, made: Path) -> None:
    some = explained(pair, sites=SITE, units=[0, 1, 8])
    assert set(some) == {"dog", "bell", "chance"}
    every = explained(pair)
    assert all(without_rates(every[name]) == without_rates(row) for name, row in some.items())
    other = explained(pair, seed=5)
    assert [other[name].auprc for name in SAID] == [every[name].auprc for name in SAID]
    assert [other[name].p for name in SAID] != [every[name].p for name in SAID]


def test_labels_and_open_concepts_are_scored_too(pair) -> None:
    dissection, _ = pair
    label(dissection, KINDS, similarity="pearson", progress=False)
    sources = {source for _, source in rows_of(pair)}
    (labelled,) = sources - {"explanation"}
    assert labelled.startswith("label db pearson ")
    assert labelled.endswith(" words")
    rows = rows_of(pair)
    assert holds(rows["siren", labelled])
    assert rows["siren", labelled].text == "siren wailing"
    assert not holds(rows["loud", labelled])
    with pytest.raises(DissectionError, match="has no concepts yet: run `and-nnsight explain"):
        rows_of(pair, sources=["concepts"])


def test_nothing_explained_and_senseless_numbers_are_errors(pair, tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="no summaries yet: run `and-nnsight explain"):
        score(written(tmp_path / "x", seed=7), pair[1], progress=False)
    assert score(*pair, shuffles=19, progress=False), "1 in 20 is as small as 0.05"
    for options in (
        {"share": 0.0}, {"share": 1.0}, {"shuffles": 0}, {"shuffles": 18}, {"level": 0.0}, {"level": 1.0},
        {"most_clips": 0}, {"sources": ["gossip"]},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="share|shuffles|level|most_clips|unknown source"):
            score(*pair, progress=False, **options)
