"""Captions that are built from a sound's attributes alone, so that they cannot say what is not so.

The words and their thresholds:

- level (`level_dbfs`): "loud" from -18 dBFS, "moderately loud" from -26, "quiet" from -45, "faint" below;
- pitch (the fundamental): "low-pitched" below 300 Hz, "mid-pitched" below 1500 Hz, "high-pitched" from there on; said
  of sounds that have one pitch only;
- beginning (`attack_seconds`): "abruptly" up to 0.02 s, "gradually" from 0.3 s, no word between;
- moments and lengths are rounded to a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Mapping

Attributes = Mapping[str, float | str | bool]

LOUDNESS_WORDS = ((-18.0, "loud"), (-26.0, "moderately loud"), (-45.0, "quiet"), (float("-inf"), "faint"))
"""Lowest level in dBFS and the word from there on, loudest first."""
PITCH_WORDS = ((1500.0, "high-pitched"), (300.0, "mid-pitched"), (0.0, "low-pitched"))
"""Lowest pitch in Hz and the word from there on, highest first."""
ABRUPT_SECONDS = 0.02
"""A sound with an attack of at most this length starts abruptly."""
GRADUAL_SECONDS = 0.3
"""A sound with an attack of at least this length starts gradually."""

_SPAN = ", starting {beginning}at {sound_start_seconds:.1f} seconds and lasting {sound_seconds:.1f} seconds."
_TRAIN = "the first at {sound_start_seconds:.1f} seconds, over {sound_seconds:.1f} seconds."

TEMPLATES: Mapping[str, str] = {
    "low tone": "A {loudness}, {pitch} steady pure tone of {pitch_hz:.0f} Hz" + _SPAN,
    "middle tone": "A {loudness}, {pitch} steady pure tone of {pitch_hz:.0f} Hz" + _SPAN,
    "high tone": "A {loudness}, {pitch} steady pure tone of {pitch_hz:.0f} Hz" + _SPAN,
    "rising sweep": "A {loudness} pure tone that rises from {pitch_low_hz:.0f} to {pitch_high_hz:.0f} Hz" + _SPAN,
    "falling sweep": "A {loudness} pure tone that falls from {pitch_high_hz:.0f} to {pitch_low_hz:.0f} Hz" + _SPAN,
    "chirp train": "A {loudness} train of {onsets} short chirps that each rise from {pitch_low_hz:.0f} to "
    "{pitch_high_hz:.0f} Hz, {modulation_rate_hz:.1f} a second, " + _TRAIN,
    "beeps": "A {loudness} row of {onsets} {pitch} beeps of {pitch_hz:.0f} Hz with silence between them, "
    "{modulation_rate_hz:.1f} a second, " + _TRAIN,
    "bird chirps": "A {loudness} run of {onsets} irregular bird-like chirps between {pitch_low_hz:.0f} and "
    "{pitch_high_hz:.0f} Hz, each arching up and down, " + _TRAIN,
    "low noise": "A {loudness} steady low rumbling noise between {band_low_hz:.0f} and {band_high_hz:.0f} Hz" + _SPAN,
    "middle noise": "A {loudness} steady noise in the middle band between {band_low_hz:.0f} and "
    "{band_high_hz:.0f} Hz" + _SPAN,
    "high noise": "A {loudness} steady high hissing noise between {band_low_hz:.0f} and {band_high_hz:.0f} Hz" + _SPAN,
    "white noise": "A {loudness} steady broadband white noise" + _SPAN,
    "surf": "A {loudness} broadband noise like a wave of surf that swells and ebbs away" + _SPAN,
    "rain": "A {loudness} rain-like patter of many irregular drops, about {drops_per_second:.0f} a second" + _SPAN,
    "faint hiss": "A {loudness} steady hiss, close to silence, over the whole {sound_seconds:.1f} seconds.",
    "slow clicks": "A {loudness} slow train of {onsets} short clicks, {modulation_rate_hz:.1f} a second, " + _TRAIN,
    "fast clicks": "A {loudness} fast train of {onsets} short clicks, {modulation_rate_hz:.1f} a second, " + _TRAIN,
    "hi-hat": "A {loudness} regular pattern of {onsets} bright hi-hat-like ticks of noise above {band_low_hz:.0f} Hz, "
    "{modulation_rate_hz:.1f} a second, " + _TRAIN,
    "drum": "A {loudness} regular beat of {onsets} low drum-like thumps, {modulation_rate_hz:.1f} a second, " + _TRAIN,
    "knock pairs": "A {loudness} row of {onsets} dull knocks in pairs, {pair_gap_seconds:.2f} seconds apart within a "
    "pair, " + _TRAIN,
    "slow tremolo": "A {loudness}, {pitch} pure tone of {pitch_hz:.0f} Hz whose level pulses slowly, "
    "{modulation_rate_hz:.1f} times a second" + _SPAN,
    "fast tremolo": "A {loudness}, {pitch} pure tone of {pitch_hz:.0f} Hz whose level flutters fast, "
    "{modulation_rate_hz:.0f} times a second" + _SPAN,
    "swelling tone": "A {loudness}, {pitch} pure tone of {pitch_hz:.0f} Hz that swells over {attack_seconds:.1f} "
    "seconds" + _SPAN,
    "vibrato": "A {loudness}, {pitch} pure tone of {pitch_hz:.0f} Hz with a wide vibrato of {modulation_rate_hz:.1f} "
    "swings a second" + _SPAN,
    "siren": "A {loudness} siren that wails up and down between {pitch_low_hz:.0f} and {pitch_high_hz:.0f} Hz, "
    "{modulation_rate_hz:.1f} times a second" + _SPAN,
    "major chord": "A {loudness} steady major chord of {notes} notes on a root of {pitch_hz:.0f} Hz" + _SPAN,
    "minor chord": "A {loudness} steady minor chord of {notes} notes on a root of {pitch_hz:.0f} Hz" + _SPAN,
    "dissonant cluster": "A {loudness}, rough, dissonant cluster of {notes} close notes between {pitch_low_hz:.0f} and "
    "{pitch_high_hz:.0f} Hz" + _SPAN,
    "buzz": "A {loudness}, {pitch} buzzing tone of {pitch_hz:.0f} Hz, rich in harmonics" + _SPAN,
    "plucked string": "A {loudness}, {pitch} string of {pitch_hz:.0f} Hz, plucked {times} and dying away" + _SPAN,
    "bell": "A {loudness}, {pitch} bell-like strike with inharmonic partials above {pitch_hz:.0f} Hz, ringing for "
    "{sound_seconds:.1f} seconds from {sound_start_seconds:.1f} seconds on.",
    "engine": "A {loudness} low engine-like rumble of {modulation_rate_hz:.0f} strokes a second" + _SPAN,
}
"""A class's sentence; its fields are attributes and the words of this module."""


def loudness_word(level_dbfs: float) -> str:
    """The word for a level."""
    return next(word for lowest, word in LOUDNESS_WORDS if level_dbfs >= lowest)


def pitch_word(pitch_hz: float) -> str:
    """The word for the fundamental of a sound with one pitch."""
    return next(word for lowest, word in PITCH_WORDS if pitch_hz >= lowest)


def beginning_word(attack_seconds: float) -> str:
    """The word for how a sound begins; empty where neither is plainly so."""
    if attack_seconds <= ABRUPT_SECONDS:
        return "abruptly"
    return "gradually" if attack_seconds >= GRADUAL_SECONDS else ""


def caption_of(label: str, attributes: Attributes) -> str:
    """One English sentence about a sound of a class.

    Raises KeyError for a class without a template, and for attributes that lack one that the template needs.
    """
    beginning = beginning_word(float(attributes["attack_seconds"]))
    words = {
        "loudness": loudness_word(float(attributes["level_dbfs"])),
        "beginning": f"{beginning} " if beginning else "",
        "times": {1: "once", 2: "twice"}.get(int(attributes["onsets"]), f"{attributes['onsets']} times"),
    }
    if "pitch_hz" in attributes:
        words["pitch"] = pitch_word(float(attributes["pitch_hz"]))
    return TEMPLATES[label].format(**attributes, **words)
