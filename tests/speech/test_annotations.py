"""Annotations: which stretches carry them, which concepts are kept, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_nnsight import Annotation, AnnotationError, Annotations
from and_nnsight.sites.geometry import PatchGrid, Regular
from and_nnsight.sites.stretches import Stretches


def of(*annotations: Annotation, **options: Any) -> Annotations:
    return Annotations.of({3: annotations, 5: []}, **options)


def test_a_stretch_carries_what_its_middle_lies_in() -> None:
    annotations = of(
        Annotation("phones", "S", 0.031, 0.07), Annotation("phones", "T", 0.07, 0.0995), Annotation("pause", "pause", 0.0995, 9)
    )  # fmt: skip
    stretches = Stretches.of(Regular(hop=0.02, span=0.02), 0.13, 50)
    carried = annotations.carried(3, stretches)
    assert annotations.names == ("pause", "phones: S", "phones: T")
    middles = [0.01, 0.03, 0.05, 0.07, 0.09, 0.11, 0.125]
    np.testing.assert_allclose(stretches.middles, middles, atol=1e-6)
    assert carried.T.astype(int).tolist() == [[0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0]]
    assert not annotations.carried(5, stretches).any() and not annotations.carried(4, stretches).any()
    assert 5 in annotations and 4 not in annotations and 9 not in annotations


def test_coarse_frames_carry_one_of_the_phones_within() -> None:
    grid = PatchGrid(special_tokens=2, columns=6, hop=0.1, span=0.175)
    phones = [Annotation("phones", "ab"[place % 2], place * 0.05, place * 0.05 + 0.05) for place in range(12)]
    carried = of(*phones).carried(3, Stretches.of(grid, 0.6, 14))
    assert (carried.sum(1) == 1).all()


def test_middles_are_what_brute_force_says() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        edges = np.sort(random.uniform(0, 2, 20))
        rows = [Annotation("t", str(random.integers(4)), *pair) for pair in itertools.pairwise(edges)]
        stretches = Stretches.of(Regular(hop=0.02, span=0.025), float(random.uniform(0.3, 2)), 120)
        annotations = of(*rows)
        expected = np.zeros((len(stretches.start), len(annotations.names)), bool)
        for place, middle in enumerate(stretches.middles):
            for each in rows:
                if each.start <= middle < each.end:
                    expected[place, annotations.names.index(each.concept)] = True
        np.testing.assert_array_equal(annotations.carried(3, stretches), expected)


def test_the_concepts_of_most_clips_are_kept_and_the_rest_is_counted() -> None:
    by_clip = {clip: [Annotation("w", "the", 0, 1), Annotation("w", "cat", 1, 2)] for clip in range(9)}
    by_clip[0] += [Annotation("w", "rare", 2, 3)]
    for clip in range(6):
        by_clip[clip] += [Annotation("w", "dog", 3, 4), Annotation("w", "dog", 5, 6)]
        by_clip[clip] += [Annotation("w", "ant", 4, 5)]
    whole = Annotations.of(by_clip, left_out="1 clips have no annotations")
    kept = whole.keeping(most=3, least_clips=5)
    assert kept.names == ("w: cat", "w: dog", "w: the")
    assert kept.left_out == (
        "2 labels: 1 in fewer than 5 clips, 1 beyond the 3 in the most clips; 1 clips have no annotations"
    )
    assert kept.clips_with.tolist() == [9, 6, 9]
    assert len(kept.clips) == 9 and int(kept.first[-1]) == 9 + 9 + 12
    assert whole.keeping().names == ("w: ant", "w: cat", "w: dog", "w: the")
    assert kept.keeping(most=3).fingerprint == kept.fingerprint
    with pytest.raises(AnnotationError, match="none of 5 labels is in 10 clips or more"):
        whole.keeping(least_clips=10)


def test_they_are_saved_and_known_again(tmp_path: Path) -> None:
    annotations = of(Annotation("phones", "S", 0.1, 0.2), Annotation("pause", "pause", 0.2, np.inf), left_out="some")
    annotations.save(tmp_path / "a.safetensors")
    again = Annotations.load(tmp_path / "a.safetensors")
    assert (again.fingerprint, again.names, again.left_out) == (annotations.fingerprint, annotations.names, "some")
    later = of(Annotation("phones", "S", 0.1, 0.25), Annotation("pause", "pause", 0.25, np.inf), left_out="some")
    assert later.fingerprint != annotations.fingerprint
    (tmp_path / "a.safetensors").write_bytes(b"no")
    with pytest.raises(AnnotationError, match=r"a\.safetensors holds no annotations"):
        Annotations.load(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError, match="no annotations at"):
        Annotations.load(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("start", "end"), [(0.2, 0.1), (0.1, 0.1), (-0.1, 0.1), (np.nan, 0.1), (0.1, np.nan), (np.inf, np.inf)]
)
def test_times_that_are_none(start: float, end: float) -> None:
    with pytest.raises(AnnotationError, match="has to end after it begins"):
        of(Annotation("phones", "S", start, end))
