"""What is put before and after the sound of any file: ID3, APE and Lyrics3 tags, and padding."""

from __future__ import annotations

from ..errors import AudioError
from .reading import Encoded

_LOOK = 2**16  # bytes at either end of padding that are looked at
MOST_TAGS = 100
"""In a row, or in one file: more are damage, or made to keep us busy."""
_FIXED = {b"TAG+": 227, b"TAG": 128}


def after_tags(encoded: Encoded, position: int = 0) -> int:
    """Where the sound begins: behind any ID3v2 tags. Raises AudioError for too many."""
    for _ in range(MOST_TAGS):
        length = id3_length(encoded, position)
        if not length or position + length >= encoded.size:
            return position
        position += length
    raise AudioError(f"is damaged: more than {MOST_TAGS} tags")


def id3_length(encoded: Encoded, position: int) -> int:
    """The bytes of an ID3v2 tag at a position; 0 if there is none."""
    head = encoded.at(position, 10)
    if len(head) < 10 or head[:3] != b"ID3" or head[3] == 0xFF or head[4] == 0xFF or max(head[6:]) > 127:
        return 0
    return 10 + sum(byte << 7 * place for place, byte in enumerate(head[:5:-1])) + (10 if head[5] & 0x10 else 0)


def only_tags(encoded: Encoded, position: int, most_padding: int | None = None) -> bool:
    """Whether nothing but tags and padding by zeros lies between a position and the end of the file."""
    for _ in range(MOST_TAGS):
        if position >= encoded.size:
            return True
        length = tag_length(encoded, position)
        if not length:
            left = encoded.size - position
            return (most_padding is None or left <= most_padding) and _is_zero(encoded, position)
        position += length
    return False


def tag_length(encoded: Encoded, position: int) -> int:
    """The bytes of a tag of any kind at a position; 0 if there is none."""
    head = encoded.at(position, 32)
    left = encoded.size - position
    for mark, length in _FIXED.items():
        if head.startswith(mark) and left >= length:
            return length
    if head[:8] == b"APETAGEX" and len(head) == 32:
        footer = not int.from_bytes(head[20:24], "little") & 2**29
        return 32 if footer else 32 + int.from_bytes(head[12:16], "little")
    if head[:11] == b"LYRICSBEGIN":
        content = encoded.at(position, _LOOK)
        end = max(content.find(b"LYRICS200"), content.find(b"LYRICSEND"))
        return end + 9 if end > 0 else 0
    return min(id3_length(encoded, position), left)


def _is_zero(encoded: Encoded, position: int) -> bool:
    ends = encoded.at(position, _LOOK) + encoded.at(max(position, encoded.size - _LOOK), _LOOK)
    return not ends.strip(b"\0")
