"""How each class of synthetic sound is made: one recipe a class, a function from a random generator to a draft.

A recipe sets what is true by construction (pitch, rate, onsets, ...); what needs the finished waveform (level,
brightness, ...) is measured in `sounds`. Classes that could be confused differ in at least one attribute whose ranges
do not overlap; the docstrings of the recipes say which.
"""

from __future__ import annotations

from collections.abc import Mapping

from .draft import Recipe
from .events import beeps, bird_chirps, chirp_train, clicks, drum, hi_hat, knock_pairs
from .noisy import engine, faint_hiss, noise, rain, surf
from .tonal import bell, buzz, chord, plucked, siren, sweep, swelling_tone, tone, tremolo, vibrato

RECIPES: Mapping[str, Recipe] = {
    "low tone": tone(90, 240),
    "middle tone": tone(450, 1000),
    "high tone": tone(2000, 4500),
    "rising sweep": sweep(rising=True),
    "falling sweep": sweep(rising=False),
    "chirp train": chirp_train,
    "beeps": beeps,
    "bird chirps": bird_chirps,
    "low noise": noise((80, 120), (300, 450)),
    "middle noise": noise((700, 1000), (1700, 2400)),
    "high noise": noise((3600, 4500), (6400, 7600)),
    "white noise": noise((20, 20), (8000, 8000)),
    "surf": surf,
    "rain": rain,
    "faint hiss": faint_hiss,
    "slow clicks": clicks(1.5, 3),
    "fast clicks": clicks(8, 16),
    "hi-hat": hi_hat,
    "drum": drum,
    "knock pairs": knock_pairs,
    "slow tremolo": tremolo(2, 4),
    "fast tremolo": tremolo(8, 14),
    "swelling tone": swelling_tone,
    "vibrato": vibrato,
    "siren": siren,
    "major chord": chord((0, 4, 7)),
    "minor chord": chord((0, 3, 7)),
    "dissonant cluster": chord((0, 1, 2)),
    "buzz": buzz,
    "plucked string": plucked,
    "bell": bell,
    "engine": engine,
}
