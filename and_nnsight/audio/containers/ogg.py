"""Ogg: pages with checksums, and chains of streams, of which libsndfile reads the first only."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import AudioError, Truncated
from ..limits import Limit
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

    def __init__(self, page: _Page, granules_before: int) -> None:
        self.start, self.end = page.position, page.end
        self.serial: int | None = None
        self.open: set[int] = set()
        self.heads = True  # whether only first pages have come yet
        self.granules = 0
        self._granules_before = granules_before  # in the links before it
        self._skipped = 0
        self._numbers: dict[int, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether the end of its sound has not come yet."""
        return self.serial in self.open

    @property
    def granules_so_far(self) -> int:
        """Up to its end, with those of the links before it."""
        return self._granules_before + self.granules

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
    links, whole = _links(encoded, start)
    sounding = [link for link in links if link.serial is not None]
    if not sounding:
        raise AudioError("is not audio that can be read: an Ogg file without a stream of sound that is known")
    parts = tuple(Part(((link.start, link.end),), weight=link.granules) for link in sounding)
    return Contents(parts, share=1.0 if whole else (links[-1].end - start) / (encoded.size - start))


def _links(encoded: Encoded, start: int) -> tuple[list[_Link], bool]:
    """The links of a chain, and whether these are all: what comes after so much sound is never heard."""
    links: list[_Link] = []
    granules, idle = 0, 0
    for page in _pages(encoded, start):
        _add(links, page)
        idle += 1
        if links[-1].granules_so_far > granules:
            granules, idle = links[-1].granules_so_far, 0
        if idle > _MOST_IDLE:
            raise AudioError(f"is damaged: {_MOST_IDLE:,} pages without sound before byte {page.end}")
        if granules > _ENOUGH:
            return links, False
    if links and links[-1].is_open:
        raise Truncated("its last page is missing")
    return links, True


def _add(links: list[_Link], page: _Page) -> None:
    """Put a page into the link that it belongs to, which it may begin. Raises AudioError if none can have it."""
    if page.begins and (not links or not links[-1].heads):
        _check_next(links, page)
        links.append(_Link(page, links[-1].granules_so_far if links else 0))
    if not links:
        raise AudioError("is damaged or truncated: it begins in the middle of a stream")
    links[-1].add(page)


def _check_next(links: list[_Link], page: _Page) -> None:
    """Raise AudioError if no link can begin here."""
    if links and links[-1].is_open:
        raise Truncated(f"a stream in it has no end, and another begins at byte {page.position}")
    if len(links) == _MOST_LINKS:
        raise AudioError(f"is damaged: a chain of more than {_MOST_LINKS:,} streams")


def _pages(encoded: Encoded, position: int) -> Iterator[_Page]:
    """The pages from a position on. Raises AudioError for one that is cut or damaged."""
    while position < encoded.size:
        if b"OggS".startswith(encoded.at(position, 4)):
            page = _page(encoded, position)
            yield page
            position = page.end
            continue
        if only_tags(encoded, position):
            return
        skipped = encoded.at(position, _LOOK).find(b"OggS")
        if skipped < 0:
            raise AudioError(f"is damaged: what follows byte {position} is no page")
        position += skipped


def _page(encoded: Encoded, position: int) -> _Page:
    """The page at a position. Raises AudioError if it is cut or damaged."""
    head = encoded.at(position, 27)
    segments = head[26] if len(head) == 27 else 0
    table = encoded.at(position + 27, segments)
    end = position + 27 + segments + sum(table)
    if len(head) < 27 or len(table) < segments or end > encoded.size:
        raise Truncated(f"its last page ends at byte {end}, the file at {encoded.size}")
    content = encoded.at(position, end - position)
    if _checksum(content) != int.from_bytes(head[22:26], "little"):
        raise AudioError(f"is damaged: the checksum of the page at byte {position} is another")
    packet = content[27 + len(table) : 27 + len(table) + 12]
    return _Page(
        position, end,
        begins=bool(head[5] & 2), ends=bool(head[5] & 4),
        granule=int.from_bytes(head[6:14], "little"),
        serial=int.from_bytes(head[14:18], "little"), number=int.from_bytes(head[18:22], "little"),
        sounds=packet.startswith(_CODECS),
        skipped=int.from_bytes(packet[10:12], "little") if packet.startswith(b"OpusHead") else 0,
    )  # fmt: skip


def _checksum(page: bytes) -> int:
    """Ogg's: that of zlib with all bits the other way round, from zero, with the field itself as zero."""
    plain = page[:22] + bytes(4) + page[26:]
    reversed_sum = zlib.crc32(plain.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(reversed_sum.to_bytes(4, "little").translate(_REVERSED), "big")
