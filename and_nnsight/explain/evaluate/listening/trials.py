"""Which held-out clips a listener hears of a unit: those on which it fires most, and some on which it does not fire.

It fires on clips in its top share that lie at least half as far from its mean as the strongest clip does: of a class
with eight clips in four hundred the top share of one in twenty is mostly clips of other classes. It does not fire on
clips at or below its median. What lies between is no example of either, and is not heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from ..metrics import positives

STRONG = 0.5
"""Distance from the unit's mean over the clips, as a share of the strongest clip's, from which a clip counts."""


@dataclass(frozen=True)
class LineUp:
    """Clips on which a unit fires, by id, and among them, at `place`, one on which it does not."""

    clips: tuple[int, ...]
    place: int


@dataclass(frozen=True)
class Trials:
    """What a listener is asked of a unit.

    clips     for detection, half of them of those on which the unit fires, in random order
    fires     which those are
    line_ups  for the intruder; no clip is in two of them, so that each is a trial of its own
    """

    clips: tuple[int, ...]
    fires: tuple[bool, ...]
    line_ups: tuple[LineUp, ...]


def draw_trials(
    values: Float32[np.ndarray, " clip"],
    clips: Sequence[int],
    share: float,
    excerpts: int,
    line_ups: int,
    together: int,
    random: np.random.Generator,
) -> Trials:
    """Draw a unit's clips.

    values    the unit's activation on each of the clips; those that are not finite are left out
    clips     their ids
    share     that of the clips on which the unit fires (see `metrics.positives`)
    excerpts  clips for detection, at most: of those on which it fires, the strongest
    line_ups  at most
    together  clips of a line-up on which the unit fires; a unit that fires on fewer clips has no line-up

    No clips at all where the unit fires on none of them, or on all alike.
    """
    finite = np.isfinite(values)
    activations, ids = values[finite], np.asarray(clips, dtype=np.int64)[finite]
    if len(activations) < 2:
        return Trials((), (), ())
    from_mean = activations - activations.mean(dtype=np.float64)
    fires = positives(torch.from_numpy(activations)[None], share)[0].numpy() & (from_mean >= STRONG * from_mean.max())
    shuffled = random.permutation(len(activations))  # whichever of tied clips comes first
    strongest = shuffled[np.argsort(-activations[shuffled], kind="stable")]
    loud = ids[strongest[fires[strongest]]].tolist()
    quiet = ids[shuffled[~fires[shuffled] & (activations[shuffled] <= np.median(activations))]].tolist()
    each = min(excerpts // 2, len(loud), len(quiet))
    order = random.permutation(2 * each).tolist()
    for_detection = [*loud[:each], *quiet[:each]]
    loud, quiet = random.permutation(loud[: line_ups * together]).tolist(), random.permutation(quiet).tolist()
    drawn: list[LineUp] = []
    for number in range(min(line_ups, len(loud) // together, len(quiet))):
        place = int(random.integers(together + 1))
        some = [int(clip) for clip in loud[number * together : (number + 1) * together]]
        drawn.append(LineUp((*some[:place], int(quiet[number]), *some[place:]), place))
    return Trials(tuple(for_detection[at] for at in order), tuple(at < each for at in order), tuple(drawn))
