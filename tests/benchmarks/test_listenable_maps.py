"""The benchmark of listenable maps: its measure, the pairs that it mixes, and one map of the embedded model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_nnsight import dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from benchmarks.listenable_maps import Row, measure, pairs, si_sdr, summary


def test_the_measure_knows_no_scale_and_counts_decibels() -> None:
    random = np.random.default_rng(0)
    target, other = random.standard_normal((2, 100_000))
    assert si_sdr(target + other, target) == pytest.approx(0, abs=0.1)
    assert si_sdr(3 * target + 0.3 * other, target) == pytest.approx(20, abs=0.1)
    assert si_sdr(target, 5 * target) > 100


@pytest.mark.slow
def test_pairs_are_of_other_labels_and_of_the_parity_that_was_asked_for(tmp_path: Path) -> None:
    clips = list(make_sounds(per_class=2, seed=3))
    dissection = dissect(str(tiny_ast_path()), clips, out=tmp_path / "run", keep_activations=True, progress=False)
    found = list(pairs(dissection, 0, 1))
    assert found == list(pairs(dissection, 0, 1))
    assert len(found) > 20
    activations = {site: dissection.activations(site) for site in dissection.sites}
    for pair in found:
        assert pair.unit % 2 == 1
        assert pair.labels[0] != pair.labels[1]
        assert tuple(dissection.clips[clip].label for clip in pair.clips) == pair.labels
        table = activations[pair.site]
        assert table is not None
        assert table[pair.clips[0], pair.unit] > table[pair.clips[1], pair.unit]
    sounds = dict(enumerate(clip.waveform for clip in clips))
    rows = (measure(pair, folder=str(dissection.folder), model=str(tiny_ast_path()), sounds=sounds) for pair in found)
    row = next(row for row in rows if row is not None)
    assert row.kept > 0.5
    assert 0 < row.area < 1
    assert -60 < row.gain < 60


def test_the_summary_has_means_with_intervals() -> None:
    rows = [
        Row("a", unit, ("x", "y"), gain, 0.0, 0.0, 1.0, 0.0, 0.0, p, 0.5, 9, 1.0)
        for unit, (gain, p) in enumerate([(1.0, 0.04), (2.0, 0.5), (3.0, 0.04), (6.0, 0.04)])
    ]
    means = summary(rows)
    assert means["units"] == 4
    assert means["gain"]["mean"] == 3.0
    assert means["gain"]["interval"][0] < 3.0 < means["gain"]["interval"][1]
    assert means["share with p at most 0.05"] == 0.75
