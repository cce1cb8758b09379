"""Building blocks of the synthetic sounds: oscillators, noise, envelopes. float64 arrays of samples in and out."""

from __future__ import annotations

import numpy as np

SAMPLING_RATE = 16_000
"""Samples a second of every synthetic sound."""
CLIP_SECONDS = 2.0
CLIP_SAMPLES = int(CLIP_SECONDS * SAMPLING_RATE)


def sample_count(seconds: float) -> int:
    """The number of samples nearest to a length in seconds."""
    return round(seconds * SAMPLING_RATE)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A random number whose logarithm is uniform: frequencies are heard on such a scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def sine(frequency_hz: float | np.ndarray, samples: int, phase: float = 0.0) -> np.ndarray:
    """A sine of amplitude 1; an array of `samples` frequencies makes it glide without a break in its phase."""
    steps = np.broadcast_to(np.asarray(frequency_hz, dtype=np.float64), (samples,)) / SAMPLING_RATE
    return np.sin(2 * np.pi * (np.cumsum(steps) - steps[0]) + phase)


def partials(frequencies_hz: np.ndarray, amplitudes: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A sum of sines with random phases. Frequencies at or above the Nyquist frequency are left out."""
    total = np.zeros(samples)
    for frequency, amplitude in zip(frequencies_hz, amplitudes, strict=True):
        phase = rng.uniform(0, 2 * np.pi)
        if frequency < SAMPLING_RATE / 2:
            total += amplitude * sine(float(frequency), samples, phase)
    return total


def glide(start_hz: float, end_hz: float, samples: int) -> np.ndarray:
    """A sine whose frequency moves evenly on a logarithmic scale from one frequency to the other."""
    return sine(start_hz * (end_hz / start_hz) ** np.linspace(0, 1, samples), samples)


def noise_band(rng: np.random.Generator, low_hz: float, high_hz: float, samples: int) -> np.ndarray:
    """Gaussian noise of RMS 1 with no energy outside `low_hz` to `high_hz`."""
    # Short bursts are cut out of a longer noise, so that even the narrowest band holds many frequency bins.
    drawn = max(samples, SAMPLING_RATE // 4)
    spectrum = np.fft.rfft(rng.standard_normal(drawn))
    frequencies = np.fft.rfftfreq(drawn, 1 / SAMPLING_RATE)
    spectrum[(frequencies < low_hz) | (frequencies > high_hz)] = 0
    noise = np.fft.irfft(spectrum, drawn)[:samples]
    return noise / root_mean_square(noise)


def trapezoid(samples: int, attack_seconds: float, release_seconds: float) -> np.ndarray:
    """An envelope that rises linearly to 1, stays there, and falls linearly to 0 at its end."""
    time = np.arange(samples) / SAMPLING_RATE
    length = samples / SAMPLING_RATE
    return np.minimum(1.0, np.minimum(time / attack_seconds, (length - time) / release_seconds))


def decay(samples: int, attack_seconds: float, time_constant_seconds: float) -> np.ndarray:
    """An envelope that rises linearly to 1 and then falls exponentially (8.7 dB each time constant)."""
    time = np.arange(samples) / SAMPLING_RATE
    return np.minimum(1.0, time / attack_seconds) * np.exp(
        -np.maximum(0.0, time - attack_seconds) / time_constant_seconds
    )


def plucked_string(rng: np.random.Generator, delay: int, loss: float, samples: int) -> np.ndarray:
    """The Karplus-Strong string: a burst of noise that runs round an averaging delay line.

    Its fundamental is `SAMPLING_RATE / (delay + 0.5)` Hz; `loss` is the share of amplitude kept each round.
    """
    burst = rng.uniform(-1, 1, delay + 1)
    string = np.empty((samples // delay + 2) * delay + 1)
    string[: delay + 1] = burst - burst.mean()  # a constant offset would never die away
    for begin in range(delay + 1, len(string) - delay + 1, delay):
        # Every sample of this round depends on the round before only, so a round is one array operation.
        before = string[begin - delay - 1 : begin]
        string[begin : begin + delay] = loss * 0.5 * (before[1:] + before[:-1])
    return string[:samples]


def place(clip: np.ndarray, sound: np.ndarray, start_seconds: float) -> None:
    """Add a sound to a clip in place, from a moment on; what runs over the clip's end is cut off."""
    begin = sample_count(start_seconds)
    end = min(len(clip), begin + len(sound))
    clip[begin:end] += sound[: end - begin]


def root_mean_square(signal: np.ndarray) -> float:
    """The root of the mean of the squares."""
    return float(np.sqrt(np.mean(np.square(signal))))


def mix(tonal: np.ndarray, noise: np.ndarray, noise_share: float) -> np.ndarray:
    """Add noise to a tonal sound so that `noise_share` of the energy of both is the noise's."""
    tonal_energy, noise_energy = float(np.sum(np.square(tonal))), float(np.sum(np.square(noise)))
    return tonal + noise * np.sqrt(tonal_energy / noise_energy * noise_share / (1 - noise_share))
