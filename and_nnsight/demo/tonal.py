"""Recipes of the pitched sounds: tones, sweeps, tremolo, vibrato, chords, strings, bells."""

from __future__ import annotations

import numpy as np

from .draft import Draft, Recipe, event_train, one_sound
from .synthesis import (
    CLIP_SAMPLES,
    CLIP_SECONDS,
    SAMPLING_RATE,
    decay,
    glide,
    log_uniform,
    partials,
    plucked_string,
    sample_count,
    sine,
    trapezoid,
)


def tone(low_hz: float, high_hz: float) -> Recipe:
    """Pure tones: the three classes' pitch ranges lie nearly an octave or more apart."""

    def recipe(rng: np.random.Generator) -> Draft:
        pitch = log_uniform(rng, low_hz, high_hz)
        return one_sound(rng, lambda n: sine(pitch, n), timbre="sine", pitched=True, pitch_hz=pitch, noisiness=0.0)

    return recipe


def sweep(rising: bool) -> Recipe:
    """One glide by an octave and a half or more, unbroken: chirps are short and many."""

    def recipe(rng: np.random.Generator) -> Draft:
        low = log_uniform(rng, 200, 500)
        high = low * rng.uniform(3, 8)
        start, end = (low, high) if rising else (high, low)
        return one_sound(
            rng,
            lambda n: glide(start, end, n),
            timbre="sine",
            pitched=True,
            pitch_low_hz=low,
            pitch_high_hz=high,
            pitch_direction="rising" if rising else "falling",
            noisiness=0.0,
        )

    return recipe


def swelling_tone(rng: np.random.Generator) -> Draft:
    """A pure tone that takes more than half a second to rise: the plain tones take 15 ms at most."""
    pitch = log_uniform(rng, 300, 1200)
    return one_sound(
        rng,
        lambda n: sine(pitch, n),
        shortest=1.3,
        attack=(0.6, 1.0),
        timbre="sine",
        pitched=True,
        pitch_hz=pitch,
        noisiness=0.0,
    )


def tremolo(slowest_hz: float, fastest_hz: float) -> Recipe:
    """A pure tone whose level swings but never falls silent; slow and fast differ in rate alone."""

    def recipe(rng: np.random.Generator) -> Draft:
        pitch, rate = log_uniform(rng, 300, 1200), log_uniform(rng, slowest_hz, fastest_hz)
        depth, phase = rng.uniform(0.8, 0.92), rng.uniform(0, 2 * np.pi)

        def source(samples: int) -> np.ndarray:
            return sine(pitch, samples) * (1 - depth / 2 + depth / 2 * sine(rate, samples, phase))

        return one_sound(
            rng,
            source,
            shortest=1.3,
            timbre="sine",
            pitched=True,
            pitch_hz=pitch,
            noisiness=0.0,
            modulation="amplitude",
            modulation_rate_hz=rate,
            modulation_depth=depth,
        )

    return recipe


def vibrato(rng: np.random.Generator) -> Draft:
    """The pitch swings by one or two semitones either way, five times a second or so: a siren swings far and slowly."""
    pitch, rate, extent = log_uniform(rng, 400, 1200), log_uniform(rng, 4.5, 7.5), rng.uniform(0.08, 0.14)
    return one_sound(
        rng,
        lambda n: sine(pitch * (1 + extent * sine(rate, n)), n),
        timbre="sine",
        pitched=True,
        pitch_hz=pitch,
        pitch_low_hz=pitch * (1 - extent),
        pitch_high_hz=pitch * (1 + extent),
        pitch_direction="alternating",
        noisiness=0.0,
        modulation="frequency",
        modulation_rate_hz=rate,
    )


def siren(rng: np.random.Generator) -> Draft:
    """A few harmonics that swing by most of an octave or more, less than twice a second."""
    low, rate = log_uniform(rng, 450, 700), log_uniform(rng, 1.0, 1.8)
    high = low * rng.uniform(1.8, 2.6)
    phase = rng.uniform(0, 2 * np.pi)

    def wail(samples: int) -> np.ndarray:
        pitch = np.sqrt(low * high) * (high / low) ** (0.5 * sine(rate, samples, phase))
        return sine(pitch, samples) + 0.35 * sine(2 * pitch, samples) + 0.15 * sine(3 * pitch, samples)

    return one_sound(
        rng,
        wail,
        shortest=1.6,
        timbre="harmonic",
        pitched=True,
        pitch_low_hz=low,
        pitch_high_hz=high,
        pitch_direction="alternating",
        noisiness=0.0,
        modulation="frequency",
        modulation_rate_hz=rate,
    )


def chord(semitones: tuple[int, ...]) -> Recipe:
    """Notes with a few harmonics. The root is any pitch of more than an octave, so only the intervals tell."""

    def recipe(rng: np.random.Generator) -> Draft:
        root = log_uniform(rng, 380, 780)
        notes = root * 2.0 ** (np.asarray(semitones) / 12)
        harmonics = np.concatenate([notes, 2 * notes, 3 * notes])
        strength = np.repeat([1.0, rng.uniform(0.2, 0.5), rng.uniform(0.05, 0.2)], len(notes))
        return one_sound(
            rng,
            lambda n: partials(harmonics, strength * rng.uniform(0.8, 1.2, len(strength)), n, rng),
            timbre="chord",
            pitched=True,
            pitch_hz=root,
            pitch_low_hz=root,
            pitch_high_hz=float(notes[-1]),
            notes=len(notes),
            noisiness=0.0,
        )

    return recipe


def buzz(rng: np.random.Generator) -> Draft:
    """A sawtooth: all harmonics of a low pitch, where a low tone has none."""
    pitch = log_uniform(rng, 100, 300)
    numbers = np.arange(1, int(7500 / pitch) + 1)

    def sawtooth(samples: int) -> np.ndarray:
        phase = 2 * np.pi * pitch * np.arange(samples) / SAMPLING_RATE
        return np.sin(np.outer(numbers, phase)).T @ (1 / numbers)

    return one_sound(rng, sawtooth, timbre="harmonic", pitched=True, pitch_hz=pitch, noisiness=0.0)


def plucked(rng: np.random.Generator) -> Draft:
    """One to three plucks of one string: harmonics that die away, the high ones first."""
    delay = int(rng.integers(40, 140))
    count = int(rng.integers(1, 4))
    apart = rng.uniform(0.45, 0.6)
    loss = rng.uniform(0.985, 0.993)
    starts = rng.uniform(0.02, CLIP_SECONDS - 0.45 - (count - 1) * apart) + np.arange(count) * apart
    ends = np.append(starts[1:], CLIP_SECONDS)

    def pluck(number: int) -> np.ndarray:
        # A string that is plucked again stops what it was doing.
        samples = sample_count(float(ends[number] - starts[number]))
        return plucked_string(rng, delay, loss, samples) * trapezoid(samples, 0.001, 0.01)

    return event_train(
        rng,
        starts,
        pluck,
        timbre="string",
        pitched=True,
        pitch_hz=SAMPLING_RATE / (delay + 0.5),
        noisiness=0.0,
        attack_seconds=0.001,
    )


def bell(rng: np.random.Generator) -> Draft:
    """Inharmonic partials that ring for the rest of the clip, the lowest the strongest and longest."""
    pitch, tau = log_uniform(rng, 500, 1100), rng.uniform(0.3, 0.6)
    ratios = np.array([1.0, 1.51, 2.0, 2.74, 3.76, 4.07]) * np.append(1.0, rng.uniform(0.98, 1.02, 5))
    strength = np.append(1.0, rng.uniform(0.3, 0.7, 5))

    def strike(_: int) -> np.ndarray:
        rings = [
            partials(np.array([pitch * ratio]), np.array([gain]), CLIP_SAMPLES, rng)
            * decay(CLIP_SAMPLES, 0.002, tau / ratio)
            for ratio, gain in zip(ratios, strength, strict=True)
        ]
        return np.sum(rings, axis=0)

    return event_train(
        rng,
        np.array([rng.uniform(0.02, 0.6)]),
        strike,
        timbre="inharmonic",
        pitched=True,
        pitch_hz=pitch,
        noisiness=0.0,
        attack_seconds=0.002,
    )
