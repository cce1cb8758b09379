"""Chunks of RIFF, AIFF and their relatives, and how long the chunk of samples really is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import AudioError, Truncated
from .reading import Encoded
from .tags import only_tags

MOST_CHUNKS = 10_000
_KNOWN = frozenset(
    name.ljust(4).encode()
    for name in (
        "LIST id3 ID3 bext iXML axml chna cue smpl inst JUNK junk PAD FLLR afsp DISP fact PEAK levl plst labl acid "
        "_PMX cart umid regn minf elm1 MARK COMT NAME AUTH ANNO (c) APPL INST AESD MIDI CHAN free info strg mark"
    ).split()
)
"""Chunks that are known to stand behind samples: a file may be cut within one, and its samples be whole."""
_FILES = frozenset({b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff"})
SEVERAL = "is several recordings put together into one file, of which players hear the first: split it into its parts"


class Chunk(NamedTuple):
    """A chunk: its identifier, where its content begins, and how long that claims to be."""

    identifier: bytes
    position: int
    length: int


def chunks(encoded: Encoded, position: int, order: str) -> Iterator[Chunk]:
    """The chunks from a position on. An odd length is followed by a byte of padding, which some programs forget."""
    for _ in range(MOST_CHUNKS):
        head = encoded.at(position, 8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little" if order == "<" else "big")
        yield Chunk(head[:4], position + 8, length)
        position += 8 + length
        if length % 2 and not _is_identifier(encoded.at(position, 4)):
            position += 1
    raise AudioError(f"is damaged: more than {MOST_CHUNKS:,} chunks")


def _is_identifier(name: bytes) -> bool:
    return len(name) == 4 and re.fullmatch(rb"[A-Za-z0-9_()]{1,4} *", name) is not None


def samples_length(encoded: Encoded, position: int, promised: int | None, following: Iterator[Chunk]) -> int:
    """The bytes of samples at a position, of which a header promises so many; None: it says `up to the end`.

    A size that was never filled in, since the program was ended or wrote to a pipe, is 0, or about 2³¹ or 2³²: then
    all that follows are samples. following  the chunks behind those that are promised.

    Raises AudioError where fewer are there, or where more samples, or none can say what, follow.
    """
    there = encoded.size - position
    if promised is None:
        return there
    if promised > there:
        if _never_filled_in(promised):
            return there
        raise Truncated(f"its header promises {promised} bytes of samples, {there} are there")
    if promised == there or _are_proper(encoded, position + promised, following):
        return promised
    if promised == 0:
        return there
    raise AudioError(
        f"is damaged: its header promises {promised} bytes of samples, and the {there - promised} bytes that follow "
        "are no proper end of such a file"
    )


def _never_filled_in(length: int) -> bool:
    return 0xFFFFF000 <= length <= 0xFFFFFFFF or 0x7FFFF000 <= length <= 0x80001000 or length >= 2**63 - 1


def _may_follow_samples(chunk: Chunk, size: int) -> bool:
    if chunk.identifier in (b"data", b"SSND") or not _is_identifier(chunk.identifier):
        return False
    return chunk.position + chunk.length <= size or chunk.identifier in _KNOWN


def _are_proper(encoded: Encoded, position: int, following: Iterator[Chunk]) -> bool:
    """Whether chunks, tags or padding are all that lies behind the samples."""
    if encoded.size - position <= 1 or only_tags(encoded, position) or only_tags(encoded, position + 1):
        return True
    for chunk in following:
        if chunk.identifier in _FILES:
            raise AudioError(SEVERAL)
        if not _may_follow_samples(chunk, encoded.size):
            return False
        position = chunk.position + chunk.length
        if only_tags(encoded, position) or only_tags(encoded, position + position % 2):
            return True
    return position + 1 >= encoded.size
