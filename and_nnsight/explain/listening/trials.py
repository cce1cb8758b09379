"""Which held-out clips a listener hears of a unit: some on which it fires, and some on which it does not.

It fires on the clips in its top share, and does not on those at or below its median: what lies between is heard by
nobody, as a clip that ranks just below the top share is no example of a clip that the unit does not respond to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from ..agreement import positives


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
    share     that of the clips on which the unit fires (see `agreement.positives`)
    excerpts  clips for detection, at most
    line_ups  at most
    together  clips of a line-up on which the unit fires; a unit that fires on fewer clips has no line-up

    No clips at all where the unit fires on none of them, or on all alike.
    """
    ids = np.asarray(clips, dtype=np.int64)
    finite = np.isfinite(values)
    known = torch.from_numpy(values[finite])[None]
    if known.shape[1] < 2:
        return Trials((), (), ())
    firing = positives(known, share)[0].numpy()
    still = ~firing & (values[finite] <= np.median(values[finite]))
    loud, quiet = (random.permutation(ids[finite][side]).tolist() for side in (firing, still))
    each = min(excerpts // 2, len(loud), len(quiet))
    order = random.permutation(2 * each).tolist()
    heard = [*loud[:each], *quiet[:each]]
    loud, quiet = random.permutation(loud).tolist(), random.permutation(quiet).tolist()
    made: list[LineUp] = []
    for number in range(min(line_ups, len(loud) // together, len(quiet))):
        place = int(random.integers(together + 1))
        some = [int(clip) for clip in loud[number * together : (number + 1) * together]]
        made.append(LineUp((*some[:place], int(quiet[number]), *some[place:]), place))
    return Trials(tuple(heard[at] for at in order), tuple(at < each for at in order), tuple(made))
