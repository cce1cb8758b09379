"""Files of every container that `decode` reads, and ways in which they get damaged."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import cache

import numpy as np
import soundfile

from tests.audio.containers.structural_damage import STRUCTURAL, Damage
from tests.damaged import encode, sound

RATE = 16000
SAMPLES = sound(1.0, RATE)
KINDS: dict[str, tuple[str, str | None]] = {
    "wav": ("WAV", "PCM_16"),
    "wav of bytes": ("WAV", "PCM_U8"),
    "wav of floats": ("WAV", "FLOAT"),
    "wav of mu-law": ("WAV", "ULAW"),
    "wav of adpcm": ("WAV", "MS_ADPCM"),
    "wav of ima": ("WAV", "IMA_ADPCM"),
    "extensible wav": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "aifc": ("AIFF", "FLOAT"),
    "au": ("AU", "PCM_16"),
    "nist": ("NIST", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "alac": ("CAF", "ALAC_16"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", None),
}


@cache
def whole(kind: str, seconds: float = 1.0, rate: int = RATE, channels: int = 1, seed: int = 0) -> bytes:
    """The bytes of a healthy file."""
    if kind == "rifx":
        buffer = io.BytesIO()
        samples = sound(seconds, rate, channels, seed=seed)
        soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16", endian="BIG")
        return buffer.getvalue()
    container, subtype = KINDS[kind]
    return encode(sound(seconds, rate, channels, seed=seed), rate, container, subtype)


def id3(length: int) -> bytes:
    """An ID3v2 tag of so many bytes, without what stands before them."""
    return (
        b"ID3\x03\0\0"
        + bytes([length >> 21 & 127, length >> 14 & 127, length >> 7 & 127, length & 127])
        + bytes(length)
    )


def ape(length: int = 8) -> bytes:
    """An APEv2 tag of one item, with its header."""
    item = struct.pack("<II", length, 0) + b"Title\0" + b"x" * length
    fields = struct.pack("<III", 2000, len(item) + 32, 1)
    return (
        b"APETAGEX"
        + fields
        + struct.pack("<I8x", 0xA0000000)
        + item
        + b"APETAGEX"
        + fields
        + struct.pack("<I8x", 2**31)
    )


ID3V1 = b"TAG" + b"A title".ljust(125, b"\0")


def _flip(file: bytearray, random: np.random.Generator) -> bytearray:
    for _ in range(int(random.integers(1, 9))):
        file[int(random.integers(len(file)))] = int(random.integers(256))
    return file


def _flip_head(file: bytearray, random: np.random.Generator) -> bytearray:
    for _ in range(int(random.integers(1, 5))):
        values = (0, 1, 127, 128, 255, int(random.integers(256)))
        file[int(random.integers(min(len(file), 100)))] = values[int(random.integers(len(values)))]
    return file


def _overwrite_word(file: bytearray, random: np.random.Generator) -> bytearray:
    place = int(random.integers(min(len(file) - 8, 120)))
    words = (0, 1, 2, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 8, int(random.integers(2**32)))
    order = "<" if random.random() < 0.5 else ">"
    file[place : place + 4] = struct.pack(f"{order}I", int(words[random.integers(len(words))]))
    return file


def _overwrite_wide(file: bytearray, random: np.random.Generator) -> bytearray:
    place = int(random.integers(min(len(file) - 8, 120)))
    values = (-1, 0, 1, 2**62, -(2**62), 2**40)
    file[place : place + 8] = struct.pack("<q", values[int(random.integers(len(values)))])
    return file


def _cut(file: bytearray, random: np.random.Generator) -> bytearray:
    return file[: int(random.integers(len(file)))]


def _pad(file: bytearray, random: np.random.Generator) -> bytearray:
    return file + bytes(int(random.integers(2**20)))


def _junk(file: bytearray, random: np.random.Generator) -> bytearray:
    return file + random.bytes(int(random.integers(1, 4000)))


def _insert(file: bytearray, random: np.random.Generator) -> bytearray:
    place = int(random.integers(len(file)))
    return file[:place] + random.bytes(int(random.integers(1, 200))) + file[place:]


def _remove(file: bytearray, random: np.random.Generator) -> bytearray:
    place = int(random.integers(len(file)))
    return file[:place] + file[place + int(random.integers(1, 2000)) :]


def _repeat(file: bytearray, random: np.random.Generator) -> bytearray:
    return file * int(random.integers(2, 4))


def _zero(file: bytearray, random: np.random.Generator) -> bytearray:
    place = int(random.integers(len(file)))
    length = min(len(file) - place, int(random.integers(1, 4096)))
    file[place : place + length] = bytes(length)
    return file


def _tag(file: bytearray, random: np.random.Generator) -> bytearray:
    return bytearray(id3(int(random.integers(1, 2**18)))) + file


DAMAGES: tuple[Damage, ...] = (
    _flip, _flip_head, _flip_head, _overwrite_word, _overwrite_word, _overwrite_wide, _cut, _pad, _junk, _insert,
    _remove, _repeat, _zero, _tag, *STRUCTURAL,
)  # fmt: skip


def damaged(random: np.random.Generator, damages: Sequence[Damage] = DAMAGES) -> tuple[str, bytes]:
    """A freshly damaged file, and what it was and was done to it."""
    kind = str(random.choice([*KINDS, "rifx"]))
    length = float(random.choice([0.05, 0.3, 1.0, 3.0]))
    file = bytearray(whole(kind, length, int(random.choice([8000, 16000, 48000])), int(random.choice([1, 2]))))
    done = []
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        damage = damages[int(random.integers(len(damages)))]
        file = bytearray(damage(file, random))
        done.append(damage.__name__.strip("_"))
        if len(file) < 16:
            break
    return f"{kind}, {length} s: {', '.join(done)}", bytes(file)
