"""Contrast clips: those that fire a unit's neighbours, and never one that the unit may respond to itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight import Dissection
from and_nnsight.dissection.evidence import WEAKEST
from and_nnsight.explain.describe.contrast import ContrastClips, contrast_clips, contrast_spans
from and_nnsight.explain.describe.evidence import gather
from and_nnsight.explain.describe.options import ExemplarOptions
from and_nnsight.explain.describe.spans import needed_spans
from and_nnsight.explain.roles import Span
from tests.explain.activations_dissection import SITE, activations_dissection


def sparse_activations(seed: int, clips: int = 40, units: int = 25) -> np.ndarray:
    """Units in four kinds, each firing on some clips of its kind; many zeros, so that lists end in ties."""
    rng = np.random.default_rng(seed)
    likely = np.where(np.arange(clips)[:, None] % 4 == np.arange(units) % 4, 0.6, 0.05)
    return np.where(rng.random((clips, units)) < likely, rng.gamma(2.0, 1.0, (clips, units)), 0.0).astype(np.float32)


def naive_contrast(dissection: Dissection, k: int) -> list[list[int]]:
    """By loops over units and clips, in exact fractions; it shares the definition of evidence and nothing else."""
    statistics, evidence, copies = dissection[SITE], dissection.evidence(SITE, "top", k), dissection.copies
    kept = dissection.activations(SITE)
    units = range(statistics.units)

    def columns(side: str, unit: int) -> tuple[list[int], list[float]]:
        ranked = getattr(statistics, side)
        return ranked.clips[:, unit].tolist(), ranked.values[:, unit].tolist()

    original = {clip: copies.get(clip, clip) for clip in dissection.clips}
    fires: dict[int, set[int]] = {
        unit: {
            original[int(clip)]
            for clip, telling in zip(evidence.ranked.clips[:, unit], evidence.telling[:, unit], strict=True)
            if telling
        }
        for unit in units
    }
    responding = {clip: [unit for unit in units if clip in fires[unit]] for clip in set().union(*fires.values())}
    chosen: list[list[int]] = []
    for unit in units:
        top = list(zip(*columns("top", unit), strict=True))
        bottom = dict(zip(*columns("bottom", unit), strict=True))
        mean = float(statistics.mean[unit])
        border = mean + WEAKEST * (top[0][1] - mean)
        own = {original[clip] for clip, _ in top}
        scored = []
        for clip, others in responding.items():
            value = float(kept[clip, unit]) if kept is not None else bottom.get(clip, top[-1][1])
            if clip in own or not value < border:
                continue
            near = sum(
                (
                    Fraction(1, len(responding[shared]))
                    for v in others
                    if v != unit
                    for shared in fires[unit] & fires[v]
                ),
                Fraction(0),
            )
            scored.append((-near, -len(others), clip))
        chosen.append([clip for *_, clip in sorted(scored)[:k]] if fires[unit] else [])
    return chosen


def lists(contrast: ContrastClips) -> list[list[int]]:
    return [[clip for clip in column if clip >= 0] for column in contrast.clips.T.tolist()]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_loops_over_units_and_clips_give(seed: int, kept: bool, tmp_path: Path) -> None:
    copies = {30: 2, 31: 3} if seed % 2 else None
    dissection = activations_dissection(tmp_path, sparse_activations(seed), k=8, kept=kept, copies=copies)
    expected = naive_contrast(dissection, 4)
    assert lists(contrast_clips(dissection, SITE, range(25), 4)) == expected
    assert sum(map(len, expected)) > 50, "there is something to compare"


def test_a_clip_of_a_neighbour_comes_before_one_of_a_stranger(tmp_path: Path) -> None:
    activations = np.zeros((12, 3), np.float32)
    activations[[0, 1, 2], 0] = 3, 2, 2.5
    activations[[0, 1, 9], 1] = 3, 2, 2.5  # a neighbour: two clips of three are shared
    activations[[5, 6, 7], 2] = 3, 2, 2.5
    contrast = contrast_clips(activations_dissection(tmp_path, activations, k=5), SITE, [0], 5)
    assert lists(contrast) == [[9, 5, 6, 7]]


def test_a_clip_on_which_the_unit_is_active_is_none_however_little_is_stored(tmp_path: Path) -> None:
    """A unit that responds to every clip of its kind, of which the stored list holds few: nothing is known of the rest."""
    rng = np.random.default_rng(0)
    activations = rng.random((60, 12)).astype(np.float32) + (np.arange(60)[:, None] % 2 == 0) * 2
    for name, kept in (("stored", False), ("kept", True)):
        dissection = activations_dissection(tmp_path / name, activations, k=6, kept=kept)
        contrast = contrast_clips(dissection, SITE, range(12), 5)
        for unit, clips in enumerate(lists(contrast)):
            own = activations[:, unit]
            mean = dissection[SITE].mean[unit].item()
            assert all(own[clip] - mean < WEAKEST * (own.max() - mean) for clip in clips)


def test_the_other_units_that_are_asked_for_make_no_difference(tmp_path: Path) -> None:
    dissection = activations_dissection(tmp_path, sparse_activations(3), k=8)
    every = contrast_clips(dissection, SITE, range(25), 5)
    some = contrast_clips(dissection, SITE, [7, 3, 20], 5)
    for name in ("clips", "values", "frames"):
        expected = getattr(every, name)[:, [7, 3, 20]]
        assert torch.equal(getattr(some, name).nan_to_num(-9.0), expected.nan_to_num(-9.0))


def test_units_so_many_at_a_time_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dissection = activations_dissection(tmp_path, sparse_activations(4), k=8, kept=True)
    whole = contrast_clips(dissection, SITE, range(25), 5)
    monkeypatch.setattr("and_nnsight.explain.describe.contrast._ELEMENTS", 1)
    assert torch.equal(contrast_clips(dissection, SITE, range(25), 5).clips, whole.clips)


def test_a_site_without_evidence_has_no_contrast(tmp_path: Path) -> None:
    dissection = activations_dissection(tmp_path, np.zeros((9, 3), np.float32), k=4)
    assert lists(contrast_clips(dissection, SITE, range(3), 5)) == [[], [], []]


def test_values_are_the_units_own_where_they_are_known(tmp_path: Path) -> None:
    activations = sparse_activations(5)
    contrast = contrast_clips(
        activations_dissection(tmp_path / "kept", activations, k=8, kept=True), SITE, range(25), 5
    )
    for unit, (clips, values) in enumerate(zip(contrast.clips.T.tolist(), contrast.values.T.tolist(), strict=True)):
        assert [activations[clip, unit] for clip in clips if clip >= 0] == [v for v in values if v == v]
    unknown = contrast_clips(activations_dissection(tmp_path / "not", activations, k=8), SITE, range(25), 5)
    assert bool(unknown.values.isnan().any())


# --- as evidence ----------------------------------------------------------------------------------------------------


def test_evidence_has_the_contrast_clips_that_are_captioned(tmp_path: Path) -> None:
    dissection = activations_dissection(tmp_path, sparse_activations(5), k=8)
    captions = {Span(clip): f"caption {clip}" for clip in range(0, 40, 2)}
    expected = lists(contrast_clips(dissection, SITE, range(25), 5))
    assert any(0 in clips for clips in expected), "the first clip is one as others are"
    for gathered in gather(dissection, [(SITE, unit) for unit in range(25)], captions, contrast=True):
        contrast = gathered.evidence.contrast
        assert [(exemplar.clip, exemplar.caption, exemplar.strength) for exemplar in contrast] == [
            (clip, f"caption {clip}", 0.0) for clip in expected[gathered.evidence.unit] if clip % 2 == 0
        ]
    assert not any(one.evidence.contrast for one in gather(dissection, [(SITE, 1)], captions))


@pytest.mark.parametrize("excerpt", [None, 0.3])
def test_what_has_to_be_captioned_for_contrast_is_what_evidence_then_looks_for(
    excerpt: float | None, tmp_path: Path
) -> None:
    dissection = activations_dissection(tmp_path, sparse_activations(2), k=8)
    units = [4, 9, 10]
    exemplars = ExemplarOptions((SITE,), tuple(units), 5, excerpt)
    plain = needed_spans(dissection, exemplars)
    spans = needed_spans(dissection, exemplars, contrast=True)
    contrast = contrast_clips(dissection, SITE, units, 5)
    assert set(spans) == {*plain, *contrast_spans(dissection, SITE, contrast, excerpt).values()}
    assert len(spans) > len(plain)
    asked = [(SITE, unit) for unit in units]
    gathered = list(gather(dissection, asked, dict.fromkeys(spans, "a sound"), excerpt=excerpt, contrast=True))
    assert [[exemplar.clip for exemplar in one.evidence.contrast] for one in gathered] == lists(contrast)


def test_an_excerpt_for_contrast_lies_where_the_clips_strongest_unit_fires(tmp_path: Path) -> None:
    activations = np.zeros((12, 3), np.float32)
    activations[[0, 1, 9], 0] = 3, 2, 2
    activations[[0, 1, 5], 1] = 3, 2, 1
    activations[[2, 3, 5], 2] = 2, 1, 3
    dissection = activations_dissection(tmp_path, activations, k=5)
    contrast = contrast_clips(dissection, SITE, [0], 5)
    frame = int(contrast.frames[lists(contrast)[0].index(5), 0])
    assert frame == 5 % 7
    span = contrast_spans(dissection, SITE, contrast, 0.2)[5]
    assert span.start is not None and span.end is not None
    assert span.start <= frame * 0.1 + 0.05 <= span.end
