"""What search puts first: strong labels before weak ones, what holds before what does not, nothing without evidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from and_nnsight import Dissection
from and_nnsight.explain import search
from and_nnsight.explain.records.claim_rows import LabelRow, ScoreRow, label_source
from and_nnsight.explain.records.tables import Table
from tests.explain.activations_dissection import SITE, activations_dissection
from tests.explain.small_dissection import with_summaries

UNITS = 8
WAY = {"method": "db", "similarity": "cos_cubed", "concepts": "abc", "encoder": "words"}
Ranked = Mapping[str, float]


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    rng = np.random.default_rng(0)
    return activations_dissection(tmp_path / "run", rng.random((20, UNITS)).astype(np.float32), k=6)


def with_labels(dissection: Dissection, labels: Mapping[int, Ranked], **way: str) -> Dissection:
    """Labels of units, as scores of concepts, in their order; a concept with a bar is a union."""
    rows = [
        LabelRow(
            SITE, unit, **{**WAY, **way}, rank=rank, concept=concept, score=score,
            members=concept.split(" | ") if " | " in concept else None,
        )
        for unit, ranked in labels.items()
        for rank, (concept, score) in enumerate(ranked.items())
    ]  # fmt: skip
    path = dissection.folder / "explanations" / "labels.parquet"
    path.parent.mkdir(exist_ok=True)
    earlier = LabelRow.of_arrow(parquet.read_table(path)) if path.exists() else []
    parquet.write_table(LabelRow.to_arrow(earlier + rows), path)
    return dissection


def with_verdicts(dissection: Dissection, answers: Mapping[tuple[int, str, str], bool | str]) -> Dissection:
    """By unit, source and text: whether it predicts its clips, or why that cannot be judged."""
    with Table(dissection, ScoreRow, {}) as table:
        table.add(
            ScoreRow(
                SITE, unit, source, text, predicts=answer is True, requests=[], positives=3,
                failure=answer if isinstance(answer, str) else None,
            )
            for (unit, source, text), answer in answers.items()
        )  # fmt: skip
    return dissection


def units(matches: list) -> list[int]:
    return [match.unit for match in matches]


def test_of_labels_that_say_the_same_the_stronger_comes_first_and_none_tie(dissection: Dissection) -> None:
    labels = {unit: {"bell": 0.06 + 0.1 * unit, "rain": 0.05} for unit in range(UNITS)}
    matches = search(with_labels(dissection, labels), "bell")
    assert units(matches) == list(range(UNITS))[::-1]
    assert len({match.score for match in matches}) == UNITS
    assert matches[0].score == pytest.approx(1)
    assert matches[-1].score == pytest.approx(1 / UNITS), "a label that no other is weaker than is barely one"


def test_a_weak_label_comes_after_an_explanation_that_matches_half(dissection: Dissection) -> None:
    labels = {unit: {"bell" if unit == 2 else "rain": 0.5 if unit != 2 else 0.06, "wind": 0.05} for unit in range(7)}
    with_summaries(with_labels(dissection, labels), {(SITE, 7): ("A bell rings loudly (5 of 5).", None)})
    first, second = search(dissection, "bell")
    assert (first.unit, first.source) == (7, "explanation")
    assert (second.unit, second.source) == (2, "label")
    assert second.score < 0.2 < first.score


def test_the_margin_to_the_next_concept_counts_and_of_a_union_to_the_next_beyond_it(dissection: Dissection) -> None:
    labels = {
        0: {"bell": 0.5, "rain": 0.49},
        1: {"bell": 0.5, "rain": 0.1},
        2: {"bell | cowbell": 0.5, "bell": 0.45, "cowbell": 0.44, "rain": 0.05},
        3: {"rain": 0.5, "bell": 0.45},
    }
    dissection = with_labels(dissection, labels)
    by_unit = {match.unit: match.score for match in search(dissection, "bell")}
    assert by_unit[1] > by_unit[0]
    assert search(dissection, "bell or cowbell")[0].unit == 2
    assert search(dissection, "bell or cowbell")[0].score == pytest.approx(1), (
        "no margin is wider than the union's to rain"
    )


def test_labels_are_weighed_against_those_of_their_own_kind(dissection: Dissection) -> None:
    """What a similarity scores has a scale of its own: of two ways of labelling each has its strongest."""
    with_labels(
        dissection, {0: {"bell": -300.0, "rain": -400.0}, 1: {"rain": -350.0, "bell": -360.0}}, similarity="wpmi"
    )
    with_labels(dissection, {2: {"bell": 0.4, "rain": 0.1}, 3: {"bell": 0.2, "rain": 0.1}})
    scores = {match.unit: match.score for match in search(dissection, "bell")}
    assert scores[0] == scores[2] == pytest.approx(1)
    assert scores[3] == pytest.approx(0.5)


def test_what_was_tested_and_does_not_hold_comes_last_and_what_was_not_tested_does_not(dissection: Dissection) -> None:
    said = "A bell rings (5 of 5)."
    summaries = {(SITE, unit): (said if unit < 3 else "A bell rings loudly (2 of 5).", None) for unit in range(5)}
    with_summaries(dissection, summaries)
    answers: dict[tuple[int, str, str], bool | str] = {
        (0, "explanation", said): False,
        (1, "explanation", said): True,
        (2, "explanation", said): "no held-out clip",
    }
    matches = search(with_verdicts(dissection, answers), "bell rings")
    assert units(matches) == [1, 2, 3, 4, 0]
    assert matches[-1].score == matches[0].score, "its score is what it was"
    assert matches[-1].verdict is not None and not matches[-1].verdict.predicts


def test_a_unit_is_shown_by_what_holds_of_it(dissection: Dissection) -> None:
    with_labels(dissection, {unit: {"bell" if unit == 0 else "rain": 0.5, "wind": 0.1} for unit in range(4)})
    with_summaries(dissection, {(SITE, 0): ("A bell (5 of 5).", None)})
    source = label_source(**WAY)
    (match,) = search(with_verdicts(dissection, {(0, "explanation", "A bell (5 of 5)."): False}), "bell")
    assert (match.source, match.verdict) == ("label", None)
    (match,) = search(with_verdicts(dissection, {(0, source, "bell"): False}), "bell")
    assert match.verdict is not None and not match.verdict.predicts, "where nothing holds it is shown all the same"


def test_units_without_evidence_are_not_found_and_exemplars_are_those_that_tell(tmp_path: Path) -> None:
    activations = np.zeros((20, 3), np.float32)
    activations[[4, 7], 1] = 3.0, 2.0  # unit 0 is silent everywhere, unit 2 has one weak clip beside a strong one
    activations[[5, 9], 2] = 3.0, 0.1
    dissection = activations_dissection(tmp_path / "run", activations, k=6)
    matches = search(with_labels(dissection, {unit: {"piano": 0.5, "rain": 0.1} for unit in range(3)}), "piano")
    assert {match.unit: [exemplar.clip for exemplar in match.exemplars] for match in matches} == {1: [4, 7], 2: [5]}
