"""Small deterministic sounds for tests."""

from __future__ import annotations

import io

import numpy as np
import soundfile

RATE = 16_000


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """White noise at 16 kHz."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def click(seconds: float, at: float, rate: int = RATE) -> np.ndarray:
    """Faint noise with one loud click of 2 ms at a known time."""
    wave = (0.001 * np.random.default_rng(0).standard_normal(round(seconds * rate))).astype(np.float32)
    start = round(at * rate)
    wave[start : start + rate // 500] = 0.9
    return wave


def ragged(count: int = 9) -> list[dict[str, object]]:
    """Clips of several lengths with labels and captions; some lengths come twice."""
    lengths = [0.5, 1.1, 0.5, 1.9, 0.05, 1.1, 0.8, 0.3, 1.9, 1.5, 0.5, 0.7]
    return [
        {
            "audio": noise(lengths[index % len(lengths)], seed=index),
            "sampling_rate": RATE,
            "label": f"label {index % 3}",
            "caption": f"Noise number {index}.",
        }
        for index in range(count)
    ]


def wav_bytes(wave: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()
