"""What a sound file's container promises, and what it holds: libsndfile shortens or lengthens files without a word."""

from __future__ import annotations

from ..errors import AudioError
from ..limits import Limit
from .aiff import aiff_contents
from .flac import flac_contents
from .mpeg import mpeg_contents
from .ogg import ogg_contents
from .plain import au_contents, caf_contents, sphere_contents
from .reading import Contents, Encoded, Part, Pieces, Stream
from .riff import is_wave64, wave64_contents, wave_contents
from .tags import after_tags

__all__ = ["ENDINGS", "Contents", "Encoded", "Part", "Pieces", "Stream", "examine"]

_READERS = {
    b"RIFF": wave_contents,
    b"RIFX": wave_contents,
    b"RF64": wave_contents,
    b"BW64": wave_contents,
    b"FORM": aiff_contents,
    b".snd": au_contents,
    b"dns.": au_contents,
    b"NIST": sphere_contents,
    b"caff": caf_contents,
    b"fLaC": flac_contents,
    b"OggS": ogg_contents,
}
"""By the first four bytes behind any tags."""
ENDINGS = frozenset(
    {".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp1", ".mp2", ".mp3", ".aiff"}
    | {".aif", ".aifc", ".au", ".snd", ".caf", ".nist", ".sph"}
)
"""Endings of files of sound that are read."""
_INSTEAD = {
    b"version https://git-lfs": "the pointer of Git LFS to a file that was not fetched: run git lfs pull",
    b"<!doctype html": "a web page, as a server sends in place of a file: download it again",
    b"<html": "a web page, as a server sends in place of a file: download it again",
}
"""What often lies in a file's place, by how it begins."""


def examine(encoded: Encoded, limit: Limit) -> Contents:
    """What a file holds, and which of its bytes are to be decoded, found without decoding any.

    Raises AudioError for what is no container that is known here, and for one that is cut short, damaged in a way that
    its headers show, or too long.
    """
    start = after_tags(encoded)
    head = encoded.at(start, 16)
    if is_wave64(head):
        return wave64_contents(encoded, start, limit)
    reader = _READERS.get(head[:4])
    contents = mpeg_contents(encoded, start, limit) if reader is None else reader(encoded, start, limit)
    if contents is None:
        for opening, what in _INSTEAD.items():
            if encoded.at(start, len(opening)).lower() == opening:
                raise AudioError(f"is not audio that can be read: it is {what}")
        raise AudioError(
            "is not audio that can be read: neither wav, flac, ogg, opus, mp3, aiff, au, caf, w64 nor sphere; "
            "convert it to one of them"
        )
    return contents
