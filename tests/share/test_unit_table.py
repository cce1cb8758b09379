"""The table of units says of each what the unit itself, its card and its verdicts say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight import Dissection, DissectionError
from and_nnsight.dissection.decimals import shortest_list
from and_nnsight.dissection.selectivity import most_selective_units, selectivity
from and_nnsight.explain import card
from and_nnsight.share.unit_row import UnitRow
from tests.explain.small_dissection import small_dissection
from tests.share.conftest import SITES


def test_a_row_is_what_the_unit_says(explained: Dissection) -> None:
    rows = explained.units()
    assert [(row.site, row.unit) for row in rows] == [
        (site, unit) for site in SITES for unit in range(explained.widths()[site])
    ]
    for row in rows[::17]:
        unit = explained.unit(row.site, row.unit)
        telling = [exemplar for exemplar in unit.top if exemplar.telling]
        assert (row.mean, row.active) == (unit.mean, unit.active)
        assert row.deviation == pytest.approx(math.sqrt(unit.variance), rel=1e-6)
        assert (row.highest, row.lowest) == (unit.top[0].activation, unit.bottom[0].activation)
        assert np.float32(row.selectivity) == selectivity(explained, row.site)[row.unit]
        assert row.evidence == len(telling)
        best = telling[0] if telling else None
        assert row.best_clip == (best.clip if best else None)
        assert (row.best_start, row.best_end) == ((best.start, best.end) if best else (None, None))
        labels = [exemplar.label for exemplar in telling]
        assert row.common_count == (max(map(labels.count, labels)) if labels else None)


def test_what_is_claimed_is_that_of_the_card_with_its_verdict(explained: Dissection) -> None:
    judged = 0
    for row in explained.units():
        shown = card(explained, row.site, row.unit)
        assert row.explanation == (shown.calibrated or (shown.summary if shown.calibrated is None else None) or None)
        assert row.label == (shown.labels[0].concept if shown.labels else None)
        verdict = shown.verdicts.get("explanation")
        assert row.explanation_verdict == (verdict.answer if verdict else None)
        assert row.explanation_holds == (verdict.holds if verdict and verdict.failure is None else None)
        judged += row.explanation_holds is not None
        if row.label and shown.labels[0].source in shown.verdicts:
            assert row.label_verdict == shown.verdicts[shown.labels[0].source].answer
    assert judged > 5


def test_only_units_of_these_sites(explained: Dissection) -> None:
    assert {row.site for row in explained.units("blocks.2.*")} == {SITES[1]}
    with pytest.raises(DissectionError, match=r"no dissected site matches 'blocks.7\*'; there are"):
        explained.units("blocks.7*")


def test_the_best_are_the_most_selective_that_take_turns(explained: Dissection) -> None:
    best = explained.best(9)
    assert [(row.site, row.unit) for row in best] == most_selective_units(explained, 9)
    assert {row.key_values: row for row in explained.units()}[best[0].key_values] == best[0]
    assert {row.site for row in explained.best(5, sites=SITES[1])} == {SITES[1]}


def test_those_with_a_label_come_by_selectivity(explained: Dissection) -> None:
    best = explained.best(1_000, label="BELL")
    assert best
    assert all("bell" in (row.label, row.common_label) for row in best)
    assert [row.selectivity for row in best] == sorted((row.selectivity for row in best), reverse=True)
    with pytest.raises(DissectionError, match=r"no unit has the label 'bel': there are, for example, .*bell"):
        explained.best(label="bel")
    with pytest.raises(ValueError, match="must be 1 or more, not 0"):
        explained.best(0)


def test_it_is_a_frame_with_the_columns_of_the_row(explained: Dissection) -> None:
    frame = explained.to_pandas("blocks.0.*")
    assert list(frame.columns) == UnitRow.schema().names
    assert frame["selectivity"].dtype == np.float32
    assert shortest_list(frame["selectivity"].to_numpy()) == [row.selectivity for row in explained.units("blocks.0.*")]


def test_a_unit_that_was_never_finite_has_no_numbers(tmp_path: Path) -> None:
    dissection = small_dissection(tmp_path / "run")
    statistics = dissection["second"]
    for name in ("mean", "variance", "active"):
        getattr(statistics, name)[1] = math.nan
    statistics.top.values[:, 1], statistics.top.clips[:, 1] = -math.inf, -1
    statistics.bottom.values[:, 1], statistics.bottom.clips[:, 1] = math.inf, -1
    assert isinstance(statistics.mean, torch.Tensor)
    row = dissection.units("second")[1]
    assert (row.mean, row.deviation, row.active, row.highest, row.lowest, row.best_clip) == (None,) * 6
    assert (row.selectivity, row.evidence) == (0.0, 0)
