"""How a clip sounds, as a handful of traits that any sound has or lacks: what a caption that names a source leaves out.

The thresholds are those of `sentences`, so that the same words mean the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from ..records.acoustics import Acoustics
from .sentences import (
    BRIGHT_HZ,
    DARK_HZ,
    DECAY_DB,
    GLIDE,
    GRADUAL_SECONDS,
    LOUDNESS,
    MOSTLY_SILENT,
    NOISE,
    PITCH,
    SHARP_SECONDS,
    SHORT_SECONDS,
    has_pitch,
)

_LOUD, _QUIET = LOUDNESS[0][0], LOUDNESS[1][0]
_HIGH, _MIDDLE = PITCH[0][0], PITCH[1][0]
_WORD = re.compile(r"[^\W_]+")
_LARGEST_SWING = 1.2  # highest over lowest pitch from where on a glide is heard


def _glides(measured: Acoustics) -> bool:
    return has_pitch(measured) and measured.pitch_high_hz >= _LARGEST_SWING * measured.pitch_low_hz


ADJECTIVES: Mapping[str, Callable[[Acoustics], bool]] = {
    "loud": lambda one: one.level_dbfs >= _LOUD,
    "quiet": lambda one: one.level_dbfs < _QUIET,
    "low-pitched": lambda one: has_pitch(one) and one.pitch_hz < _MIDDLE,
    "mid-pitched": lambda one: has_pitch(one) and _MIDDLE <= one.pitch_hz < _HIGH,
    "high-pitched": lambda one: has_pitch(one) and one.pitch_hz >= _HIGH,
    "noisy": lambda one: one.noisiness >= NOISE,
    "bright": lambda one: one.brightness_hz >= BRIGHT_HZ,
    "dark": lambda one: one.brightness_hz < DARK_HZ,
    "short": lambda one: one.sound_seconds <= SHORT_SECONDS,
}
"""What stands before "sound"."""
MANNERS: Mapping[str, Callable[[Acoustics], bool]] = {
    "starting abruptly": lambda one: one.attack_seconds <= SHARP_SECONDS,
    "swelling gradually": lambda one: one.attack_seconds >= GRADUAL_SECONDS,
    "dying away": lambda one: one.decay_db >= DECAY_DB,
    "rising in pitch": lambda one: _glides(one) and one.pitch_slope >= GLIDE,
    "falling in pitch": lambda one: _glides(one) and one.pitch_slope <= -GLIDE,
    "wavering in pitch": lambda one: has_pitch(one) and one.pitch_rate_hz > 0,
    "repeating regularly": lambda one: one.level_rate_hz > 0,
    "with much silence": lambda one: one.silence_share >= MOSTLY_SILENT,
}
"""What stands behind it."""
_SPOKEN_OF_BY = (
    ({"loud", "quiet"}, {"loud", "quiet", "soft", "faint", "silent"}),
    ({"low-pitched", "mid-pitched", "high-pitched"}, {"low", "high", "mid", "pitched", "deep", "shrill"}),
    ({"short"}, {"short", "long", "brief", "sustained"}),
    ({"noisy"}, {"noise", "noisy", "hiss", "hissing"}),
)
"""Traits, and words of captions that speak of the same: what a caption says goes before what is measured."""
TRAITS: tuple[str, ...] = (*ADJECTIVES, *MANNERS)


def traits_of(measured: Acoustics) -> frozenset[str]:
    """The traits that a clip has; none of silence."""
    if measured.silent:
        return frozenset()
    return frozenset(name for name, has in {**ADJECTIVES, **MANNERS}.items() if has(measured))


def not_spoken_of(traits: Iterable[str], clause: str) -> tuple[str, ...]:
    """The traits that a clause says nothing about."""
    words = set(_WORD.findall(clause.lower()))
    about = {name for names, those in _SPOKEN_OF_BY if words & those for name in names}
    return tuple(name for name in traits if name not in about)


def as_clause(traits: Iterable[str]) -> str:
    """Traits as a clause: loud, low-pitched sounds starting abruptly and dying away."""
    named = set(traits)
    adjectives = ", ".join(name for name in ADJECTIVES if name in named)
    manners = " and ".join(name for name in MANNERS if name in named)
    return f"{adjectives} sounds {manners}".strip()
