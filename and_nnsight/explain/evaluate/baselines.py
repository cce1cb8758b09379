"""Null models of what a unit hears: loudness, duration, silence and brightness, as measured, without a word.

Which of them fits a unit best, and in which direction, is settled on the clips of the dissection that was explained.
On held-out clips they have nothing left to choose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ...audio.silence import SILENCE_DBFS
from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ..acoustics.table import measure_acoustics
from ..records.acoustics import Acoustics
from ..roles import Failure, Span
from .metrics import correlations, standardised

NULLS = ("loudness", "peak", "duration", "silence", "brightness")
"""level_dbfs, loudest_dbfs, sound_seconds, silence_share, and the logarithm of brightness_hz, of the whole clip.

The peak is loudness too: a unit that pools by max follows the loudest 50 ms, not the mean level.
"""

Measured = Mapping[int, Acoustics]


def measured_clips(dissection: Dissection, clips: Sequence[int], data: object, option: str, progress: bool) -> Measured:
    """The measurements of whole clips; those that cannot be read are left out.

    Raises DissectionError, naming the option, where the clips are in no file and `data` is not given.
    """
    try:
        answers = measure_acoustics(dissection, data=data, spans=map(Span, clips), progress=progress)
    except DissectionError as error:
        reason = str(error).replace("data= (--data)", option)
        raise DissectionError(f"the null models need the acoustics of {dissection.folder}: {reason}") from error
    return {span.clip: answer for span, answer in answers.items() if not isinstance(answer, Failure)}


def features(measured: Measured, clips: Sequence[int]) -> Float32[Tensor, "null clip"]:
    """The numbers of clips; NaN where one has no meaning, or the clip was not measured."""
    rows = [_numbers(measured[clip]) if clip in measured else [math.nan] * len(NULLS) for clip in clips]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, len(NULLS)).T.contiguous()


def _numbers(measured: Acoustics) -> list[float]:
    audible = not measured.silent
    return [
        measured.level_dbfs if audible else SILENCE_DBFS,
        measured.loudest_dbfs if audible else SILENCE_DBFS,
        measured.sound_seconds,
        measured.silence_share,
        math.log2(max(measured.brightness_hz, 1.0)) if audible else math.nan,
    ]


def filled(numbers: Float32[Tensor, "null clip"], means: Float32[Tensor, " null"]) -> Float32[Tensor, "null clip"]:
    """What is not known is taken to be as it is on average."""
    return torch.where(numbers.isnan(), means[:, None], numbers)


def known_means(numbers: Float32[Tensor, "null clip"]) -> Float32[Tensor, " null"]:
    """The mean of each number over the clips where it is known; 0 where it never is."""
    return numbers.nanmean(1).nan_to_num(0.0)


def fit_to_units(
    dissection: Dissection, site: str, measured: Measured, sample: Sequence[int]
) -> Float[np.ndarray, "unit null"]:
    """How each null goes with each unit on the clips that were explained: its sign is the null's direction.

    With kept activations: Pearson over the sample. Else how far the null lies, on the unit's top clips, from its mean
    over the sample, in standard deviations; 0 for a unit without a top clip that is evidence.
    """
    numbers = features(measured, sample)
    means = known_means(numbers)
    activations = dissection.activations(site)
    if activations is not None:
        row_of = {clip: row for row, clip in enumerate(dissection.clips)}
        values = torch.from_numpy(activations[[row_of[clip] for clip in sample]]).T.nan_to_num(0.0, 0.0, 0.0)
        return correlations(standardised(filled(numbers, means)), standardised(values)).double().numpy()
    deviations = filled(numbers, means).std(1, correction=0)
    top = dissection[site].top
    used = top.clips[top.clips >= 0].unique()
    table = filled(features(measured, used.tolist()), means)
    scaled = torch.where(deviations > 0, 1 / deviations.clamp(min=1e-12), 0.0)[:, None] * (table - means[:, None])
    rows = torch.searchsorted(used, top.clips.clamp(min=int(used[0]) if len(used) else 0))
    telling = dissection.evidence(site, "top").telling.double()
    moved = (scaled.double()[:, rows] * telling).sum(1) / telling.sum(0).clamp(min=1)
    return moved.T.numpy()
