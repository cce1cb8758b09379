"""FLAC: how long its header says it is, and which frame it ends with."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import AudioError, Truncated
from ..limits import Limit, checked_rate
from .chunks import SEVERAL
from .reading import Contents, Encoded, Part

_TAIL = 2**16  # bytes at the end in which the last frame is looked for, at least
_MOST_TAIL = 2**20
_MOST_BLOCKS = 1_000
_BEGINNING = b"fLaC", b"\0\0\x22"  # of a file, and of the size of its block STREAMINFO
_BLOCK = 2**20
_MOST_LOOK = 2**27  # bytes in which the beginning of another file is looked for
_SIZES = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}
_DEPTHS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}


class _StreamInfo(NamedTuple):
    """The block STREAMINFO: samples and bytes of its largest frame, and what all share."""

    size: int
    largest: int
    rate: int
    channels: int
    depth: int
    frames: int


def flac_contents(encoded: Encoded, start: int, limit: Limit) -> Contents:
    """A FLAC file. Raises AudioError where its last frame is not the one that its header promises."""
    info, first = _header(encoded, start)
    checked_rate(info.rate)
    end = _end(encoded, first, info)
    if end != info.frames:
        _check_end(encoded, first, info.frames, end)
    frames = info.frames or end
    used = None if frames is None else limit.used_frames(frames, info.rate)
    if used is not None and used == end == info.frames:  # all of it is heard: another file of its length may follow
        _refuse_several(encoded, first)
    return Contents((Part(((start, encoded.size),), used),), frames)


def _check_end(encoded: Encoded, first: int, promise: int, end: int | None) -> None:
    """Raise AudioError for a last frame that is not the one that the header promises."""
    _refuse_several(encoded, first)
    if not promise or end is None:
        return
    if end < promise:
        raise Truncated(f"its header promises {promise} samples, its last frame ends with sample {end}")
    raise AudioError(f"is damaged: its header says {promise} samples, its last frame ends with sample {end}")


def _header(encoded: Encoded, start: int) -> tuple[_StreamInfo, int]:
    """STREAMINFO, and where the frames begin."""
    position, block = start + 4, b""
    for _ in range(_MOST_BLOCKS):
        head = encoded.at(position, 4)
        if len(head) < 4:
            raise Truncated("its header is cut")
        length = int.from_bytes(head[1:], "big")
        if head[0] & 127 == 0:
            block = encoded.at(position + 4, 34)
        position += 4 + length
        if head[0] & 128:
            break
    if len(block) < 34:
        raise AudioError("is damaged: its header does not say what it holds")
    fields = int.from_bytes(block[10:18], "big")
    return _StreamInfo(
        size=int.from_bytes(block[2:4], "big"),
        largest=int.from_bytes(block[7:10], "big"),
        rate=fields >> 44,
        channels=(fields >> 41 & 7) + 1,
        depth=(fields >> 36 & 31) + 1,
        frames=fields & (2**36 - 1),
    ), position


def _refuse_several(encoded: Encoded, first: int) -> None:
    """Raise AudioError where another file begins within this one: the first alone would be heard."""
    for begin in range(first, min(encoded.size, first + _MOST_LOOK), _BLOCK):
        if _has_beginning(encoded.at(begin, _BLOCK + 8)):
            raise AudioError(SEVERAL)


def _has_beginning(content: bytes) -> bool:
    """Whether a file of FLAC begins in the content."""
    mark, size = _BEGINNING
    at = content.find(mark)
    while at >= 0:
        if content[at + 4 : at + 5] in (b"\0", b"\x80") and content[at + 5 : at + 8] == size:
            return True
        at = content.find(mark, at + 1)
    return False


def _end(encoded: Encoded, first: int, info: _StreamInfo) -> int | None:
    """The number of samples up to the end of the last frame whose header is found; None if none is."""
    length = min(_MOST_TAIL, max(_TAIL, 2 * info.largest))
    begin = max(first, encoded.size - length)
    tail = encoded.at(begin, length)
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        end = _frame_end(tail[position : position + 16], info)
        if end is not None:
            return end
    return None


def _frame_end(head: bytes, info: _StreamInfo) -> int | None:
    """The sample at which a frame ends that begins with these bytes; None if they are no frame's header."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, rate_code, channel_code, depth_code = head[2] >> 4, head[2] & 15, head[3] >> 4, head[3] >> 1 & 7
    if not size_code or rate_code == 15 or channel_code > 10 or depth_code == 3:
        return None
    channels = channel_code + 1 if channel_code < 8 else 2
    if _DEPTHS.get(depth_code, info.depth) != info.depth or channels != info.channels:
        return None
    return _coded_end(head, size_code, rate_code, info.size)


def _coded_end(head: bytes, size_code: int, rate_code: int, block_size: int) -> int | None:
    """The sample at which the frame ends, by its number and size; None if there is no number, or the checksum fails."""
    number, position = _coded_number(head)
    if not position:
        return None
    more = {6: 1, 7: 2}.get(size_code, 0)
    size = _SIZES.get(size_code) or int.from_bytes(head[position : position + more], "big") + 1
    position += more + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if position >= len(head) or _crc8(head[:position]) != head[position]:
        return None
    return (number if head[1] & 1 else number * block_size) + size


def _coded_number(head: bytes) -> tuple[int, int]:
    """The number of a frame or sample, coded as UTF-8 codes characters, and where it ends; (0, 0) if it is none."""
    byte = head[4]
    if byte < 0x80:
        return byte, 5
    more = next((count for count in range(1, 7) if byte >> (6 - count) == (1 << (count + 2)) - 2), 0)
    following = head[5 : 5 + more]
    if not more or len(following) < more or any(part >> 6 != 2 for part in following):
        return 0, 0
    number = byte & ((1 << (6 - more)) - 1)
    for part in following:
        number = number << 6 | part & 63
    return number, 5 + more


def _crc8(content: bytes) -> int:
    remainder = 0
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder << 1 ^ 0x107) if remainder & 128 else remainder << 1
    return remainder
