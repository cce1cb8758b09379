"""AIFF, AU, SPHERE and CAF: sizes that were never filled in, and headers that contradict what follows."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from and_nnsight.audio.loading import AudioError, decode, load
from tests.audio.containers.damaging import RATE, whole


def changed(kind: str, mark: bytes, offset: int, content: bytes) -> bytes:
    file = bytearray(whole(kind))
    place = file.index(mark) + offset
    file[place : place + len(content)] = content
    return bytes(file)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("au", changed("au", b".snd", 8, b"\xff" * 4)),
        ("au", changed("au", b".snd", 8, bytes(4))),
        ("aiff", changed("aiff", b"FORM", 4, bytes(4))),
        ("caf", changed("caf", b"data", 4, b"\xff" * 8)),
    ],
)
def test_a_size_that_was_never_filled_in_is_no_size(kind: str, content: bytes) -> None:
    assert np.array_equal(decode(content)[0], decode(whole(kind))[0])


def test_an_aiff_that_was_never_finished_is_read_to_its_end() -> None:
    content = bytearray(changed("aiff", b"COMM", 10, bytes(4)))
    place = content.index(b"SSND") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    assert np.array_equal(decode(bytes(content))[0], decode(whole("aiff"))[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (changed("au", b".snd", 8, struct.pack(">I", 12_000)), "promises 12000 bytes of samples, and the 20000"),
        (changed("au", b".snd", 8, struct.pack(">I", 40_000)), "is truncated: its header promises 40000 bytes"),
        (changed("au", b".snd", 4, struct.pack(">I", 2**31)), "samples begin outside of the file"),
        (changed("au", b".snd", 16, struct.pack(">I", 1)), "1 Hz is no rate of sound"),
        (changed("au", b".snd", 20, struct.pack(">I", 2**16)), "65536 channels are not those of a clip"),
        (changed("aiff", b"COMM", 10, struct.pack(">I", 20_000)), "promises 20000 samples, 16000 are there"),
        (changed("aiff", b"COMM", 10, struct.pack(">I", 9_000)), "says 9000 samples, its chunk of samples holds 16000"),
        (changed("aiff", b"COMM", 16, bytes(10)), "0 Hz is no rate of sound"),
        (changed("aiff", b"COMM", 16, b"\x7f\xff" + b"\xff" * 8), "Hz is no rate of sound"),
        (changed("aiff", b"AIFF", 0, b"8SVX"), "an IFF file, but no AIFF"),
        (changed("caf", b"data", 4, struct.pack(">Q", 40_000)), "is truncated: its header promises 40000 bytes"),
        (changed("caf", b"data", 4, struct.pack(">Q", 12_000)), "are no proper end"),
        (changed("caf", b"desc", 12, struct.pack(">d", float("nan"))), "nan Hz is no rate of sound"),
        (changed("caf", b"desc", 12 + 16, struct.pack(">I", 3)), "says 3 bytes a frame, and 1 channels of 16 bits"),
        (changed("caf", b"desc", 12 + 16, bytes(16)), "0 channels are not those of a clip"),
        (changed("caf", b"desc", 12 + 16, struct.pack(">IIII", 0, 1, 1, 0)), "says 0 bytes a frame, and 1 channels"),
        (changed("nist", b"sample_count -i ", 16, b"90000"), "promises 90000 samples, 16000 are there"),
        (changed("nist", b"sample_count -i ", 16, b"09000"), "says 9000 samples, and 16000 are there"),
        (changed("nist", b"NIST_1A\n", 8, b"  xxxx\n"), "does not say how long it is"),
    ],
)
def test_what_contradicts_itself_is_set_aside_with_the_true_reason(content: bytes, reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        decode(content)


def test_packets_are_counted_by_their_table() -> None:
    content = whole("alac", 2.0)
    table = content.index(b"pakt") + 12
    for place, value, reason in (
        (8, 4, "says 4 samples in 8 packets"),
        (0, 2, "in 2 packets of 4096"),
        (8, 33_000, "33000"),
    ):
        changed = bytearray(content)
        changed[table + place : table + place + 8] = value.to_bytes(8, "big")
        with pytest.raises(AudioError, match=reason):
            decode(changed)
    with pytest.raises(AudioError, match="no table of its packets"):
        decode(content.replace(b"pakt", b"free"))
    assert load(content, RATE, window=RATE // 2).seconds == 2.0
    for frames in (1, 4_095, 4_096, 4_097):
        assert len(decode(whole("alac", frames / RATE))[0]) == frames


def test_containers_whose_headers_say_no_length_are_not_read() -> None:
    with pytest.raises(AudioError, match="neither wav, flac, ogg"):
        decode(b"\x00\x00\x00\x64" + bytes(1000))


def test_every_byte_order_is_read() -> None:
    order = bytearray(whole("au"))
    fields = struct.unpack(">IIIII", order[4:24])
    swapped = b"dns." + struct.pack("<IIIII", *fields) + bytes(order[24:])
    samples = np.frombuffer(bytes(order[fields[0] :]), ">i2").astype("<i2").tobytes()
    swapped = swapped[: fields[0]] + samples
    assert np.array_equal(decode(swapped)[0], decode(whole("au"))[0])
    assert len(decode(whole("rifx"))[0]) == RATE
