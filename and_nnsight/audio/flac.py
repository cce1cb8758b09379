"""A waveform as a FLAC file and back, so nearly lossless that a model cannot tell.

16 bits a sample where the samples lie on that grid, else 24 (at most 2⁻²³ of full scale away). Samples beyond full
scale are kept at a power of two below their size, which is said in the file's comment and undone when it is read. The
format's own hash of the samples (STREAMINFO's MD5) is held against what is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import math

import numpy as np
import soundfile
from jaxtyping import Float32

from .errors import AudioError

MOST_BYTES_A_SAMPLE = 3
_MD5 = slice(26, 42)  # of the file: behind "fLaC", the block's header and 18 bytes of STREAMINFO
_GAIN = "and_nnsight gain"
_FULL_SCALE_16, _FULL_SCALE_24 = 2**15, 2**23


def encode_flac(samples: Float32[np.ndarray, " time"], rate: int) -> bytes:
    """Mono samples at `rate` samples a second as a FLAC file. Raises AudioError where FLAC has no such rate."""
    gain = _gain(samples)
    values, subtype = _quantised(samples * np.float32(gain))
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", rate, 1, subtype, format="FLAC") as file:
            file.comment = json.dumps({_GAIN: gain})
            file.write(values)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"cannot be kept as FLAC at {rate} Hz: {error}") from error
    return buffer.getvalue()


def flac_of(samples: Float32[np.ndarray, " time"], rate: int) -> bytes:
    """For listening: 16 bits a sample, which is heard as well and takes a third of the room of 24.

    Softer where it goes beyond full scale. Raises AudioError where FLAC has no such rate.
    """
    softer = samples / np.float32(max(1.0, float(np.abs(samples).max(initial=0.0))))
    coarse = np.rint(softer * (_FULL_SCALE_16 - 1)) / np.float32(_FULL_SCALE_16)
    return encode_flac(coarse.astype(np.float32), rate)


def decode_flac(content: bytes, name: str | None = None) -> tuple[Float32[np.ndarray, " time"], int]:
    """Samples and rate of what `encode_flac` gave. Raises AudioError if it is damaged."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            bits = 16 if file.subtype == "PCM_16" else 24
            gain = float(json.loads(file.comment)[_GAIN])
            values, rate = np.asarray(file.read(dtype="int32"), np.int32), int(file.samplerate)
    except (soundfile.LibsndfileError, ValueError, KeyError, TypeError) as error:
        raise AudioError(f"is no whole FLAC file ({error})", name) from error
    if not 0 < gain <= 1 or math.frexp(gain)[0] != 0.5:
        raise AudioError(f"is no whole FLAC file (its gain is {gain:g})", name)
    if hashlib.md5(_packed(values, bits), usedforsecurity=False).digest() != content[_MD5]:
        raise AudioError("its samples do not have their checksum", name)
    samples = (values >> (32 - bits)).astype(np.float32) * np.float32(1 / (gain * 2 ** (bits - 1)))
    return samples, rate


def _gain(samples: Float32[np.ndarray, " time"]) -> float:
    """The power of two, at most 1, by which samples come to lie within full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    return 1.0 if peak <= 1 else 2.0 ** -math.ceil(math.log2(peak))


def _quantised(samples: Float32[np.ndarray, " time"]) -> tuple[np.ndarray, str]:
    coarse = np.rint(samples * _FULL_SCALE_16)
    if (coarse == samples * _FULL_SCALE_16).all() and coarse.max(initial=0) < _FULL_SCALE_16:
        return coarse.astype(np.int16), "PCM_16"
    fine = np.rint(samples.astype(np.float64) * _FULL_SCALE_24).clip(-_FULL_SCALE_24, _FULL_SCALE_24 - 1)
    return fine.astype(np.int32) << 8, "PCM_24"


def _packed(values: np.ndarray, bits: int) -> bytes:
    """The samples, which stand in the upper bits, as the format hashes them: little-endian, in so many bits."""
    return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, 4 - bits // 8 :].tobytes()
