"""Damage that knows the container: chunks, pages and frames that are cut, swapped, repeated or made to claim the utmost."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

Damage = Callable[[bytearray, np.random.Generator], bytearray]


class Piece(NamedTuple):
    """A chunk, page or frame: where it begins, where its content does, and where it ends."""

    begin: int
    content: int
    end: int


def pieces(file: bytes) -> list[Piece]:
    """The pieces of a file of any container; a file that is none of those known here is one piece."""
    mark = file[:4]
    if mark == b"OggS":
        return list(_ogg(file))
    if mark == b"fLaC":
        return list(_flac(file))
    if mark == b"riff":
        return list(_chunks(file, 40, 24, lambda head: max(0, int.from_bytes(head[16:24], "little") - 24), 8))
    if mark in (b"RIFF", b"RIFX", b"RF64", b"FORM"):
        order = "big" if mark in (b"RIFX", b"FORM") else "little"
        return list(_chunks(file, 12, 8, lambda head: int.from_bytes(head[4:8], order), 2))
    if mark == b"caff":
        return list(_chunks(file, 8, 12, lambda head: int.from_bytes(head[4:12], "big"), 1))
    return [Piece(0, min(24, len(file)), len(file))]


def _chunks(file: bytes, position: int, head: int, length: Callable[[bytes], int], multiple: int) -> Iterator[Piece]:
    while position + head <= len(file):
        size = length(file[position : position + head])
        end = min(len(file), position + head + size + -size % multiple)
        yield Piece(position, position + head, end)
        position = end


def _ogg(file: bytes) -> Iterator[Piece]:
    position = file.find(b"OggS")
    while position >= 0:
        following = file.find(b"OggS", position + 4)
        yield Piece(position, min(position + 27, len(file)), following if following >= 0 else len(file))
        position = following


def _flac(file: bytes) -> Iterator[Piece]:
    position, last = 4, False
    while not last and position + 4 <= len(file):
        last = bool(file[position] & 128)
        end = min(len(file), position + 4 + int.from_bytes(file[position + 1 : position + 4], "big"))
        yield Piece(position, position + 4, end)
        position = end
    yield Piece(position, position, len(file))


def _one(file: bytes, random: np.random.Generator) -> Piece:
    found = pieces(bytes(file))
    return found[int(random.integers(len(found)))] if found else Piece(0, 0, len(file))


def cut_within_a_piece(file: bytearray, random: np.random.Generator) -> bytearray:
    """Bytes are missing from within a piece, and the next one follows as if nothing had happened."""
    piece = _one(file, random)
    if piece.end - piece.content < 2:
        return file
    keep = int(random.integers(piece.content, piece.end))
    return file[:keep] + file[piece.end :]


def swap_pieces(file: bytearray, random: np.random.Generator) -> bytearray:
    """Two pieces change places."""
    one, two = sorted((_one(file, random), _one(file, random)))
    if one == two:
        return file
    middle = file[one.end : two.begin]
    return file[: one.begin] + file[two.begin : two.end] + middle + file[one.begin : one.end] + file[two.end :]


def repeat_a_piece(file: bytearray, random: np.random.Generator) -> bytearray:
    """A piece stands there twice, or a thousand times (of all samples: a minute of healthy sound is no damage)."""
    piece, count = _one(file, random), int(random.choice([1, 2, 1000]))
    content = bytes(file[piece.begin : piece.end])
    return file[: piece.end] + content * min(count, 1 + 2**19 // max(1, len(content))) + file[piece.end :]


def leave_a_piece_out(file: bytearray, random: np.random.Generator) -> bytearray:
    """A piece is missing."""
    piece = _one(file, random)
    return file[: piece.begin] + file[piece.end :]


def repeat_the_header(file: bytearray, random: np.random.Generator) -> bytearray:
    """All that stands before the samples stands there twice."""
    found = pieces(bytes(file))
    longest = max(found, key=lambda piece: piece.end - piece.begin, default=Piece(0, 24, len(file)))
    return file[: longest.content] + file[: longest.content] + file[longest.content :]


def claim_the_utmost(file: bytearray, random: np.random.Generator) -> bytearray:
    """Fields of a piece's head, or of the first bytes of its content, say the most or the least that they can."""
    piece = _one(file, random)
    for _ in range(int(random.integers(1, 4))):
        width = int(random.choice([2, 4, 8]))
        last = min(piece.content + 40, len(file)) - width
        if last <= piece.begin:
            continue
        place = int(random.integers(piece.begin, last))
        utmost = (0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 2))
        value = utmost[int(random.integers(len(utmost)))]
        file[place : place + width] = value.to_bytes(width, "little" if random.random() < 0.5 else "big")
    return file


def bomb_of_tags(file: bytearray, random: np.random.Generator) -> bytearray:
    """Thousands of tags: before, behind or within."""
    ape = b"APETAGEX" + struct.pack("<IIII8x", 2000, 0, 0, 0x80000000)
    tags = (
        b"ID3\x03" + bytes(6),
        b"ID3\x04\0\x10" + bytes(4) + bytes(10),
        ape,
        b"TAG" + bytes(125),
        b"LYRICSBEGINLYRICS200",
    )
    bomb = tags[int(random.integers(len(tags)))] * int(random.choice([50, 5_000, 50_000]))
    place = int(random.choice([0, len(file), int(random.integers(len(file) + 1))]))
    return file[:place] + bomb + file[place:]


def bomb_of_chunks(file: bytearray, random: np.random.Generator) -> bytearray:
    """Hundreds of thousands of empty chunks in front of a piece."""
    piece = _one(file, random)
    heads = (b"JUNK" + bytes(4), b"free" + bytes(8), b"\x01\0\0\0", b"\x04\0\0\0", b"OggS" + bytes(23))
    bomb = heads[int(random.integers(len(heads)))] * int(random.choice([100, 200_000]))
    return file[: piece.begin] + bomb + file[piece.begin :]


def splice(file: bytearray, random: np.random.Generator) -> bytearray:
    """The beginning of the file, then its own end, from another place on: a download that was taken up wrongly."""
    first, second = sorted(int(random.integers(len(file))) for _ in range(2))
    return file[:second] + file[first:]


def zero_blocks(file: bytearray, random: np.random.Generator) -> bytearray:
    """Blocks of a disk that were never written: zeros, at multiples of their size."""
    size = int(random.choice([512, 4096]))
    for _ in range(int(random.integers(1, 4))):
        begin = int(random.integers(len(file) // size + 1)) * size
        file[begin : begin + size] = bytes(len(file[begin : begin + size]))
    return file


def end_in_zeros(file: bytearray, random: np.random.Generator) -> bytearray:
    """The file has its whole length, and from somewhere on only zeros: a copy that was broken off."""
    begin = int(random.integers(len(file)))
    return file[:begin] + bytes(len(file) - begin)


STRUCTURAL: tuple[Damage, ...] = (
    cut_within_a_piece, swap_pieces, repeat_a_piece, leave_a_piece_out, repeat_the_header, claim_the_utmost,
    claim_the_utmost, bomb_of_tags, bomb_of_chunks, splice, zero_blocks, end_in_zeros,
)  # fmt: skip
