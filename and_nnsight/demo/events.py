"""Recipes of rows of separate events: chirps, beeps, clicks, drums, knocks."""

from __future__ import annotations

import numpy as np

from .draft import Draft, Recipe, event_train, regular_starts
from .synthesis import (
    CLIP_SECONDS,
    SAMPLING_RATE,
    decay,
    glide,
    log_uniform,
    mix,
    noise_band,
    sample_count,
    sine,
    trapezoid,
)


def chirp_train(rng: np.random.Generator) -> Draft:
    """Every chirp rises, and all stay below 2.3 kHz: bird chirps arch, above 2.6 kHz."""
    rate = log_uniform(rng, 3, 6)
    low = log_uniform(rng, 500, 900)
    high = low * rng.uniform(1.9, 2.5)
    samples = sample_count(rng.uniform(0.07, 0.11))
    return event_train(
        rng,
        regular_starts(rng, rate, 3, samples / SAMPLING_RATE),
        lambda _: glide(low, high, samples) * trapezoid(samples, 0.005, 0.01),
        timbre="sine",
        pitched=True,
        pitch_low_hz=low,
        pitch_high_hz=high,
        pitch_direction="rising",
        noisiness=0.0,
        attack_seconds=0.005,
        modulation="repetition",
        modulation_rate_hz=rate,
    )


def beeps(rng: np.random.Generator) -> Draft:
    """Silence between the beeps: a tremolo never falls silent."""
    rate = log_uniform(rng, 2, 4.5)
    pitch = log_uniform(rng, 1400, 3200)
    samples = sample_count(rng.uniform(0.4, 0.6) / rate)
    return event_train(
        rng,
        regular_starts(rng, rate, 3, samples / SAMPLING_RATE),
        lambda _: sine(pitch, samples) * trapezoid(samples, 0.005, 0.005),
        timbre="sine",
        pitched=True,
        pitch_hz=pitch,
        noisiness=0.0,
        attack_seconds=0.005,
        modulation="repetition",
        modulation_rate_hz=rate,
    )


def bird_chirps(rng: np.random.Generator) -> Draft:
    """Each chirp's pitch rises and falls again; gaps are irregular, so there is no rate."""
    count = int(rng.integers(4, 8))
    base = log_uniform(rng, 2700, 3800)
    samples = rng.integers(sample_count(0.06), sample_count(0.12), count)
    lows = base * rng.uniform(0.97, 1.1, count)
    highs = lows * rng.uniform(1.25, 1.6, count)
    gaps = rng.uniform(0.17, 0.3, count - 1)
    starts = rng.uniform(0.02, CLIP_SECONDS - 0.16 - float(gaps.sum())) + np.concatenate(([0.0], np.cumsum(gaps)))

    def chirp(number: int) -> np.ndarray:
        n = int(samples[number])
        arch = np.sin(np.pi * np.linspace(0, 1, n))
        return sine(lows[number] + (highs[number] - lows[number]) * arch, n) * trapezoid(n, 0.01, 0.015)

    return event_train(
        rng,
        starts,
        chirp,
        timbre="sine",
        pitched=True,
        pitch_low_hz=float(lows.min()),
        pitch_high_hz=float(highs.max()),
        pitch_direction="arching",
        noisiness=0.0,
        attack_seconds=0.01,
    )


def clicks(slowest_hz: float, fastest_hz: float) -> Recipe:
    """Broadband clicks of a few milliseconds; slow and fast trains differ in rate alone."""

    def recipe(rng: np.random.Generator) -> Draft:
        rate = log_uniform(rng, slowest_hz, fastest_hz)
        samples, tau = sample_count(0.015), rng.uniform(0.001, 0.003)
        return event_train(
            rng,
            regular_starts(rng, rate, 3, 0.015),
            lambda _: noise_band(rng, 300, 7900, samples) * decay(samples, 0.0003, tau),
            timbre="click",
            pitched=False,
            noisiness=1.0,
            attack_seconds=0.0003,
            modulation="repetition",
            modulation_rate_hz=rate,
        )

    return recipe


def hi_hat(rng: np.random.Generator) -> Draft:
    """Ticks of high noise that ring for tens of milliseconds; nothing below 5 kHz, unlike clicks."""
    rate, tau = log_uniform(rng, 3.5, 7), rng.uniform(0.012, 0.022)
    low = rng.uniform(5000, 6000)
    samples = sample_count(0.12)
    return event_train(
        rng,
        regular_starts(rng, rate, 5, 0.12),
        lambda _: noise_band(rng, low, 7900, samples) * decay(samples, 0.001, tau),
        timbre="noise",
        pitched=False,
        band_low_hz=low,
        band_high_hz=7900.0,
        noisiness=1.0,
        attack_seconds=0.001,
        modulation="repetition",
        modulation_rate_hz=rate,
    )


def drum(rng: np.random.Generator) -> Draft:
    """A low thump whose pitch drops (below 130 Hz), with a little noise: a knock's lies above 250 Hz."""
    rate, low, tau = log_uniform(rng, 1.5, 3), rng.uniform(50, 70), rng.uniform(0.05, 0.08)
    share = rng.uniform(0.03, 0.12)
    samples = sample_count(0.4)
    high = low * rng.uniform(1.5, 1.8)

    def hit(_: int) -> np.ndarray:
        skin = sine(low + (high - low) * np.exp(-np.arange(samples) / (0.03 * SAMPLING_RATE)), samples, np.pi / 4)
        stick = noise_band(rng, 200, 3000, samples) * decay(samples, 0.002, 0.015)
        return mix(skin * decay(samples, 0.002, tau), stick, share)

    return event_train(
        rng,
        regular_starts(rng, rate, 2, 0.3),
        hit,
        timbre="drum",
        pitched=True,
        pitch_low_hz=low,
        pitch_high_hz=high,
        pitch_direction="falling",
        noisiness=share,
        attack_seconds=0.002,
        modulation="repetition",
        modulation_rate_hz=rate,
    )


def knock_pairs(rng: np.random.Generator) -> Draft:
    """Two pairs of dull knocks: the gap within a pair is about a fifth of the way to the next."""
    gap, apart = rng.uniform(0.13, 0.2), rng.uniform(0.75, 0.95)
    pitch, tau = rng.uniform(260, 420), rng.uniform(0.01, 0.016)
    share = rng.uniform(0.2, 0.4)
    samples = sample_count(0.08)
    starts = rng.uniform(0.02, CLIP_SECONDS - 0.1 - gap - apart) + np.array([0, gap, apart, apart + gap])

    def knock(_: int) -> np.ndarray:
        wood = sine(pitch, samples, np.pi / 4) + 0.6 * sine(2.3 * pitch, samples)
        thud = noise_band(rng, 150, 1500, samples) * decay(samples, 0.001, 0.008)
        return mix(wood * decay(samples, 0.001, tau), thud, share)

    return event_train(
        rng,
        starts,
        knock,
        timbre="knock",
        pitched=False,
        noisiness=share,
        attack_seconds=0.001,
        pair_gap_seconds=gap,
        pairs_apart_seconds=apart,
    )
