"""Ogg: pages with checksums, and chains of streams, of which libsndfile reads the first only."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ..audio_error import AudioError, Truncated
from ..audio_limits import Limit
from .reading import Contents, Encoded, Part
from .tags import only_tags

_CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_LOOK = 2**16  # bytes in which another page is looked for behind the end of one
_MOST_LINKS = 1_000
_MOST_IDLE = 10_000  # pages in a row that bring no sound
_ENOUGH = 2**28  # granules, of which there are at most six to a frame: more than is ever heard
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    position: int
    end: int
    begins: bool
    ends: bool
    granule: int
    serial: int
    number: int
    sounds: bool
    skipped: int


class _Link:
    """A stretch of pages that is an Ogg file by itself: one stream of sound, perhaps beside others."""

    def __init__(self, page: _Page) -> None:
        self.start, self.end = page.position, page.end
        self.serial: int | None = None
        self.open: set[int] = set()
        self.heads = True  # whether only first pages have come yet
        self.granules = 0
        self._skipped = 0
        self._numbers: dict[int, int] = {}

    def add(self, page: _Page) -> None:
        """Take a page in. Raises AudioError if one is missing before it."""
        if page.begins:
            self.open.add(page.serial)
            if self.serial is None and page.sounds:
                self.serial, self._skipped = page.serial, page.skipped
        else:
            self.heads = False
            if page.number != (self._numbers.get(page.serial, page.number - 1) + 1) % 2**32:
                raise AudioError(f"is damaged: pages are missing before byte {page.position}")
        self._numbers[page.serial] = page.number
        if page.ends:
            self.open.discard(page.serial)
        if page.serial == self.serial and page.granule < 2**63:
            self.granules = max(self.granules, page.granule - self._skipped)
        self.end = page.end


def ogg_contents(encoded: Encoded, start: int, _: Limit) -> Contents:
    """An Ogg file, each link of a chain a part. Raises AudioError where pages are cut, damaged or missing."""
    links: list[_Link] = []
    over, past, heard, idle = False, 0, 0, 0
    for page in _pages(encoded, start):
        if page.begins and (not links or not links[-1].heads):
            if links and links[-1].serial in links[-1].open:
                raise Truncated(f"a stream in it has no end, and another begins at byte {page.position}")
            if len(links) == _MOST_LINKS:
                raise AudioError(f"is damaged: a chain of more than {_MOST_LINKS:,} streams")
            links.append(_Link(page))
            past = heard
        if not links:
            raise AudioError("is damaged or truncated: it begins in the middle of a stream")
        links[-1].add(page)
        before, heard = heard, past + links[-1].granules
        idle = 0 if heard > before else idle + 1
        if idle > _MOST_IDLE:
            raise AudioError(f"is damaged: {_MOST_IDLE:,} pages without sound before byte {page.end}")
        if heard > _ENOUGH:
            over = True
            break
    else:
        if links and links[-1].serial in links[-1].open:
            raise Truncated("its last page is missing")
    sounding = [link for link in links if link.serial is not None]
    if not sounding:
        raise AudioError("is not audio that can be read: an Ogg file without a stream of sound that is known")
    parts = tuple(Part(((link.start, link.end),), weight=link.granules) for link in sounding)
    return Contents(parts, share=(links[-1].end - start) / (encoded.size - start) if over else 1.0)


def _pages(encoded: Encoded, position: int) -> Iterator[_Page]:
    """The pages from a position on. Raises AudioError for one that is cut or damaged."""
    while position < encoded.size:
        head = encoded.at(position, 27)
        if not b"OggS".startswith(head[:4]):
            if only_tags(encoded, position):
                return
            skipped = encoded.at(position, _LOOK).find(b"OggS")
            if skipped < 0:
                raise AudioError(f"is damaged: what follows byte {position} is no page")
            position += skipped
            continue
        table = encoded.at(position + 27, head[26]) if len(head) == 27 else b""
        end = position + 27 + (head[26] if len(head) == 27 else 0) + sum(table)
        if len(head) < 27 or len(table) < head[26] or end > encoded.size:
            raise Truncated(f"its last page ends at byte {end}, the file at {encoded.size}")
        content = encoded.at(position, end - position)
        if _checksum(content) != int.from_bytes(head[22:26], "little"):
            raise AudioError(f"is damaged: the checksum of the page at byte {position} is another")
        packet = content[27 + len(table) : 27 + len(table) + 12]
        yield _Page(
            position, end,
            begins=bool(head[5] & 2), ends=bool(head[5] & 4),
            granule=int.from_bytes(head[6:14], "little"),
            serial=int.from_bytes(head[14:18], "little"), number=int.from_bytes(head[18:22], "little"),
            sounds=packet.startswith(_CODECS),
            skipped=int.from_bytes(packet[10:12], "little") if packet.startswith(b"OpusHead") else 0,
        )  # fmt: skip
        position = end


def _checksum(page: bytes) -> int:
    """Ogg's: that of zlib with all bits the other way round, from zero, with the field itself as zero."""
    plain = page[:22] + bytes(4) + page[26:]
    found = zlib.crc32(plain.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(found.to_bytes(4, "little").translate(_REVERSED), "big")
