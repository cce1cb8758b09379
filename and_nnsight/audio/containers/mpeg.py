"""MP3 and its elder relatives: frames, counted one by one, since what a file says of their number is often wrong."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import AudioError, Truncated
from ..limits import Limit, checked_rate
from .reading import Contents, Encoded, Part
from .tags import MOST_TAGS, only_tags, tag_length

_LOOK = 2**16  # bytes in which the first frame is looked for
_MOST_PADDING = 2**16  # of zeros behind the last frame
_MOST_TRIES = 100  # at what may be the only frame of a file
_BLOCK = 2**18
_MOST_FRAMES = 2**16  # that are counted: more than is ever heard
_RATES = (44100, 48000, 32000)
_KILOBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KILOBITS[2, 3] = _KILOBITS[2, 2]
_DELAY = 529  # samples that libsndfile's decoder leaves out where nothing says how many the encoder has added
_ENDS = 2 * 1152 + 1105  # samples that an encoder adds at the ends, and a decoder may take away
_MOST_DELAY, _MOST_PADDED = 2 * 1152, 1152  # samples that encoders add before, and behind beside those of a frame
_A_BLOCK = 512  # bytes of zeros before the first frame that are no padding of a tag


class _Head(NamedTuple):
    """The header of a frame: bytes to the next one, samples in it, their rate, whether there is one channel."""

    length: int
    samples: int
    rate: int
    mono: bool
    kind: int  # version and layer


class _Frames(NamedTuple):
    """Frames that follow each other: how many, where they lie between tags, and whether there may be more."""

    number: int
    stretches: tuple[tuple[int, int], ...]
    more: bool

    @property
    def bytes(self) -> int:
        return sum(end - begin for begin, end in self.stretches)


def mpeg_contents(encoded: Encoded, start: int, limit: Limit) -> Contents | None:
    """A file of MPEG audio; None if it is none. Raises AudioError where frames are cut, damaged or of several kinds."""
    opening = _first(encoded, start)
    if opening is None:
        return None
    first, head = opening
    checked_rate(head.rate)
    promise = _promise(encoded.at(first, 200), head)
    if promise is None:
        _refuse_zeros(encoded.at(start, first - start))
    sound = first if promise is None else first + head.length
    frames = _walk(encoded, sound, head, _MOST_FRAMES)
    total = _total(encoded, frames, promise, sound) * head.samples
    limit.used_frames(total, head.rate)
    if promise is None:
        tag = _counting_frame(encoded.at(first, 4), 2**20)
        counted = max(0, frames.number * head.samples - _DELAY)
        part = Part((bytes(tag), *frames.stretches), counted, _ENDS, speaks=True)
        return Contents((part,), counted if not frames.more else total)
    if not frames.more and promise.frames > frames.number:
        raise Truncated(f"its header promises {promise.frames} frames, {frames.number} are there")
    tag = bytearray(encoded.at(first, head.length))
    _check_ends(tag, promise.place, head.samples)
    _correct(tag, promise.place, None if frames.more else frames.number, head.length + frames.bytes)
    return Contents((Part((bytes(tag), *frames.stretches), None, _ENDS, speaks=True),))


def _refuse_zeros(before: bytes) -> None:
    """Raise AudioError for a block of zeros, and nothing else, where a file's first frames should be."""
    if len(before) >= _A_BLOCK and not before.strip(b"\0"):
        raise AudioError(f"is damaged: it begins with {len(before)} bytes of zeros in the place of frames")


def _check_ends(tag: bytearray, place: int, samples: int) -> None:
    """Raise AudioError where a first frame says that more at the ends is padding than any encoder adds."""
    if tag[place - 8 : place - 4] not in (b"Xing", b"Info"):
        return
    flags = tag[place - 1]
    encoder = place + 4 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    lengths = tag[encoder + 21 : encoder + 24]
    if len(lengths) < 3 or not tag[encoder]:
        return
    delay, padding = lengths[0] << 4 | lengths[1] >> 4, (lengths[1] & 15) << 8 | lengths[2]
    if delay > _MOST_DELAY or padding > samples + _MOST_PADDED:
        raise AudioError(f"is damaged: its header says that {delay} and {padding} samples at its ends are none of it")


def _correct(tag: bytearray, place: int, frames: int | None, size: int) -> None:
    """Write into a first frame how many frames there are, and bytes: libsndfile reads no more, and warns aloud."""
    if frames is not None:
        tag[place : place + 4] = struct.pack(">I", frames)
    if tag[place - 8 : place - 4] in (b"Xing", b"Info") and tag[place - 1] & 2:
        tag[place + 4 : place + 8] = struct.pack(">I", size)
    elif tag[36:40] == b"VBRI":
        tag[46:50] = struct.pack(">I", size)


def _first(encoded: Encoded, start: int) -> tuple[int, _Head] | None:
    """The first frame that another of its kind follows, or the end of the file."""
    content = encoded.at(start, _LOOK)
    position, tries = -1, 0
    while (position := content.find(b"\xff", position + 1)) >= 0:
        head = _read(content[position : position + 4])
        if head is None:
            continue
        following = start + position + head.length
        then = _read(encoded.at(following, 4))
        if then is not None and _alike(head, then):
            return start + position, head
        tries += 1
        if following > encoded.size:
            if position == 0:  # a frame that is cut short; elsewhere such are two bytes of something else
                return start, head
        elif tries < _MOST_TRIES and only_tags(encoded, following):
            return start + position, head
    return None


def _read(content: bytes) -> _Head | None:
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE0 != 0xE0:
        return None
    version, layer = {3: 1, 2: 2, 0: 3}.get(content[1] >> 3 & 3), 4 - (content[1] >> 1 & 3)
    bits, rate = content[2] >> 4, content[2] >> 2 & 3
    if version is None or layer == 4 or not 0 < bits < 15 or rate == 3:
        return None
    hertz = _RATES[rate] >> (version - 1)
    bit_rate = 1000 * _KILOBITS[min(version, 2), layer][bits - 1]
    length, samples = _frame_size(version, layer, hertz, bit_rate, content[2] >> 1 & 1)
    return _Head(length, samples, hertz, content[3] >> 6 == 3, content[1] & 0x1E)


def _frame_size(version: int, layer: int, hertz: int, bit_rate: int, padding: int) -> tuple[int, int]:
    """Bytes and samples of a frame."""
    if layer == 1:
        return (12 * bit_rate // hertz + padding) * 4, 384
    samples = 576 if layer == 3 and version > 1 else 1152
    return samples // 8 * bit_rate // hertz + padding, samples


def _side_information(head: _Head) -> int:
    """Bytes between the header of a frame of layer 3 and its sound."""
    low = head.samples == 576
    if head.mono:
        return 9 if low else 17
    return 17 if low else 32


def _alike(one: _Head, other: _Head) -> bool:
    return (one.rate, one.kind, one.mono) == (other.rate, other.kind, other.mono)


class _Promise(NamedTuple):
    """Where in the first frame the number of frames stands, and that number."""

    place: int
    frames: int


def _promise(content: bytes, head: _Head) -> _Promise | None:
    """What the first frame says of the number of frames; None if it tells none."""
    side = _side_information(head)
    if content[4 + side : 8 + side] in (b"Xing", b"Info") and content[11 + side : 12 + side] and content[11 + side] & 1:
        return _Promise(12 + side, int.from_bytes(content[12 + side : 16 + side], "big"))
    if content[36:40] == b"VBRI":
        return _Promise(36 + 14, int.from_bytes(content[50:54], "big"))
    return None


def _walk(encoded: Encoded, position: int, kind: _Head, most: int) -> _Frames:
    """The frames from a position on, at most so many. Raises AudioError where they are cut or damaged."""
    count, begin, block = 0, position, b""
    stretches, since = [], position
    while count < most:
        if position + 4 > begin + len(block):
            begin, block = position, encoded.at(position, _BLOCK)
        head = _read(block[position - begin : position - begin + 4])
        if head is None:
            if position >= encoded.size or only_tags(encoded, position, _MOST_PADDING):
                return _Frames(count, (*stretches, (since, position)), more=False)
            if len(stretches) == MOST_TAGS or not tag_length(encoded, position):
                raise AudioError(f"is damaged or truncated: what follows byte {position} is no frame of it")
            stretches.append((since, position))
            since = position = position + tag_length(encoded, position)
            continue
        if not _alike(head, kind):
            raise AudioError(f"is damaged: from byte {position} on, its frames are of another rate, layer or channels")
        if position + head.length > encoded.size:
            raise Truncated(f"its last frame ends at byte {position + head.length}, the file at {encoded.size}")
        position += head.length
        count += 1
    return _Frames(count, (*stretches, (since, position)), more=position < encoded.size)


def _total(encoded: Encoded, frames: _Frames, promise: _Promise | None, start: int) -> int:
    """How many frames there are: counted, else as the header says, else as many as the size lets one expect."""
    if not frames.more:
        return frames.number
    expected = frames.number * (encoded.size - start) // max(1, frames.stretches[-1][1] - start)
    return max(frames.number, expected if promise is None or promise.frames < frames.number else promise.frames)


def _counting_frame(head: bytes, count: int) -> bytearray:
    """A first frame that says how many follow: without, libsndfile takes that from the first frame's bit rate.

    The count is far too high, so that all frames are read.
    """
    _, second, third, fourth = head
    own = bytes([0xFF, second | 1, 0x90 | third & 0x0C, fourth])
    header = _read(own)
    if header is None or second >> 1 & 3 != 1:
        return bytearray()
    frame = bytearray(header.length)
    frame[:4] = own
    side = _side_information(header)
    frame[4 + side : 16 + side] = b"Xing" + struct.pack(">II", 1, count)
    return frame
