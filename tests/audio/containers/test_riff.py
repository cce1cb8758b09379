from __future__ import annotations

import struct

import numpy as np
import pytest

from and_nnsight.audio.loading import AudioError, decode
from tests.audio.containers.damaging import RATE, whole

PCM = (np.sin(np.arange(RATE) * 0.17) * 9_000).astype("<i2")
SAMPLES = PCM.astype(np.float32) / 2**15


def form(tag: int = 1, channels: int = 1, rate: int = RATE, align: int = 2, bits: int = 16) -> bytes:
    return struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits)


def chunk(name: bytes, content: bytes, length: int | None = None, pad: bool = True) -> bytes:
    size = len(content) if length is None else length
    return name + struct.pack("<I", size) + content + b"\0" * (len(content) % 2 if pad else 0)


def riff(*chunks: bytes, kind: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if size is None else size) + body


FORM, DATA = chunk(b"fmt ", form()), chunk(b"data", PCM.tobytes())


@pytest.mark.parametrize(
    "content",
    [
        riff(FORM, DATA),
        riff(FORM, DATA, size=0),
        riff(FORM, DATA, size=12),
        riff(FORM, chunk(b"data", PCM.tobytes(), 0)),
        riff(FORM, chunk(b"data", PCM.tobytes(), 0xFFFFFFFF), size=0xFFFFFFFF),
        riff(chunk(b"ds64", bytes(28)), FORM, chunk(b"data", PCM.tobytes(), 0xFFFFFFFF), kind=b"RF64"),
        riff(chunk(b"ds64", struct.pack("<QQQI", 0, 32000, 0, 0)), FORM, chunk(b"data", PCM.tobytes(), 2**32 - 1),
             chunk(b"LIST", b"INFO"), kind=b"BW64"),
        riff(chunk(b"bext", b"x" * 603), chunk(b"JUNK", bytes(29)), FORM, chunk(b"fact", bytes(4)), DATA),
        riff(chunk(b"LIST", b"INFOIARTx", pad=False), FORM, DATA),
        riff(FORM, DATA, chunk(b"LIST", b"INFOIARTx"), chunk(b"id3 ", bytes(30))),
        riff(FORM, DATA, chunk(b"LIST", b"INFO")[:-2]),
        riff(FORM, DATA, b"\0"),
        riff(chunk(b"fmt ", form(align=0)), DATA),
        riff(chunk(b"fmt ", form() + bytes(2)), DATA),
        riff(chunk(b"fmt ", form(0xFFFE) + struct.pack("<HHIH14s", 22, 16, 4, 1, bytes.fromhex("000000001000800000aa00389b71"))), DATA),
    ],
)  # fmt: skip
def test_what_a_careful_player_would_play(content: bytes) -> None:
    samples, rate = decode(content)
    assert rate == RATE
    assert np.array_equal(samples, SAMPLES)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (riff(FORM, chunk(b"data", PCM.tobytes(), 12_000)), "promises 12000 bytes of samples, and the 20000 bytes that"),
        (riff(FORM, DATA, DATA), "are no proper end"),
        (riff(FORM, DATA, b"\x91\x17\x03"), "are no proper end"),
        (riff(FORM, chunk(b"data", PCM.tobytes(), 40_000)), "is truncated: its header promises 40000 bytes"),
        (riff(chunk(b"ds64", struct.pack("<QQQI", 0, 10**12, 0, 0)), FORM, chunk(b"data", b"", 2**32 - 1), kind=b"RF64"),
         "is truncated: its header promises 1000000000000 bytes"),
        (riff(chunk(b"fmt ", form(align=3)), DATA), "says 3 bytes a frame, and 1 channels of 16 bits each"),
        (riff(chunk(b"fmt ", form(channels=2)), DATA), "says 2 bytes a frame, and 2 channels of 16 bits each"),
        (riff(chunk(b"fmt ", form(channels=0)), DATA), "0 channels are not those of a clip"),
        (riff(chunk(b"fmt ", form(channels=4000, align=8000)), DATA), "4000 channels are not those of a clip"),
        (riff(chunk(b"fmt ", form(rate=1)), DATA), "1 Hz is no rate of sound"),
        (riff(chunk(b"fmt ", form(rate=2**32 // 2 - 1)), DATA), "Hz is no rate of sound"),
        (riff(chunk(b"fmt ", form(align=0, bits=0)), DATA), "samples of 0 bits"),
        (riff(chunk(b"fmt ", form(0x2000)), DATA), "is not audio that can be read"),
        (riff(DATA, FORM), "no format stands before its samples"),
        (riff(FORM), "no chunk of samples"),
        (riff(*[chunk(b"LIST", b"")] * 20_000), "more than 10,000 chunks"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "a RIFF file, but no WAVE"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_set_aside_with_the_true_reason(content: bytes, reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        decode(content)


def test_samples_in_wider_places_are_read_as_they_are() -> None:
    values = (SAMPLES * 2**23).astype(np.int32) << 8
    content = riff(chunk(b"fmt ", form(align=4, bits=24)), chunk(b"data", values.tobytes()))
    assert np.allclose(decode(content)[0], SAMPLES, atol=1e-6)


@pytest.mark.parametrize("size", [0, 24, 2**63 - 1, 2**64 - 1])
def test_a_wave64_that_was_never_finished_is_read_to_its_end(size: int) -> None:
    content = bytearray(whole("w64"))
    place = content.index(b"data") + 16
    content[place : place + 8] = struct.pack("<Q", size)
    assert np.array_equal(decode(bytes(content))[0], decode(whole("w64"))[0])


def test_compressed_samples_end_where_the_header_says() -> None:
    assert len(decode(whole("wav of adpcm"))[0]) == RATE, "its last block holds 572 more"
