"""Encoded files: decoded whole, or refused; never taken for shorter ones."""

from __future__ import annotations

import contextlib
import gc
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from and_nnsight.audio import decoding
from and_nnsight.audio.loading import AudioError, decode, to_waveform
from tests.audio.tones import RATE, TONE
from tests.damaged import encode, sound


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "DOUBLE", 0),
        ("WAVEX", "PCM_16", 1e-4),
        ("RF64", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.1),
        ("OGG", "OPUS", 0.2),
        ("MP3", None, 0.1),
    ],
)
def test_containers_decode_at_their_own_rate(container: str, subtype: str | None, tolerance: float, tmp_path: Path):
    samples = sound(1.5, RATE)
    encoded = encode(samples, RATE, container, subtype)
    decoded, rate = decode(encoded)
    assert rate == RATE
    assert decoded.shape == samples.shape
    assert np.abs(decoded - samples).max() <= tolerance
    path = tmp_path / "named with ünïcode and no extension"
    path.write_bytes(encoded)
    assert np.array_equal(decode(path)[0], decoded)


def test_long_files_are_decoded_in_blocks(monkeypatch: pytest.MonkeyPatch):
    stereo = sound(0.5, RATE, channels=2)
    whole = decode(encode(stereo, RATE))[0]
    for block in (1, 100, 7999, 8000, 8001):
        monkeypatch.setattr(decoding, "_BLOCK", block)
        assert np.array_equal(decode(encode(stereo, RATE))[0], whole)


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36])
@pytest.mark.parametrize("both", [False, True])
def test_a_wav_written_to_a_pipe_is_read_to_its_end(length: int, both: bool, tmp_path: Path):
    encoded = bytearray(encode(TONE, RATE))
    position = encoded.index(b"data") + 4
    encoded[position : position + 4] = struct.pack("<I", length)
    if both:
        encoded[4:8] = struct.pack("<I", length)
    path = tmp_path / "piped.wav"
    path.write_bytes(encoded)
    expected = decode(encode(TONE, RATE))[0]
    assert np.array_equal(decode(bytes(encoded))[0], expected)
    assert np.array_equal(decode(path)[0], expected)


def test_a_flac_written_to_a_pipe_is_read_to_its_end():
    encoded = bytearray(encode(TONE, RATE, "FLAC"))
    fields = int.from_bytes(encoded[18:26], "big")
    encoded[18:26] = (fields & ~(2**36 - 1)).to_bytes(8, "big")  # the number of samples: unknown
    assert np.array_equal(decode(bytes(encoded))[0], decode(encode(TONE, RATE, "FLAC"))[0])


def test_tags_around_an_mp3_or_ogg_do_no_harm():
    song, voice = encode(TONE, RATE, "MP3"), encode(TONE, RATE, "OGG")
    tagged = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + song + b"TAG" + bytes(125)
    assert len(decode(tagged)[0]) == len(TONE)
    assert len(decode(voice + b"TAG" + bytes(125))[0]) == len(TONE)


@pytest.mark.parametrize("rate", [11025, 16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("tag", [b"", b"ID3\x03\0\0\0\0\0\x0a" + b"\xff\xfb" * 5])
def test_an_mp3_that_counts_its_frames_nowhere_is_read_whole(rate: int, channels: int, tag: bytes):
    # libsndfile alone takes its length from the bit rate of the first frame, and here drops half of it
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, channels, format="MP3", bitrate_mode="VARIABLE") as file:
        file.write(sound(5.0, rate, channels))
    encoded = buffer.getvalue()
    bare = encoded[second_frame(encoded) :]
    assert b"Xing" in encoded[:200]
    assert b"Xing" not in bare[:200]
    assert len(soundfile.read(io.BytesIO(bare))[0]) < 4 * rate
    whole, found = decode(encoded)[0], decode(tag + bare)
    assert found[1] == rate
    assert 0 <= len(found[0]) - len(whole) < 2 * 1152, "it has no count of the encoder's padding either"
    delay = len(found[0]) - len(whole)
    assert any(np.allclose(found[0][shift:][:rate], whole[:rate], atol=1e-4) for shift in range(delay + 1))
    with pytest.raises(AudioError, match="is truncated: its last frame ends at byte"):
        decode(bare[: len(bare) // 2])


def second_frame(encoded: bytes) -> int:
    """Where an mp3's first frame, which holds the count of the others, ends."""
    _, second, third, _ = encoded[:4]
    halvings = {3: 0, 2: 1, 0: 2}[second >> 3 & 3]
    rates = (8, 16, 24, 32, 40, 48, 56, 64, 80) if halvings else (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224)
    bits = 1000 * rates[(third >> 4) - 1]
    return (72 if halvings else 144) * bits // ((44100, 48000, 32000)[third >> 2 & 3] >> halvings) + (third >> 1 & 1)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "AIFF", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_never_taken_for_a_shorter_one(kind: str, share: float, tmp_path: Path):
    noise = np.random.default_rng(0).normal(scale=0.1, size=8 * RATE).astype(np.float32)
    encoded = encode(noise, RATE, kind)
    path = tmp_path / "cut"
    path.write_bytes(encoded[: int(len(encoded) * share)])
    with pytest.raises(AudioError, match=r"cut: is (damaged or )?truncated"):
        decode(path)
    with pytest.raises(AudioError, match=r"my clip: is (damaged or )?truncated"):
        decode(path.read_bytes(), "my clip")


def test_a_wav_cut_by_a_single_byte_is_truncated():
    with pytest.raises(AudioError, match="promises 16000 bytes of samples, 15999 are there"):
        decode(encode(TONE, RATE)[:-1])


def test_a_header_that_promises_far_too_much_costs_no_memory():
    encoded = bytearray(encode(TONE, RATE, "FLAC"))
    fields = int.from_bytes(encoded[18:26], "big")
    encoded[18:26] = (fields | (2**36 - 1)).to_bytes(8, "big")  # 256 GB of samples
    with pytest.raises(AudioError, match="promises 68719476735 samples, its last frame ends with sample 8000"):
        decode(bytes(encoded))


@settings(deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"RIFF\x10\0\0\0WAVE", b"OggS", b"fLaC", b"ID3", b"FORM1234AIFF", b"RF64\xff\xff\xff\xffWAVEds64"]
    ),
)
def test_no_bytes_do_anything_but_decode_or_raise_an_audio_error(content: bytes, start: bytes):
    try:
        samples, rate = decode(start + content)
    except AudioError:
        return
    assert samples.ndim == 1
    assert rate > 0


@settings(deadline=None)
@given(st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "AIFF"]), st.data())
def test_no_flipped_byte_does_anything_but_decode_or_raise_an_audio_error(kind: str, data: st.DataObject):
    encoded = bytearray(encode(TONE[:2000], RATE, kind))
    for position in data.draw(st.lists(st.integers(0, len(encoded) - 1), min_size=1, max_size=8)):
        encoded[position] = data.draw(st.integers(0, 255))
    try:
        waveform = to_waveform(bytes(encoded), RATE)
    except AudioError:
        return
    assert np.isfinite(waveform).all()


def test_a_container_that_points_before_its_beginning_is_no_unraisable_error(capfd: pytest.CaptureFixture[str]):
    encoded = bytearray(encode(TONE[:2000], RATE, "AIFF"))
    encoded[41] = 0  # the size of the common chunk: libsndfile then seeks to a negative position
    with contextlib.suppress(AudioError):
        to_waveform(bytes(encoded), RATE)
    gc.collect()
    assert "Exception ignored" not in capfd.readouterr().err
