"""Which planted units are themselves loudness or brightness? Their planted meaning put through the test of claims.

Of such a unit no claim can hold: whatever is said of it, loudness, duration, silence and brightness say as well. Which
units these are is settled by what was planted and by the unit's activations alone; no explanation, caption or text
encoder comes into it. The truth, 1 on held-out clips of the kinds that a unit is for and 0 on others, is held against
the unit as a claim would be, beyond the nulls (`permutation.partial_test`). A unit is more than acoustics if p ≤ 0.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from and_nnsight import Dissection
from and_nnsight.demo import Sound
from and_nnsight.explain.evaluate.baselines import features, filled, fit_to_units, known_means, measured_clips
from and_nnsight.explain.evaluate.metrics import positives
from and_nnsight.explain.evaluate.permutation import (
    beyond_nulls,
    claim_ways,
    claims_beyond_nulls,
    partial_test,
    unit_ways,
)
from and_nnsight.explain.evaluate.scoring import DEFAULT_SHARE, SHUFFLES
from benchmarks.planted_model import Planted

At = tuple[str, int]
LEVEL = 0.05


def more_than_acoustics(
    dissection: Dissection,
    held_out: Dissection,
    planted: Mapping[At, Planted],
    sounds: Sequence[Sound],
    others: Sequence[Sound],
) -> set[At]:
    """The planted units of which their meaning tells what the nulls do not. `others`: the held-out sounds."""
    ours = measured_clips(dissection, list(dissection.clips), list(sounds), "data=", False)
    theirs = measured_clips(held_out, list(held_out.clips), list(others), "held_out_data=", False)
    clips = [clip for clip in held_out.clips if clip in theirs]
    means = known_means(features(ours, list(ours)))
    nulls = filled(features(theirs, clips), means)
    more: set[At] = set()
    for site in dict.fromkeys(site for site, _ in planted):
        units = [unit for of_site, unit in planted if of_site == site]
        activations = held_out.activations(site)
        assert activations is not None  # kept
        values = torch.from_numpy(activations[clips][:, units]).T.contiguous()
        truth = torch.tensor([_truth(planted[site, unit], (others[clip] for clip in clips)) for unit in units])
        directions = torch.where(torch.from_numpy(fit_to_units(dissection, site, ours, list(ours))[units]) < 0, -1, 1)
        left = beyond_nulls(unit_ways(values, positives(values, DEFAULT_SHARE)), nulls, directions)
        said = claims_beyond_nulls(claim_ways(truth), left.basis)
        tested = partial_test(left, said, torch.arange(len(units)), SHUFFLES, 0)
        more |= {(site, unit) for unit, p in zip(units, tested.p.tolist(), strict=True) if p <= LEVEL}
    return more


def _truth(unit: Planted, sounds: Iterable[Sound]) -> list[float]:
    return [float(sound.label in unit.classes) for sound in sounds]
