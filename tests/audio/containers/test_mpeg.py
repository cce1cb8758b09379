from __future__ import annotations

import os
import struct
import time

import numpy as np
import pytest

from and_nnsight.audio.containers.mpeg import _read
from and_nnsight.audio.loading import AudioError, decode, load
from and_nnsight.audio.standard_error import decoder_messages
from tests.audio.containers.damaging import ID3V1, RATE, ape, id3, whole


def frames(content: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(content):
        head = _read(content[position : position + 4])
        assert head is not None
        found.append(content[position : position + head.length])
        position += head.length
    return found


def counting(content: bytes, difference: int) -> bytes:
    """The file with another number of frames in its first one."""
    file = bytearray(content)
    mark = b"Xing" if b"Xing" in file[:200] else b"Info"
    place = file.index(mark) + 8
    file[place : place + 4] = struct.pack(">I", int.from_bytes(file[place : place + 4], "big") + difference)
    return bytes(file)


def test_every_frame_is_found() -> None:
    for rate, samples in ((8000, 576), (16000, 576), (44100, 1152)):
        content = whole("mp3", 2.0, rate)
        head = _read(content)
        assert head is not None
        assert (head.rate, head.samples, head.mono) == (rate, samples, True)
        assert 2 * rate / samples < len(frames(content)) < 2 * rate / samples + 5


def test_more_frames_than_are_counted_are_heard_and_fewer_are_seen() -> None:
    content = whole("mp3", 3.0)
    samples = decode(content)[0]
    short = decode(counting(content, -40))[0]
    assert len(short) == pytest.approx(len(samples), abs=2 * 1152)
    for difference in (1, 40, 2**31):
        with pytest.raises(AudioError, match=r"is truncated: its header promises \d+ frames"):
            decode(counting(content, difference))


def test_files_put_together_are_heard_to_the_last(capfd: pytest.CaptureFixture[str]) -> None:
    content = whole("mp3", 2.0)
    for between in (b"", id3(300), id3(0), ID3V1, ape() + ID3V1):
        clip = load(content + between + content, RATE)
        assert clip.seconds == pytest.approx(4.0, abs=0.2)
        assert load(content + between + content, RATE, window=RATE).seconds == pytest.approx(clip.seconds, abs=0.01)
        assert np.abs(clip.samples[-2 * RATE :]).mean() == pytest.approx(np.abs(clip.samples[:RATE]).mean(), rel=0.1)
    assert capfd.readouterr() == ("", "")


def test_a_cut_without_a_count_is_seen_in_the_last_frame() -> None:
    each = frames(whole("mp3", 3.0))[1:]
    bare = b"".join(each)
    assert len(decode(b"".join(each[:-10]))[0]) > 2 * RATE, "it promised no length"
    for cut in (1, 10, len(each[-1]) - 5):
        with pytest.raises(AudioError, match=r"is (damaged or )?truncated"):
            decode(bare[:-cut])


def test_damage_between_frames_is_seen() -> None:
    each = frames(whole("mp3", 3.0))
    place = len(each) // 2
    for damaged in (
        [*each[:place], b"\x07" * 700, *each[place:]],
        [*each[:place], each[place][1:], *each[place + 1 :]],
        [*each[:place], bytes(len(each[place])), *each[place + 1 :]],
        [*each, b"\x07" * 700],
        [*each, bytes(2**20)],
    ):
        with pytest.raises(AudioError, match="is no frame of it"):
            decode(b"".join(damaged))
    with pytest.raises(AudioError, match="frames are of another rate, layer or channels"):
        decode(whole("mp3") + whole("mp3", 1.0, 44100))


def test_frames_that_were_never_written_are_missed_at_the_beginning_as_in_the_middle() -> None:
    content = whole("mp3")
    lost = len(b"".join(frames(content)[:20]))
    with pytest.raises(AudioError, match=f"is damaged: it begins with {lost} bytes of zeros in the place of frames"):
        decode(bytes(lost) + content[lost:])
    assert np.array_equal(decode(bytes(600) + content)[0], decode(content)[0]), "padding before the first frame of all"


def test_no_more_is_taken_off_the_ends_than_an_encoder_adds() -> None:
    file = bytearray(whole("mp3"))
    place = file.index(b"LAME") + 21
    added = [bytes.fromhex(digits) for digits in ("2402c0", "240600", "000000", "450000")]
    lengths = [len(decode(bytes(file[:place] + ends + file[place + 3 :]))[0]) for ends in added]
    assert lengths[:2] == [RATE, RATE - 832]
    assert lengths[2] > lengths[3] > RATE - 832
    for ends in (b"\xff\xf0\0", b"\0\x0f\xff", b"\xff\xff\xff"):
        with pytest.raises(AudioError, match="is damaged: its header says that .* samples at its ends are none of it"):
            decode(bytes(file[:place] + ends + file[place + 3 :]))


def test_tags_at_the_end_are_no_frames() -> None:
    content = whole("mp3")
    lyrics = b"LYRICSBEGININD0000210LYR00007some la000030LYRICS200"
    for end in (ID3V1, ape() + ID3V1, lyrics + ID3V1, id3(40), bytes(200)):
        assert np.array_equal(decode(content + end)[0], decode(content)[0])


@pytest.mark.slow
def test_what_looks_like_frames_everywhere_takes_no_time() -> None:
    for content in (
        b"\xff\xfb\x90\x64\x12" * 13_000 + bytes(10_000_000),
        b"\xff\xfb\x90\x00" * 20_000,
        b"\xff" * 10**6,
    ):
        began = time.process_time()
        with pytest.raises(AudioError):
            decode(content)
        assert time.process_time() - began < 1  # of each file, as of any that is damaged


def test_what_only_looks_like_a_frame_is_no_mp3() -> None:
    for content in (b"\xff\xfb\x90\x00" + b"text " * 200, b"\xff" * 5000, b"\xff\xfb" * 3000):
        with pytest.raises(AudioError, match="is not audio that can be read"):
            decode(content)


def test_nothing_is_said_aloud(capfd: pytest.CaptureFixture[str]) -> None:
    content = whole("mp3", 3.0)
    for value in (content + content, counting(content, -40), content):
        load(value, RATE, window=RATE)
    assert capfd.readouterr().err == ""


def test_a_frame_that_cannot_be_decoded_is_damage_and_said_by_us_only(capfd: pytest.CaptureFixture[str]) -> None:
    each, refused = frames(whole("mp3")), 0
    for number in range(60):
        random = np.random.default_rng(number)
        damaged = list(each)
        for place in random.integers(5, len(each), 3):
            damaged[place] = each[place][:6] + random.bytes(len(each[place]) - 6)
        try:
            load(b"".join(damaged), RATE)
        except AudioError as error:
            assert "is damaged: a frame of it cannot be decoded (" in str(error)
            refused += 1
    assert refused > 20
    assert capfd.readouterr() == ("", "")


def test_a_recording_cut_out_of_a_longer_one_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    each = frames(whole("mp3", 3.0))
    for first in range(1, 60):  # of some, the first frame's sound begins in one that is gone
        samples, _ = decode(b"".join(each[first:]))
        assert len(samples) == (len(each) - first) * 576 - 529
    assert capfd.readouterr() == ("", "")


def test_what_others_say_aloud_meanwhile_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with decoder_messages() as messages:
        os.write(2, b"a line of somebody's\n[src/libmpg123/layer3.c:f():1] error: dequantization failed!\nand more")
        with pytest.raises(AudioError, match="no bytes"), decoder_messages():
            decode(b"")
    assert messages == ["[src/libmpg123/layer3.c:f():1] error: dequantization failed!"]
    assert capfd.readouterr().err == "a line of somebody's\nand more"
