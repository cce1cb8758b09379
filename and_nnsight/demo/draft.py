"""What a recipe of a synthetic sound hands over, and the two shapes most share: one sound, a train of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .synthesis import CLIP_SAMPLES, CLIP_SECONDS, place, sample_count, trapezoid

Attribute = float | str | bool
Recipe = Callable[[np.random.Generator], "Draft"]


@dataclass(frozen=True, eq=False)
class Draft:
    """A sound before its level is set: the signal at any scale, and what its recipe knows of it."""

    signal: np.ndarray
    """float64 [time]"""
    attributes: Mapping[str, Attribute]
    start_seconds: float
    end_seconds: float | None = None
    """None where the sound dies away, so that its end has to be measured."""
    level_range_dbfs: tuple[float, float] = (-32.0, -12.0)
    background: bool = True
    """whether it lies over the faint noise of `sounds.BACKGROUND_DBFS`"""


def one_sound(
    rng: np.random.Generator,
    source: Callable[[int], np.ndarray],
    shortest: float = 0.8,
    attack: tuple[float, float] = (0.004, 0.015),
    **attributes: Attribute,
) -> Draft:
    """One unbroken sound with a beginning and an end: `source` gives so many samples of it."""
    seconds = rng.uniform(shortest, 1.85)
    start = rng.uniform(0.02, CLIP_SECONDS - 0.02 - seconds)
    attack_seconds = rng.uniform(*attack)
    samples = sample_count(seconds)
    clip = np.zeros(CLIP_SAMPLES)
    place(clip, source(samples) * trapezoid(samples, attack_seconds, rng.uniform(0.01, 0.03)), start)
    facts = {"attack_seconds": attack_seconds, "onsets": 1, "modulation": "none", **attributes}
    return Draft(clip, facts, start, start + seconds)


def event_train(
    rng: np.random.Generator, starts: np.ndarray, event: Callable[[int], np.ndarray], **attributes: Attribute
) -> Draft:
    """A row of separate events, each scaled to the same peak; `event` gives the n-th."""
    clip = np.zeros(CLIP_SAMPLES)
    for number, start in enumerate(starts):
        sound = event(number)
        place(clip, sound / np.max(np.abs(sound)), float(start))
    facts = {"onsets": len(starts), "modulation": "none", **attributes}
    return Draft(clip, facts, float(starts[0]))


def regular_starts(rng: np.random.Generator, rate_hz: float, fewest: int, room: float) -> np.ndarray:
    """Start times of a regular train at a rate, as many as fit or fewer; each event needs `room` seconds."""
    most = int((CLIP_SECONDS - 0.04 - room) * rate_hz) + 1
    count = int(rng.integers(max(fewest, (2 * most + 2) // 3), most + 1))
    length = (count - 1) / rate_hz + room
    return rng.uniform(0.02, CLIP_SECONDS - 0.02 - length) + np.arange(count) / rate_hz
