"""AIFF and AIFC: big-endian chunks, with the number of frames in two places."""

from __future__ import annotations

import struct

from ..errors import AudioError, Truncated
from ..limits import Limit, checked_channels, checked_rate
from .chunks import chunks, samples_length
from .reading import Contents, Encoded, Part

_PLAIN = {b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"42ni", b"23ni"}
_SIZES = {b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8, b"ulaw": 1, b"ULAW": 1, b"alaw": 1, b"ALAW": 1}
_LARGEST = 0x7FFF0000


def aiff_contents(encoded: Encoded, start: int, limit: Limit) -> Contents:
    """An AIFF or AIFC file. Raises AudioError where its samples are not what its header says."""
    kind = encoded.at(start + 8, 4)
    if kind not in (b"AIFF", b"AIFC"):
        raise AudioError("is not audio that can be read: an IFF file, but no AIFF")
    common, following = b"", chunks(encoded, start + 12, ">")
    for chunk in following:
        if chunk.identifier == b"COMM":
            common = encoded.at(chunk.position, min(chunk.length, 2**12))
        elif chunk.identifier == b"SSND":
            length = samples_length(encoded, chunk.position, chunk.length, following)
            offset, _ = struct.unpack(">II", encoded.at(chunk.position, 8).ljust(8, b"\0"))
            first = chunk.position + 8 + offset
            return _of_samples(kind, common, first, max(0, length - 8 - offset), limit)
    if len(common) >= 6 and common[2:6] == bytes(4):  # a file without samples may have no chunk of them
        return Contents((), 0)
    raise AudioError("is damaged or truncated: its header has no chunk of samples")


def _of_samples(kind: bytes, common: bytes, first: int, length: int, limit: Limit) -> Contents:
    if len(common) < 18:
        raise AudioError("is damaged: no format stands before its samples")
    channels, promised, bits = struct.unpack(">HIH", common[:8])
    checked_channels(channels)
    rate = checked_rate(_extended(common[8:18]))
    compression = common[18:22] if kind == b"AIFC" else b"NONE"
    each = _SIZES.get(compression, -(-bits // 8) if compression in _PLAIN else 0)
    if not each:  # compressed: only libsndfile knows how many frames it is
        length = min(length, _LARGEST)
        return Contents((Part((_header(kind, common, length), (first, first + length))),))
    frames = length // (channels * each)
    if promised > frames:
        raise Truncated(f"its header promises {promised} samples, {frames} are there")
    if 0 < promised < frames:
        raise AudioError(f"is damaged: its header says {promised} samples, its chunk of samples holds {frames}")
    used = limit.used_frames(frames, rate)
    length = used * channels * each
    common = common[:2] + struct.pack(">I", used) + common[6:]
    return Contents((Part((_header(kind, common, length), (first, first + length)), used),), frames)


def _extended(number: bytes) -> float:
    """A number of 80 bits: a rate."""
    sign_and_exponent, fraction = struct.unpack(">HQ", number)
    if sign_and_exponent & 0x8000 or not 0x3FFF - 16 < sign_and_exponent < 0x3FFF + 64:
        return 0.0
    return fraction * 2.0 ** (sign_and_exponent - 0x3FFF - 63)


def _header(kind: bytes, common: bytes, length: int) -> bytes:
    version = b"FVER" + struct.pack(">II", 4, 0xA2805140) if kind == b"AIFC" else b""
    body = kind + version + b"COMM" + struct.pack(">I", len(common)) + common + b"\0" * (len(common) % 2)
    body += b"SSND" + struct.pack(">III", length + 8, 0, 0)
    return b"FORM" + struct.pack(">I", len(body) + length) + body
