"""What a sound file's container promises, byte by byte: libsndfile shortens cut files without a word."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

Stream = io.BufferedReader | io.BytesIO


class Memory(io.BytesIO):
    """A file in memory that stays where it is when a damaged container sends it before its beginning.

    libsndfile seeks through a callback, and what that raises is lost to the caller and printed by the interpreter;
    a position that did not change tells libsndfile that the seek failed.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """The position after the seek."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


class Truncated(ValueError):
    """A file that ends before its container says it does."""


def check_container(stream: Stream, size: int) -> int | None:
    """Raise Truncated if a wav, aiff or ogg file holds less than it promises.

    Returns the position of a wav's samples where their size was never filled in (written to a pipe), else None.
    """
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b"OggS":
        end = _end_of_pages(stream, size)
        if end != size and end is not None:
            raise Truncated(f"its last page ends at byte {end}, the file at {size}")
        return None
    order = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">", b"FORM": ">"}.get(head[:4])
    if order is None or head[8:12] not in (b"WAVE", b"AIFF", b"AIFC"):
        return None
    wide = None
    for identifier, position, length in _chunks(stream, size, 12, order):
        if identifier == b"ds64":
            wide = int.from_bytes(stream.read(16)[8:], "little")
        if identifier in (b"data", b"SSND"):
            promised = wide if wide and length == 0xFFFFFFFF else length
            there = size - position
            if _never_filled_in(stream, size, position, promised, order):
                return position
            if promised > there:
                raise Truncated(f"its header promises {promised} bytes of samples, {there} are there")
            break
    return None


def with_contents(content: bytes) -> bytes | None:
    """An mp3 that counts its frames nowhere, with a first frame put before it that does; None for any other file.

    libsndfile takes the length of such a file from its first frame's bit rate and drops what lies beyond: half of a
    file of variable rate. The count put in is far too high, so that all frames are read.
    """
    tag = 10 + sum((byte & 127) << 7 * i for i, byte in enumerate(content[9:5:-1])) if content[:3] == b"ID3" else 0
    frame = re.compile(rb"\xff[\xe2-\xff]..", re.DOTALL).search(content, tag)
    if frame is None or re.search(rb"Xing|Info|VBRI", content[frame.start() : frame.start() + 200]):
        return None
    _, second, third, fourth = frame.group()
    halvings = {3: 0, 2: 1, 0: 2}.get(second >> 3 & 3, 0)  # of the rate: MPEG 1, 2, 2.5
    rate = (44100, 48000, 32000, 32000)[third >> 2 & 3] >> halvings
    first = bytearray((72 * 80000 if halvings else 144 * 128000) // rate)
    first[:4] = 0xFF, second | 1, 0x90 | third & 0x0C, fourth
    side = (9 if halvings else 17) if fourth >> 6 == 3 else (17 if halvings else 32)
    first[4 + side : 16 + side] = b"Xing" + struct.pack(">II", 1, 2**20)
    return content[: frame.start()] + first + content[frame.start() :]


def _chunks(stream: Stream, size: int, position: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(identifier, position of the content, its length) of each chunk of a RIFF or IFF file."""
    while position + 8 <= size:
        stream.seek(position)
        identifier, length = struct.unpack(f"{order}4sI", stream.read(8))
        position += 8
        yield identifier, position, length
        position += length + length % 2


def _never_filled_in(stream: Stream, size: int, position: int, length: int, order: str) -> bool:
    """Whether a chunk's length is what programs write that do not know it yet: 0, or about 2³¹ or 2³²."""
    if length:
        return length > size - position and (length >= 0xFFFFF000 or 0x7FFFF000 <= length <= 0x80001000)
    following = _chunks(stream, size, position, order)  # of a really empty one: proper chunks up to the end
    return any(not re.fullmatch(rb"[ -~]{4}", identifier) or length > size for identifier, _, length in following)


def with_open_end(stream: Stream, position: int) -> io.BytesIO:
    """The file in memory, the length of its samples written as `up to the end`."""
    content = bytearray(stream.read())
    content[position - 4 : position] = content[4:8] = b"\xff" * 4
    return Memory(content)


def _end_of_pages(stream: Stream, size: int) -> int | None:
    """Where an ogg's last page should end; None where something else follows a whole page."""
    position = 0
    while position < size:
        stream.seek(position)
        header = stream.read(27)
        if not b"OggS".startswith(header[:4]):
            return None
        if len(header) < 27:
            return position + 27
        table = stream.read(header[26])
        position += 27 + header[26] + sum(table)
        if len(table) < header[26]:
            return position
    return position
