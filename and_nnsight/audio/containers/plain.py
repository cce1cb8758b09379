"""Containers that are a header and then samples: AU (Sun, NeXT), NIST SPHERE and Apple's CAF."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from ..errors import AudioError, Truncated
from ..limits import Limit, checked_channels, checked_rate
from .chunks import MOST_CHUNKS, Chunk, samples_length
from .reading import Contents, Encoded, Part
from .riff import wave_header
from .tags import only_tags

_AU_SIZES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_SPHERE_TAGS = {(b"pcm", 2): 1, (b"pcm", 3): 1, (b"pcm", 4): 1, (b"ulaw", 1): 7, (b"mu-law", 1): 7, (b"alaw", 1): 6}
_CAF_PLAIN = {b"lpcm", b"ulaw", b"alaw"}


def au_contents(encoded: Encoded, start: int, limit: Limit) -> Contents:
    """An AU file, of either byte order. Raises AudioError where its samples are not what its header says."""
    order = ">" if encoded.at(start, 4) == b".snd" else "<"
    head = encoded.at(start, 24)
    if len(head) < 24:
        raise Truncated("its header is cut")
    offset, promised, encoding, rate, channels = struct.unpack(f"{order}IIIII", head[4:])
    checked_rate(rate)
    checked_channels(channels)
    first = start + offset
    if offset < 24 or first > encoded.size:
        raise AudioError("is damaged: its header says that samples begin outside of the file")
    open_end = None if promised == 0xFFFFFFFF else promised
    length = samples_length(encoded, first, open_end, iter(()))
    frame = channels * _AU_SIZES.get(encoding, 0)
    frames, used = None, None
    if frame:
        frames = length // frame
        used = limit.used_frames(frames, rate)
        length = used * frame
    header = head[:4] + struct.pack(f"{order}IIIII", 24, min(length, 2**32 - 2), encoding, rate, channels)
    return Contents((Part((header, (first, first + length)), used),), frames)


def sphere_contents(encoded: Encoded, start: int, limit: Limit) -> Contents:
    """A NIST SPHERE file, whose header is text."""
    head = encoded.at(start, 16)
    size = int(head[8:]) if re.fullmatch(rb" *\d+\s*", head[8:]) else 0
    if not 16 < size <= 2**16:
        raise AudioError("is damaged: its header does not say how long it is")
    fields = dict(re.findall(rb"^(\w+) -\w+ (.+?) *$", encoded.at(start, size), re.MULTILINE))
    try:
        names = (b"sample_count", b"channel_count", b"sample_n_bytes", b"sample_rate")
        count, channels, each, rate = (int(fields.get(name, b"1")) for name in names)
    except ValueError as error:
        raise AudioError("is damaged: its header's numbers are none") from error
    checked_channels(channels)
    checked_rate(rate)
    tag = _SPHERE_TAGS.get((fields.get(b"sample_coding", b"pcm"), each))
    if b"sample_count" not in fields or tag is None:
        raise AudioError("is not audio that can be read: its header does not say how its samples are written")
    first, frame = start + size, channels * each
    there = max(0, encoded.size - first) // frame
    if count > there:
        raise Truncated(f"its header promises {count} samples, {there} are there")
    if not only_tags(encoded, first + count * frame):
        raise AudioError(f"is damaged: its header says {count} samples, and {there} are there")
    used = limit.used_frames(count, rate)
    order = ">" if fields.get(b"sample_byte_format", b"01").startswith(b"1") else "<"
    form = struct.pack(f"{order}HHIIHH", tag, channels, rate, rate * frame, frame, 8 * each)
    header = wave_header(form, b"", used * frame, order)
    return Contents((Part((header, (first, first + used * frame)), used),), count)


def caf_contents(encoded: Encoded, start: int, limit: Limit) -> Contents:
    """A CAF file."""
    description = b""
    following = _caf_chunks(encoded, start + 8)
    for chunk in following:
        if chunk.identifier == b"desc":
            description = encoded.at(chunk.position, 32)
            if len(description) < 32:
                raise Truncated("its header is cut")
            checked_rate(struct.unpack(">d", description[:8])[0])
            checked_channels(int.from_bytes(description[24:28], "big"))
        elif chunk.identifier == b"data":
            promised = None if chunk.length == 2**64 - 1 else chunk.length
            length = samples_length(encoded, chunk.position, promised, following)
            return _of_caf(encoded, start, description, chunk.position + 4, max(0, length - 4), limit)
    raise AudioError("is damaged or truncated: its header has no chunk of samples")


def _of_caf(encoded: Encoded, start: int, description: bytes, first: int, length: int, limit: Limit) -> Contents:
    if not description:
        raise AudioError("is damaged: no format stands before its samples")
    if description[8:12] not in _CAF_PLAIN:
        frames = _frames_of_packets(encoded, start, description)
        used = limit.used_frames(frames, round(struct.unpack(">d", description[:8])[0]))
        return Contents((Part(((start, encoded.size),), used),), frames)
    rate, frame = round(struct.unpack(">d", description[:8])[0]), int.from_bytes(description[16:20], "big")
    channels, bits = struct.unpack(">II", description[24:32])
    if not frame or frame != channels * -(-bits // 8):
        raise AudioError(f"is damaged: its header says {frame} bytes a frame, and {channels} channels of {bits} bits")
    frames = length // frame
    used = limit.used_frames(frames, rate)
    length = used * frame
    header = b"caff\0\1\0\0desc" + struct.pack(">Q", 32) + description
    header += b"data" + struct.pack(">QI", length + 4, 0)
    return Contents((Part((header, (first, first + length)), used),), frames)


def _frames_of_packets(encoded: Encoded, start: int, description: bytes) -> int:
    """How many frames compressed samples are, by their table of packets. Raises AudioError where it cannot be true."""
    each = int.from_bytes(description[20:24], "big")
    table = next((chunk.position for chunk in _caf_chunks(encoded, start + 8) if chunk.identifier == b"pakt"), None)
    head = b"" if table is None else encoded.at(table, 24)
    if len(head) < 24:
        raise AudioError("is damaged: it has no table of its packets")
    packets, frames, before, _ = struct.unpack(">qqii", head)
    if frames < 0 or (each and not (packets - 1) * each < frames + before <= packets * each):
        raise AudioError(f"is damaged: its header says {frames} samples in {packets} packets of {each} each")
    return frames


def _caf_chunks(encoded: Encoded, position: int) -> Iterator[Chunk]:
    for _ in range(MOST_CHUNKS):
        head = encoded.at(position, 12)
        if len(head) < 12:
            return
        length = int.from_bytes(head[4:], "big")
        yield Chunk(head[:4], position + 12, length)
        position += 12 + length
    raise AudioError(f"is damaged: more than {MOST_CHUNKS:,} chunks")
