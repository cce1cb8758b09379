"""Which exemplars are evidence, and what is said of a unit that has fewer than asked for."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from and_nnsight import Dissection
from and_nnsight.dissection.evidence import WEAKEST, ExemplarEvidence, Ranked, exemplar_evidence
from and_nnsight.dissection.exemplars import Exemplar
from and_nnsight.dissection.manifest import Manifest
from and_nnsight.statistics.topk import TopK


def evidence_of(
    *units: list[float],
    k: int = 5,
    most: int = 5,
    largest: bool = True,
    means: list[float] | None = None,
    contents: dict[int, int] | None = None,
    rectified: bool = False,
) -> ExemplarEvidence[np.ndarray]:
    """What the lists of these units tell, each given by its activation for every clip.

    means     of the units; None: those of their finite activations
    contents  clips that have the samples of another one, and which
    """
    values = torch.tensor(units).T
    kept = TopK(k, len(units), largest=largest)
    kept.update(values, torch.arange(len(values)), torch.zeros(values.shape, dtype=torch.int32))
    state = kept.state
    codes = None
    if contents is not None:
        table = torch.tensor([contents.get(clip, clip) for clip in range(len(values))] + [-1])
        codes = table[state.clips]
    average = values.masked_fill(~values.isfinite(), torch.nan).nanmean(0) if means is None else torch.tensor(means)
    ranked = Ranked(**{name: tensor.numpy() for name, tensor in state._asdict().items()})
    heard = None if codes is None else codes.numpy()
    return exemplar_evidence(ranked, average.numpy(), heard, most, rectified=rectified)


def told(evidence: ExemplarEvidence, unit: int = 0) -> list[int]:
    """The clips that are evidence."""
    return evidence.ranked.clips[evidence.telling[:, unit], unit].tolist()


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("fires_on", [1, 2, 3, 4])
def test_a_unit_that_fires_on_few_clips_is_told_by_those(fires_on: int, largest: bool):
    sign = 1.0 if largest else -1.0
    values = [-0.0] * (40 - fires_on) + [sign * (9.0 - clip) for clip in range(fires_on)]
    evidence = evidence_of(values, largest=largest)
    assert told(evidence) == list(range(40 - fires_on, 40))
    assert evidence.counts().tolist() == [fires_on]
    assert evidence.reason(0) is None
    assert evidence.shortfall(0) == f"{40 - fires_on} clips share the value 0"


def test_zeros_are_counted_whether_they_are_stored_or_not():
    values = [3.0] + [0.0] * 99
    for k in (2, 5, 16, 100, 120):
        assert evidence_of(values, k=k, most=k).shortfall(0) == "99 clips share the value 0"
        assert told(evidence_of(values, k=k, most=min(k, 5))) == [0]


def test_a_unit_that_says_the_same_of_every_clip_has_no_evidence():
    evidence = evidence_of([0.5] * 3_000, [math.nan] * 3_000, list(map(float, range(3_000))))
    assert evidence.reason(0) == "no clip is decided: 3,000 clips share the value 0.5"
    assert evidence.reason(1) == "there are no clips"
    assert evidence.reason(2) is None
    assert evidence.shortfall(1) is None and evidence.shortfall(2) is None
    assert evidence.counts().tolist() == [0, 0, 5]
    assert evidence.strength[:, 0].tolist() == evidence.strength[:, 1].tolist() == [0.0] * 5


def test_a_clip_that_is_alone_is_decided_and_tells_nothing_for_it_is_the_mean():
    evidence = evidence_of([3.0])
    assert evidence.decided[0, 0]
    assert evidence.reason(0) == "no clip tells anything: 1 lies less than a fifth as far from the mean as the first"


def test_fewer_clips_than_places_is_no_shortfall():
    evidence = evidence_of([3.0, 2.0, 1.0], k=5)
    assert told(evidence) == [0]  # the second is the mean, the third lies below it
    assert evidence.shortfall(0) == "2 lie less than a fifth as far from the mean as the first"
    assert evidence_of([3.0, 2.9, -9.0, math.inf], k=2, most=2).shortfall(0) is None
    assert evidence_of([3.0, 2.9], k=5, means=[0.0]).shortfall(0) is None


def test_clips_with_a_fiftieth_of_the_first_ones_activation_are_no_evidence():
    values = [10.0, 9.0, 0.2, 0.19, 0.18] + [-0.001 * clip for clip in range(95)]
    evidence = evidence_of(values, k=16, most=5, means=[0.0])
    assert told(evidence) == [0, 1]
    assert evidence.decided[:5, 0].all()
    assert evidence.shortfall(0) == "3 lie less than a fifth as far from the mean as the first"
    assert evidence.strength[:3, 0].tolist() == pytest.approx([1.0, 0.9, 0.02])


def test_strength_is_measured_from_the_mean_and_at_a_fifth_it_is_enough():
    """Of a unit whose values are all far from zero, or below it."""
    just, below = 100 + 50 * WEAKEST, 100 + 49 * WEAKEST
    assert told(evidence_of([150.0, just, below, 99.0], k=4, most=3, means=[100.0])) == [0, 1]
    assert told(evidence_of([-50.0, -90.0, -90.2, -101.0], k=4, most=3, means=[-100.0])) == [0, 1]
    assert told(evidence_of([50.0, 90.0, 90.2, 101.0], k=4, most=3, means=[100.0], largest=False)) == [0, 1]


def test_copies_count_once_and_the_next_clips_take_their_places():
    values = [9.0, 9.0, 8.0, 7.0, 7.0, 6.0, 5.0, 0.0]
    evidence = evidence_of(values, k=8, most=4, means=[0.0], contents={1: 0, 4: 3})
    assert told(evidence) == [0, 2, 3, 5]
    assert evidence.shortfall(0) is None
    assert evidence.copy[:, 0].tolist() == [False, True, False, False, True, False, False, False]
    evidence = evidence_of(values, k=5, most=5, means=[0.0], contents={1: 0, 4: 3})
    assert told(evidence) == [0, 2, 3]
    assert evidence.shortfall(0) == "2 are copies of others"
    evidence = evidence_of(values[:3], k=3, most=3, means=[0.0], contents={1: 0})
    assert evidence.shortfall(0) == "1 is a copy of another"


def test_a_copy_does_not_tie_with_its_original():
    assert told(evidence_of([9.0, 9.0, 1.0], k=3, most=1, means=[0.0], contents={1: 0})) == [0]
    assert told(evidence_of([9.0, 9.0, 1.0], k=3, most=1, means=[0.0])) == []


def test_empty_places_are_no_copies_of_each_other():
    evidence = evidence_of([9.0, 8.0], k=5, means=[0.0], contents={})
    assert not evidence.copy.any()
    assert told(evidence) == [0, 1]


def test_all_that_keeps_a_unit_short_is_said():
    values = [9.0, 9.0, 0.3, *[0.1] * 20]
    evidence = evidence_of(values, k=6, most=5, means=[0.0], contents={1: 0})
    assert told(evidence) == [0]
    assert evidence.shortfall(0) == (
        "20 clips share the value 0.1; 1 lies less than a fifth as far from the mean as the first; 1 is a copy of another"
    )


def test_looking_at_fewer_exemplars_than_are_stored():
    evidence = evidence_of([9.0, 8.0, 7.0, 7.0, 7.0, 6.0], k=6, most=3, means=[0.0])
    assert told(evidence) == [0, 1]
    assert evidence.shortfall(0) == "3 clips share the value 7"
    assert told(evidence_of([9.0, 8.0, 7.0, 7.0, 7.0, 6.0], k=6, most=2, means=[0.0])) == [0, 1]


def test_an_exemplar_is_evidence_by_the_same_three_rules():
    def exemplar(**parts) -> Exemplar:
        return Exemplar(0, None, None, None, 1.0, 0, None, None, **parts)

    assert exemplar().telling
    assert exemplar(strength=WEAKEST, silent=True).telling
    assert not exemplar(decided=False).telling
    assert not exemplar(copy=True).telling
    assert not exemplar(strength=WEAKEST - 0.001).telling
    assert not exemplar(strength=math.nan).telling


def test_the_highest_clips_of_a_gelu_that_never_fires_are_no_evidence() -> None:
    """They are those that it is least for: towards −∞ GELU rises again, to −0."""
    seen = torch.linspace(-5, -3, 40)
    never = torch.nn.functional.gelu(seen).tolist()
    once = [*never[:-1], 2.0]
    assert told(evidence_of(never)) == [0, 1, 2, 3, 4], "as of any other unit, where nothing is known of its site"
    evidence = evidence_of(never, once, rectified=True)
    assert told(evidence, 0) == [] and told(evidence, 1) == [39]
    assert evidence.reason(0) == "no clip tells anything: 5 lie below zero, where the unit is off"
    assert evidence.shortfall(1) == "4 lie below zero, where the unit is off"
    assert evidence.strength[:, 1].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("site", "pool", "lowest", "rectified"),
    [
        ("blocks.0.mlp.hook_post", "max", -0.17, True),
        ("blocks.0.mlp.hook_post", "mean", -0.17, False),  # below zero on average, and yet it may fire
        ("blocks.0.mlp.hook_post", "max", -3.0, False),  # gated: the gate's value times another
        ("blocks.0.mlp.hook_pre", "max", -0.17, False),
        ("blocks.0.hook_resid_post", "max", -0.17, False),
    ],
)
def test_only_after_a_rectifier_is_a_unit_off_below_zero(site: str, pool: str, lowest: float, rectified: bool) -> None:
    values = np.array([[0.5, -0.01], [0.4, -0.1], [0.3, lowest]], np.float32)
    clips, nothing = np.arange(3)[:, None].repeat(2, 1), np.zeros(2, np.float32)
    top, bottom = (
        Ranked(some, clips, np.zeros((3, 2), np.int32), np.zeros(2, np.int64)) for some in (values, values[::-1].copy())
    )

    class Stored(Dissection):
        copies: dict[int, int] = {}  # noqa: RUF012

        def __init__(self) -> None:
            self.manifest, self._evidence = Manifest((), pool=pool), {}

        def arrays(self, _site: str) -> SimpleNamespace:
            return SimpleNamespace(top=top, bottom=bottom, mean=nothing)

    dissection = Stored()
    assert dissection.evidence_arrays(site, "top", 2).off.any(0).tolist() == [False, rectified]
    assert not dissection.evidence_arrays(site, "bottom", 2).off.any()
