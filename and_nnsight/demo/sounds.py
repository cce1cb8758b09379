"""Labelled, captioned synthetic sounds whose acoustic attributes are known: ground truth for demonstrations and tests.

Every clip is 2 s of 16 kHz mono. A clip is settled by its label, index and seed alone: the same three give the same
samples, bit for bit on one machine, however many clips are asked for. Samples are whole 16-bit steps (multiples of
2**-15), so that a clip survives a 16-bit WAV file unchanged. All but "faint hiss" lie over white noise of -80 dBFS.

Attributes; one that has no meaning for a clip is absent. "Sounding" are the 10 ms frames whose RMS lies within 30 dB of
the clip's loudest such frame.

==========================  ============================================================================================
level_dbfs                  RMS over the sounding frames, in dB re an RMS of 1 (a full-scale sine has -3.0)
peak_dbfs                   largest absolute sample, in dB re 1
brightness_hz               spectral centroid of the whole clip's power spectrum, Hz
sound_start_seconds         when the first sound begins
sound_seconds               from there to the end of the last sound
silence_share               share of the clip's frames that are not sounding, 0 to 1
attack_seconds              how long one event takes from its beginning to its full level
onsets                      count of separate beginnings of a sound; a tremolo has 1, hiss that was always there 0
noisiness                   share of the energy that is noise, 0 to 1, by construction
timbre                      sine, harmonic, chord, string, inharmonic, noise, click, drum, knock, engine
pitched                     whether it has a pitch (steady or moving)
pitch_hz                    fundamental, where there is one (vibrato: its middle; chord: root; bell: lowest partial)
pitch_low_hz, pitch_high_hz range of a moving pitch, or of the fundamentals of a chord
pitch_direction             rising, falling, alternating, arching: how a moving pitch moves (each event, if several)
band_low_hz, band_high_hz   edges of a band of noise
modulation                  none, amplitude, frequency, repetition (a regular train of events)
modulation_rate_hz          cycles or events a second, where modulation is not none
modulation_depth            tremolo: 1 minus the lowest amplitude over the highest
notes                       count of notes of a chord
drops_per_second            rain: mean number of drops a second
pair_gap_seconds            knock pairs: from the first knock of a pair to its second
pairs_apart_seconds         knock pairs: from the first pair to the second
==========================  ============================================================================================
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .captions import caption_of
from .draft import Attribute, Draft
from .recipes import RECIPES
from .synthesis import CLIP_SAMPLES, CLIP_SECONDS, SAMPLING_RATE, root_mean_square

CLASSES: tuple[str, ...] = tuple(RECIPES)
"""The labels, in the order of the embedded model's classes."""

FRAME_SECONDS = 0.01
SOUNDING_RANGE_DB = 30.0
BACKGROUND_DBFS = -80.0

_FULL_SCALE = 2**15
_HIGHEST_PEAK = 0.95


@dataclass(frozen=True, eq=False)
class Sound:
    """A clip and everything that is true of it."""

    waveform: np.ndarray
    """float32 [time], within -1 to 1"""
    sampling_rate: int
    label: str
    caption: str
    """one sentence, built from the attributes (see `and_nnsight.demo.captions`)"""
    attributes: Mapping[str, Attribute]
    """name to value, with the unit in the name (see the module's table)"""


def make_sound(label: str, index: int, seed: int = 0) -> Sound:
    """Make the `index`-th clip of a class. Raises ValueError for an unknown label, and a negative index or seed."""
    if label not in RECIPES:
        raise ValueError(f"unknown class of sound {label!r}; the classes are: {', '.join(CLASSES)}")
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed must not be negative, got index={index}, seed={seed}")
    # The label enters by its text, so that a new class leaves the sounds of the others as they are.
    rng = np.random.default_rng([seed, zlib.crc32(label.encode()), index])
    draft = RECIPES[label](rng)
    sounding = _sounding(draft.signal)
    level_dbfs = rng.uniform(*draft.level_range_dbfs)
    gain = 10 ** (level_dbfs / 20) / root_mean_square(sounding_samples(draft.signal, sounding))
    signal = draft.signal * min(gain, _HIGHEST_PEAK / float(np.max(np.abs(draft.signal))))
    attributes = _attributes(draft, signal, sounding)
    if draft.background:
        signal = signal + 10 ** (BACKGROUND_DBFS / 20) * rng.standard_normal(CLIP_SAMPLES)
    waveform = (np.round(signal * _FULL_SCALE) / _FULL_SCALE).astype(np.float32)
    return Sound(waveform, SAMPLING_RATE, label, caption_of(label, attributes), attributes)


def make_sounds(per_class: int = 8, seed: int = 0, classes: Sequence[str] = CLASSES) -> Iterator[Sound]:
    """Make clips of several classes: the first of each class, then the second of each, and so on.

    Raises ValueError as `make_sound` does, when the clip's turn comes.
    """
    for index in range(per_class):
        for label in classes:
            yield make_sound(label, index, seed)


def sounding_samples(signal: np.ndarray, sounding: np.ndarray) -> np.ndarray:
    """The samples of the sounding frames (bool [frame]), end to end."""
    return signal.reshape(len(sounding), -1)[sounding].ravel()


def _sounding(signal: np.ndarray) -> np.ndarray:
    frames = signal.reshape(round(CLIP_SECONDS / FRAME_SECONDS), -1)
    power = np.mean(np.square(frames), axis=1)
    return power >= power.max() * 10 ** (-SOUNDING_RANGE_DB / 10)


def _attributes(draft: Draft, signal: np.ndarray, sounding: np.ndarray) -> dict[str, Attribute]:
    """What the recipe knows, and what is measured on the sound itself (before any background)."""
    power = np.square(np.abs(np.fft.rfft(signal)))
    frequencies = np.fft.rfftfreq(len(signal), 1 / SAMPLING_RATE)
    end = draft.end_seconds
    if end is None:
        end = float(np.flatnonzero(sounding)[-1] + 1) * FRAME_SECONDS
    return {
        "level_dbfs": 20 * float(np.log10(root_mean_square(sounding_samples(signal, sounding)))),
        "peak_dbfs": 20 * float(np.log10(np.max(np.abs(signal)))),
        "brightness_hz": float(np.sum(frequencies * power) / np.sum(power)),
        "sound_start_seconds": draft.start_seconds,
        "sound_seconds": end - draft.start_seconds,
        "silence_share": 1 - float(np.mean(sounding)),
        **draft.attributes,
    }
