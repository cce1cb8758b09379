"""When a language model's audio tokens are: counted by its processor, tried by clicks through tower and projector.

How many tokens a clip has grows with its length in steps: a step's length in samples is the stretch that its tokens
stand for. Where clips of all lengths have the same number (a window, padded), the tokens divide it evenly. Whether the
tokens are in order of time is then seen: a stretch of noise that is changed has to move the tokens of that stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...sites.geometry import Geometry, Grouped, Regular

Count = Callable[[int], int]
"""Audio tokens of a clip of so many samples."""
_STEPS = 3
_CLICKS = (0.3, 0.8)  # where in the probe, as shares
_LOUD = 4.0


def counted_seconds(count: Count, rate: int, window: int | None) -> Geometry | None:
    """The geometry of audio tokens as their numbers tell it; None where the numbers follow no rule.

    rate    samples a second
    window  samples that are heard at most; None: any number
    """
    longest = 4 * rate if window is None else min(window, 4 * rate)
    start, stop = longest // 4, longest
    least, most = count(start), count(stop)
    if least == most:
        if window is None or not most:
            return None
        return _geometry(window / rate / most, 1)
    edges = list(_edges(count, start, stop))
    lengths = {later - earlier for (earlier, _), (later, _) in pairwise(edges)}
    jumps = {jump for _, jump in edges}
    if len(lengths) != 1 or len(jumps) != 1:
        return None
    return _geometry(lengths.pop() / rate, jumps.pop())


def shortest_clip(count: Count, rate: int) -> int:
    """The fewest samples of which there is an audio token."""
    low, high = 0, rate
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _counts(count, middle) > 0 else (middle, high)
    return high


def _counts(count: Count, samples: int) -> int:
    """Tokens of so many samples; none where the feature extractor cannot take so few."""
    try:
        return count(samples)
    except (ValueError, RuntimeError, IndexError):
        return 0


def _geometry(hop: float, group: int) -> Geometry:
    return Regular(hop=hop, span=hop) if group == 1 else Grouped(hop=hop, span=hop, group=group)


def _edges(count: Count, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The first few lengths, in samples, from which on there are more tokens, and how many more."""
    here = count(start)
    for _ in range(_STEPS):
        low, high = start, stop
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if count(middle) > here else (middle, high)
        then = count(high)
        if then == here:
            return
        yield high, then - here
        start, here = high, then


Embeddings = Callable[[Sequence[np.ndarray]], Float[Tensor, "clip token width"]]
"""What goes into a language model for the audio tokens of clips of one length."""


def is_in_order(
    geometry: Geometry,
    embeddings: Embeddings,
    tower: nn.Module,
    attentions: Sequence[str],
    samples: int,
    rate: int,
) -> bool:
    """Whether changed stretches of a clip move the tokens of those stretches most, or their neighbours.

    attentions  modules of the tower that mix all of a clip: they are silenced meanwhile
    samples     length of the probe
    """
    noise = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0)).numpy()
    hop = float(getattr(geometry, "hop", 0.0))
    starts = [round(share * samples) for share in _CLICKS]
    clicked = [noise.copy() for _ in starts]
    for clip, start in zip(clicked, starts, strict=True):
        clip[start : start + max(1, round(hop * rate / 2))] *= _LOUD
    with silenced(tower, attentions):
        plain, *changed = embeddings([noise, *clicked])
    for start, there in zip(starts, changed, strict=True):
        moved = (there - plain).norm(dim=-1)
        times = geometry.times(np.arange(len(moved)))
        own = torch.from_numpy(times[:, 0] < samples / rate)  # behind them is padding, which a louder clip moves too
        first, last = times[int(moved.cpu().where(own, -1.0).argmax())]
        if not first - hop <= start / rate <= last + hop:
            return False
    return True


@contextmanager
def silenced(module: nn.Module, paths: Sequence[str]) -> Iterator[None]:
    """While open, these modules inside of one give zeros."""

    def silence(_: nn.Module, __: object, output: object) -> object:
        if isinstance(output, Tensor):
            return torch.zeros_like(output)
        if isinstance(output, tuple) and isinstance(output[0], Tensor):
            return (torch.zeros_like(output[0]), *output[1:])
        return output

    handles = [module.get_submodule(path).register_forward_hook(silence) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
