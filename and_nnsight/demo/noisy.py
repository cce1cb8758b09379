"""Recipes of the sounds made of noise: bands, surf, rain, an engine, near silence."""

from __future__ import annotations

import numpy as np

from .draft import Draft, Recipe, one_sound
from .synthesis import (
    CLIP_SAMPLES,
    CLIP_SECONDS,
    SAMPLING_RATE,
    decay,
    log_uniform,
    mix,
    noise_band,
    place,
    sample_count,
    trapezoid,
)


def noise(low_hz: tuple[float, float], high_hz: tuple[float, float]) -> Recipe:
    """Steady noise; the bands of the low, middle and high class do not meet, white noise fills all."""

    def recipe(rng: np.random.Generator) -> Draft:
        low, high = rng.uniform(*low_hz), rng.uniform(*high_hz)
        return one_sound(
            rng,
            lambda n: noise_band(rng, low, high, n),
            attack=(0.005, 0.02),
            timbre="noise",
            pitched=False,
            band_low_hz=low,
            band_high_hz=high,
            noisiness=1.0,
        )

    return recipe


def surf(rng: np.random.Generator) -> Draft:
    """Noise as broad as white noise, but it swells: an attack of half a second or more."""
    seconds, attack = rng.uniform(1.6, 1.9), rng.uniform(0.6, 1.0)
    samples = sample_count(seconds)
    start = rng.uniform(0.02, CLIP_SECONDS - 0.02 - seconds)
    low, high = rng.uniform(150, 400), rng.uniform(4000, 6000)
    clip = np.zeros(CLIP_SAMPLES)
    swell = trapezoid(samples, attack, seconds - attack)
    place(clip, noise_band(rng, low, high, samples) * swell**1.5, start)
    return Draft(
        clip,
        {
            "timbre": "noise",
            "pitched": False,
            "band_low_hz": low,
            "band_high_hz": high,
            "noisiness": 1.0,
            "attack_seconds": attack,
            "onsets": 1,
            "modulation": "none",
        },
        start,
    )


def faint_hiss(rng: np.random.Generator) -> Draft:
    """White noise over the whole clip, 20 dB or more below every other class."""
    return Draft(
        rng.standard_normal(CLIP_SAMPLES),
        {
            "timbre": "noise",
            "pitched": False,
            "noisiness": 1.0,
            "attack_seconds": 0.0,
            "onsets": 0,
            "modulation": "none",
        },
        0.0,
        CLIP_SECONDS,
        level_range_dbfs=(-68.0, -54.0),
        background=False,
    )


def rain(rng: np.random.Generator) -> Draft:
    """Too many drops to count, of very unequal strength: grainy where white noise is smooth."""
    drops = rng.uniform(70, 160)
    kernel = rng.standard_normal(160) * decay(160, 0.0003, rng.uniform(0.001, 0.0025))

    def shower(samples: int) -> np.ndarray:
        hits = (rng.random(samples) < drops / SAMPLING_RATE) * rng.lognormal(0, 0.8, samples)
        grains = np.convolve(hits * rng.choice([-1.0, 1.0], samples), kernel)[:samples]
        return mix(grains, noise_band(rng, 1000, 7500, samples), 0.12)

    return one_sound(rng, shower, shortest=1.3, timbre="noise", pitched=False, noisiness=1.0, drops_per_second=drops)


def engine(rng: np.random.Generator) -> Draft:
    """Thumps of low noise, 28 to 50 a second, over a low hiss: low noise is smooth."""
    rate, share = log_uniform(rng, 28, 50), rng.uniform(0.05, 0.15)
    kernel = noise_band(rng, 60, 900, 320) * decay(320, 0.001, rng.uniform(0.003, 0.005))

    def rumble(samples: int) -> np.ndarray:
        strokes = np.zeros(samples)
        at = (np.arange(int(samples / SAMPLING_RATE * rate)) * SAMPLING_RATE / rate).astype(int)
        strokes[at] = rng.uniform(0.85, 1.15, len(at))
        return mix(np.convolve(strokes, kernel)[:samples], noise_band(rng, 60, 500, samples), share)

    return one_sound(
        rng,
        rumble,
        shortest=1.2,
        timbre="engine",
        pitched=True,
        pitch_hz=rate,
        noisiness=share,
        modulation="amplitude",
        modulation_rate_hz=rate,
    )
