"""A folder of audio as it comes: healthy clips of many kinds among damaged ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

# name: (seconds, rate, channels, container, subtype)
HEALTHY: dict[str, tuple[float, int, int, str, str | None]] = {
    "shortest.wav": (0.05, 16000, 1, "WAV", "PCM_16"),
    "mono.wav": (1.0, 16000, 1, "WAV", "PCM_16"),
    "float.wav": (0.5, 16000, 1, "WAV", "FLOAT"),
    "deep.wav": (0.5, 44100, 1, "WAV", "PCM_24"),
    "eight-bit.wav": (0.5, 8000, 1, "WAV", "PCM_U8"),
    "stereo.wav": (1.5, 44100, 2, "WAV", "PCM_16"),
    "nested/mono.flac": (2.0, 22050, 1, "FLAC", "PCM_16"),
    "nested/stereo.flac": (0.75, 48000, 2, "FLAC", "PCM_24"),
    "nested/deeper/mono.ogg": (3.0, 16000, 1, "OGG", "VORBIS"),
    "nested/deeper/stereo.mp3": (2.5, 44100, 2, "MP3", None),
    "speech.mp3": (1.2, 16000, 1, "MP3", None),
    "longest.wav": (20.0, 8000, 1, "WAV", "PCM_16"),
}


def sound(seconds: float, rate: int, channels: int = 1, *, seed: int = 0) -> np.ndarray:
    """A tone in noise, float32 [time] or [time, channels]."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(scale=0.02, size=(len(time), channels))
    tones = 0.4 * np.sin(2 * np.pi * (300 + 100 * seed) * time[:, None] * (1 + np.arange(channels)))
    samples = (tones + noise).astype(np.float32)
    return samples[:, 0] if channels == 1 else samples


def encode(samples: np.ndarray, rate: int, container: str = "WAV", subtype: str | None = None) -> bytes:
    """The bytes of an audio file that holds `samples`."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def write_damaged_folder(root: Path) -> dict[str, str | None]:
    """Write healthy and damaged files into `root`.

    Returns, in the folder's own order, each file's posix path relative to `root` and a word of the reason for which it
    must be set aside; None where it is healthy.
    """
    files: dict[str, tuple[bytes, str | None]] = {}
    for seed, (name, (seconds, rate, channels, container, subtype)) in enumerate(HEALTHY.items()):
        files[name] = encode(sound(seconds, rate, channels, seed=seed), rate, container, subtype), None
    samples = sound(2.0, 16000)
    broken = samples.copy()
    broken[1000:1003] = np.nan
    infinite = samples.copy()
    infinite[7] = np.inf
    whole = {kind: encode(samples, 16000, kind) for kind in ("WAV", "FLAC", "OGG", "MP3")}
    files |= {
        "zero-bytes.wav": (b"", "no bytes"),
        "truncated.wav": (whole["WAV"][: len(whole["WAV"]) // 2], "truncated"),
        "nested/truncated.flac": (whole["FLAC"][: len(whole["FLAC"]) // 2], "truncated"),
        "nested/truncated.ogg": (whole["OGG"][: len(whole["OGG"]) * 2 // 3], "truncated"),
        "truncated.mp3": (whole["MP3"][: len(whole["MP3"]) // 2], "truncated"),
        "header-only.wav": (whole["WAV"][:20], "truncated"),
        "text.wav": (b"This is no sound at all, only text by another name.\n" * 40, "read"),
        "nested/page.mp3": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n", "read"),
        "nan.wav": (encode(broken, 16000, "WAV", "FLOAT"), "not finite"),
        "nested/infinite.wav": (encode(infinite, 16000, "WAV", "DOUBLE"), "not finite"),
        "no-samples.wav": (encode(samples[:0], 16000), "no samples"),
    }
    for name, (content, _) in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return {name: files[name][1] for name in sorted(files)}
