"""WAV and its large relatives: RIFF, RIFX, RF64, BW64 and Wave64. Their samples are read behind a header of our own."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import AudioError
from ..limits import Limit, checked_channels, checked_rate
from .chunks import MOST_CHUNKS, Chunk, chunks, samples_length
from .reading import Contents, Encoded, Part

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_LARGEST = 0xFFFF0000  # bytes of samples behind one 32-bit header
_W64 = bytes.fromhex("2ecf11a5d628db04c10000")  # of its GUIDs, from the sixth byte on


def is_wave64(head: bytes) -> bool:
    """Whether a file begins as a Wave64 does."""
    return head[:4] == b"riff" and head[4:5] == b"\x2e" and head[6:8] == b"\xcf\x11"


def wave_contents(encoded: Encoded, start: int, limit: Limit) -> Contents:
    """A RIFF, RIFX, RF64 or BW64 file. Raises AudioError where its samples are not what its header says."""
    order = ">" if encoded.at(start, 4) == b"RIFX" else "<"
    if encoded.at(start + 8, 4) != b"WAVE":
        raise AudioError("is not audio that can be read: a RIFF file, but no WAVE")
    return _contents(encoded, chunks(encoded, start + 12, order), order, limit)


def wave64_contents(encoded: Encoded, start: int, limit: Limit) -> Contents:
    """A Sony Wave64 file."""
    return _contents(encoded, _wave64_chunks(encoded, start + 40), "<", limit)


def _wave64_chunks(encoded: Encoded, position: int) -> Iterator[Chunk]:
    """Sizes count their own 24 bytes; chunks begin at multiples of 8."""
    for _ in range(MOST_CHUNKS):
        head = encoded.at(position, 24)
        if len(head) < 24:
            return
        size = int.from_bytes(head[16:], "little")
        yield Chunk(head[:4], position + 24, size if size >= 2**63 - 1 else max(0, size - 24))
        position += max(24, size + -size % 8)
    raise AudioError(f"is damaged: more than {MOST_CHUNKS:,} chunks")


def _contents(encoded: Encoded, following: Iterator[Chunk], order: str, limit: Limit) -> Contents:
    wide: int | None = None
    form, fact = b"", b""
    for chunk in following:
        if chunk.identifier == b"ds64":
            wide = int.from_bytes(encoded.at(chunk.position + 8, 8), "little")
        elif chunk.identifier == b"fmt ":
            form = encoded.at(chunk.position, min(chunk.length, 2**12))
        elif chunk.identifier == b"fact":
            fact = encoded.at(chunk.position, 4)
        elif chunk.identifier == b"data":
            promised: int | None = chunk.length
            if wide is not None and chunk.length == 0xFFFFFFFF:
                promised = wide or None
                following = chunks(encoded, chunk.position + wide + wide % 2, order)
            length = samples_length(encoded, chunk.position, promised, following)
            return _of_samples(form, fact, chunk.position, length, order, limit)
    raise AudioError("is damaged or truncated: its header has no chunk of samples")


def _of_samples(form: bytes, fact: bytes, position: int, length: int, order: str, limit: Limit) -> Contents:
    if len(form) < 16:
        raise AudioError("is damaged: no format stands before its samples")
    form, frame, rate = _format(form, order)
    if frame is None:  # compressed: only libsndfile knows how many frames it is
        length = min(length, _LARGEST)
        frames = _frames_by_fact(form, fact, length, order)
        pieces = (wave_header(form, fact, length, order), (position, position + length))
        return Contents((Part(pieces, frames),), frames)
    frames = length // frame
    used = limit.used_frames(frames, rate)
    length = used * frame
    pieces = (wave_header(form, b"", length, order), (position, position + length), b"\0" * (length % 2))
    return Contents((Part(pieces, used),), frames)


def _frames_by_fact(form: bytes, fact: bytes, length: int, order: str) -> int | None:
    """The frames that a chunk `fact` says compressed samples are, where that can be: the last block holds more."""
    if len(form) < 20 or len(fact) < 4:
        return None
    align, each = struct.unpack(f"{order}12xH4xH", form[:20])
    frames = struct.unpack(f"{order}I", fact)[0]
    blocks = -(-length // align) if align else 0
    return frames if (blocks - 1) * each < frames <= blocks * each else None


def _format(form: bytes, order: str) -> tuple[bytes, int | None, int]:
    """The format as libsndfile is given it, the bytes of a frame (None if it is compressed), and the rate.

    Raises AudioError where it contradicts itself.
    """
    tag, channels, rate, _, align, bits = struct.unpack(f"{order}HHIIHH", form[:16])
    checked_rate(rate)
    checked_channels(channels)
    kind = struct.unpack(f"{order}H", form[24:26])[0] if tag == _EXTENSIBLE and len(form) >= 26 else tag
    if kind not in (_PCM, _FLOAT, _ALAW, _MULAW):
        return form, None, rate
    each = 1 if kind in (_ALAW, _MULAW) else -(-bits // 8)
    if not each:
        raise AudioError("is damaged: its header says samples of 0 bits")
    if align == 0:
        align = channels * each
    elif align != channels * each:
        if kind != _PCM or (each, align) != (3, 4 * channels):  # 24 bits may lie in 4 bytes
            raise AudioError(
                f"is damaged: its header says {align} bytes a frame, and {channels} channels of {bits} bits each"
            )
        bits = 32
    frame = align
    byte_rate = rate * frame
    plain = struct.pack(f"{order}HHIIHH", kind, channels, rate, min(byte_rate, 2**32 - 1), frame, bits)
    return plain, frame, rate


def wave_header(form: bytes, fact: bytes, length: int, order: str) -> bytes:
    """What stands before so many bytes of samples in a RIFF (`<`) or RIFX (`>`) file of this format."""
    parts = [(b"fmt ", form)] + ([(b"fact", fact)] if fact else [])
    body = b"WAVE"
    for name, content in parts:
        body += name + struct.pack(f"{order}I", len(content)) + content + b"\0" * (len(content) % 2)
    body += b"data" + struct.pack(f"{order}I", length)
    return (b"RIFX" if order == ">" else b"RIFF") + struct.pack(f"{order}I", len(body) + length + length % 2) + body
