"""When the tokens of a text are said: dynamic time warping over a decoder's attention to the sound, as Whisper has it.

Some heads of a Whisper's decoder (`alignment_heads` of its generation config) look at the sound of a token while the
model is about to write it. Their attention is held against that of the text's other tokens, smoothed over time and
averaged; the cheapest way through it that never goes back gives each token a stretch of frames (`find_alignment` of
openai/whisper). The first begins with the clip, whatever is heard there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

MEDIAN_WIDTH = 7
"""Frames that attention is smoothed over, where a model's config does not say."""


def alignment_heads(generation_config: Any) -> tuple[tuple[int, int], ...]:
    """The heads (layer, head) of a decoder that tell when its tokens are said; empty where the model names none."""
    heads = getattr(generation_config, "alignment_heads", None)
    return tuple((int(layer), int(head)) for layer, head in heads or ())


def token_frames(
    attention: Float[Tensor, "head position frame"], positions: Sequence[int], width: int = MEDIAN_WIDTH
) -> Int[np.ndarray, " token"]:
    """The first frame of each token, which is also where the one before it ends.

    attention  weights over the frames of the clip's own sound
    positions  those at which the tokens are about to be written, ascending: the one before each token's own. The last
               may be where the text ends
    width      frames, an odd number, that attention is smoothed over
    """
    deviation, mean = torch.std_mean(attention, dim=1, keepdim=True, correction=0)
    standardised = (attention - mean) / deviation.clamp(min=torch.finfo(attention.dtype).tiny)
    likeness = _smoothed(standardised, width).mean(0)[list(positions)]
    return first_frames(-likeness.double().cpu().numpy())


def _smoothed(values: Float[Tensor, "head position frame"], width: int) -> Float[Tensor, "head position frame"]:
    """The median of so many neighbours in time."""
    reach = width // 2
    if not 0 < reach < values.shape[-1]:
        return values
    padded = torch.nn.functional.pad(values, (reach, reach), mode="reflect")
    return padded.unfold(-1, width, 1).median(-1).values


def first_frames(costs: Float[np.ndarray, "token frame"]) -> Int[np.ndarray, " token"]:
    """The first frame of each row on the cheapest way from the first row and frame to the last row and frame.

    A step goes to the next frame, the next row, or both.
    """
    rows, frames = costs.shape
    before = np.full(frames + 1, np.inf)  # cost of the way to the row above, up to the frame before each
    before[0] = 0.0
    entered = np.zeros((rows, frames), np.int64)  # where the way to a frame of a row came into that row
    diagonally = np.zeros((rows, frames), bool)
    for row, cost in enumerate(costs):
        sums = np.concatenate([[0.0], np.cumsum(cost)])
        diagonally[row] = before[:-1] <= before[1:]
        cost_to_enter = np.minimum(before[:-1], before[1:]) - sums[:-1]
        lowest = np.minimum.accumulate(cost_to_enter)
        lower = lowest < np.concatenate([[np.inf], lowest[:-1]])
        entered[row] = np.maximum.accumulate(np.where(lower, np.arange(frames), 0))
        before = np.concatenate([[np.inf], lowest + sums[1:]])
    firsts, frame = np.zeros(rows, np.int64), frames - 1
    for row in range(rows - 1, -1, -1):
        firsts[row] = entered[row, frame]
        frame = firsts[row] - int(diagonally[row, firsts[row]])
    return firsts
