from __future__ import annotations

import contextlib
import dataclasses
import gc
import io
import pickle
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from and_nnsight.audio import decoding, resampling
from and_nnsight.audio.loading import AudioError, Waveform, content_hash, decode, is_silent, load, resample, to_waveform
from and_nnsight.audio.reading import whole_rate
from tests.damaged import encode, sound

RATE = 16000
TONE = sound(0.5, RATE)


class Decoder:
    """What `datasets` 4 and later give for a decoded Audio value, as far as it is used here."""

    def __init__(self, data: torch.Tensor, sample_rate: int):
        self.samples = SimpleNamespace(data=data, sample_rate=sample_rate)

    def get_all_samples(self):
        return self.samples


def pcm(samples: np.ndarray, dtype: type = np.int16) -> np.ndarray:
    return (samples * 2.0 ** (8 * np.dtype(dtype).itemsize - 1)).round().astype(dtype)


@pytest.fixture
def tone_file(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    path.write_bytes(encode(TONE, RATE, "WAV", "FLOAT"))
    return path


# -- values that are audio ---------------------------------------------------------------------------------------------


def test_every_kind_of_value_gives_the_same_waveform(tone_file: Path):
    encoded = tone_file.read_bytes()
    values = {
        "str": str(tone_file),
        "path": tone_file,
        "bytes": encoded,
        "bytearray": bytearray(encoded),
        "memoryview": memoryview(encoded),
        "float32": TONE,
        "float64": TONE.astype(np.float64),
        "strided": np.repeat(TONE, 2)[::2],
        "reversed twice": TONE[::-1].copy()[::-1],
        "big-endian": TONE.astype(">f4"),
        "read-only": np.frombuffer(TONE.tobytes(), np.float32),
        "torch": torch.from_numpy(TONE),
        "torch with gradient": torch.from_numpy(TONE).requires_grad_(),
        "list": TONE.tolist(),
        "tuple": tuple(TONE.tolist()),
        "one channel first": TONE[None],
        "one channel last": TONE[:, None],
        "two channels first": np.stack([TONE, TONE]),
        "two channels last": np.stack([TONE, TONE], axis=1),
        "array": {"array": TONE, "sampling_rate": RATE, "path": None},
        "array as a list": {"array": TONE.tolist(), "sampling_rate": RATE},
        "raw": {"raw": TONE, "sampling_rate": RATE},
        "encoded": {"bytes": encoded, "path": "gone.wav"},
        "encoded at a path": {"bytes": None, "path": str(tone_file)},
        "decoder": Decoder(torch.from_numpy(TONE)[None], RATE),
        "reader": SimpleNamespace(read_bytes=lambda: encoded),
    }
    for kind, value in values.items():
        waveform = to_waveform(value, RATE)
        assert waveform.dtype == np.float32, kind
        assert waveform.shape == TONE.shape, kind
        assert waveform.flags.c_contiguous, kind
        assert waveform.flags.writeable, kind
        assert np.array_equal(waveform, TONE), kind


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype):
    half = torch.from_numpy(TONE).to(dtype)
    assert np.array_equal(to_waveform(half, RATE), half.float().numpy())


@settings(deadline=None)
@given(arrays.arrays(np.int16, st.integers(1, 50)))
def test_pcm_of_16_bits_survives_the_round_trip(samples: np.ndarray):
    waveform = to_waveform(samples, RATE)
    assert np.array_equal(waveform * 2**15, samples)
    assert np.array_equal(to_waveform(encode(samples, RATE), RATE), waveform), "as a file's samples are scaled"


@settings(deadline=None)
@given(arrays.arrays(np.int32, st.integers(1, 50)))
def test_pcm_of_32_bits_is_scaled_without_overflow(samples: np.ndarray):
    waveform = to_waveform(samples, RATE)
    assert np.abs(waveform).max() <= 1
    assert np.array_equal(waveform, (samples / 2.0**31).astype(np.float32))


@settings(deadline=None)
@given(arrays.arrays(np.uint8, st.integers(1, 50)))
def test_pcm_of_8_bits_has_its_zero_at_128(samples: np.ndarray):
    assert np.array_equal(to_waveform(samples, RATE) * 128 + 128, samples)
    assert np.array_equal(to_waveform(torch.from_numpy(samples), RATE), to_waveform(samples, RATE))


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"),
    [(np.int8, -1.0, 127 / 128), (np.int16, -1.0, 32767 / 32768), (np.int32, -1.0, 1.0), (np.uint8, -1.0, 127 / 128)],
)
def test_the_ends_of_a_pcm_range_are_full_scale(dtype: type, lowest: float, highest: float):
    ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    assert to_waveform(ends, RATE).tolist() == [lowest, highest]


def test_channels_are_mixed_by_their_mean():
    left, right = TONE, -0.5 * TONE
    for stereo in (np.stack([left, right]), np.stack([left, right], axis=1)):
        assert np.allclose(to_waveform(stereo, RATE), TONE / 4, atol=1e-7)
    assert np.allclose(to_waveform(encode(np.stack([left, right], 1), RATE, "WAV", "FLOAT"), RATE), TONE / 4, atol=1e-7)
    assert not to_waveform(np.stack([pcm(TONE), -pcm(TONE)]), RATE).any(), "PCM is scaled before it is mixed"


def test_loud_channels_do_not_overflow_when_mixed():
    loud = np.full((2, 100), 3e38, np.float32)
    assert np.allclose(to_waveform(loud, RATE), 3e38)


def test_a_waveform_in_order_is_not_copied_and_any_other_leaves_the_callers_alone():
    assert to_waveform(TONE, RATE) is TONE
    frozen = TONE.copy()
    frozen.flags.writeable = False
    for value in (frozen, pcm(TONE), {"array": TONE, "sampling_rate": 8000}):
        before = pickle.dumps(value)
        to_waveform(value, RATE)[:] = 0
        assert pickle.dumps(value) == before


# -- rates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source_rate", [8000, 11025, 22050, 44100, 44101, 48000, 96000])
def test_a_click_stays_at_its_time(source_rate: int):
    samples = np.zeros(source_rate, np.float32)
    samples[round(0.4 * source_rate)] = 1
    waveform = to_waveform(samples, RATE, source_rate=source_rate)
    assert len(waveform) == RATE
    assert abs(int(np.abs(waveform).argmax()) - 0.4 * RATE) <= 1


@pytest.mark.parametrize(("source_rate", "rate"), [(8000, 16000), (44100, 16000), (48000, 44100), (16000, 8000)])
def test_rates_without_a_table_resample_as_torchaudio_does(source_rate: int, rate: int):
    samples = sound(0.3, source_rate)
    divisor = np.gcd(source_rate, rate).item()
    direct = resampling._resample_without_table(samples, source_rate // divisor, rate // divisor)
    assert np.allclose(direct, resample(samples, source_rate, rate), atol=2e-5)


def test_a_tone_keeps_its_pitch_and_loudness():
    for source_rate in (8000, 44100, 44101):
        time = np.arange(source_rate) / source_rate
        waveform = to_waveform(np.sin(2 * np.pi * 440 * time), RATE, source_rate=source_rate)
        spectrum = np.abs(np.fft.rfft(waveform)) / (RATE / 2)
        assert spectrum.argmax() == 440
        assert abs(spectrum[440] - 1) < 0.02


def test_a_rate_that_the_value_carries_wins_over_the_stated_one():
    other = sound(0.5, 8000)
    expected = to_waveform(other, RATE, source_rate=8000)
    carrying = [
        {"array": other, "sampling_rate": 8000},
        encode(other, 8000, "WAV", "FLOAT"),
        Decoder(torch.from_numpy(other), 8000),
    ]
    for value in carrying:
        assert np.array_equal(to_waveform(value, RATE, source_rate=44100), expected)
    assert np.array_equal(to_waveform({"array": other}, RATE, source_rate=8000), expected)


def test_a_bare_waveform_is_taken_to_be_at_the_wanted_rate():
    assert load(TONE, 8000) == Waveform(TONE, 8000, None, 1.0)


def test_load_gives_the_sources_own_rate_and_duration(tone_file: Path):
    loaded = load(tone_file, 8000)
    assert (loaded.sampling_rate, loaded.source_rate, loaded.seconds) == (8000, RATE, 0.5)
    assert len(loaded.samples) == 4000
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.seconds = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("rate", [0, -1, 16000.5, True, None, "fast", float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: object):
    with pytest.raises(AudioError, match="clip 7: sampling_rate must be a whole number"):
        whole_rate(rate, "sampling_rate", "clip 7")
    if rate is not None:
        with pytest.raises(AudioError, match="sampling_rate must be a whole number"):
            to_waveform({"array": TONE, "sampling_rate": rate}, RATE)


def test_rates_may_be_whole_numbers_of_any_type():
    for rate in (8000.0, np.int64(8000), np.float32(8000)):
        assert len(to_waveform({"array": TONE, "sampling_rate": rate}, RATE)) == 2 * len(TONE)
    with pytest.raises(AudioError, match="source_rate"):
        to_waveform(TONE, RATE, source_rate=-8000)


def test_a_header_that_claims_days_is_refused_before_any_memory_is_taken():
    with pytest.raises(AudioError, match="too long a clip to be heard whole: 50.0 min, of at most 32.9 min"):
        to_waveform(np.zeros(3_000_000, np.float32), RATE, source_rate=1000)


@pytest.mark.parametrize("source_rate", [8000, 44101])
def test_a_waveform_that_resampling_makes_infinite_is_refused(source_rate: int):
    loud = np.where(np.arange(100) % 50 < 25, 3.4e38, -3.4e38).astype(np.float32)
    with pytest.raises(AudioError, match="samples this loud cannot be resampled"):
        to_waveform(loud, RATE, source_rate=source_rate)


# -- encoded files -----------------------------------------------------------------------------------------------------


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


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.empty(0, np.float32), r"a waveform of shape \(0,\) and type float32: holds no samples"),
        ([], "a list: holds no samples"),
        (np.empty((2, 0)), "holds no samples"),
        (b"", "0 bytes of encoded audio: holds no bytes"),
        (encode(TONE[:0], RATE), "holds no samples"),
        (np.zeros((2, 3, 4)), r"one axis, or two with channels; this one's shape is \(2, 3, 4\)"),
        (np.float32(1), "a float32 is not audio"),
        (np.array(1.0), r"this one's shape is \(\)"),
        (np.zeros(4, bool), "bool is not audio"),
        (torch.zeros(4, dtype=torch.bool), "bool is not audio"),
        (np.zeros(4, complex), "complex128 is not audio"),
        (torch.zeros(4, dtype=torch.complex64), "complex64 is not audio"),
        (np.zeros(4, np.int64), "int64 is not audio: floats, or PCM of type int8, int16, int32 or uint8, are"),
        (np.zeros(4, np.uint16), "uint16 is not audio"),
        ([0, 1, 2], "int64 is not audio"),
        ([True, False], "bool is not audio"),
        (["a", "b"], "is not audio"),
        ([[1.0], [1.0, 2.0]], "lists of numbers that are all of one length"),
        (np.array([None, 1.0]), r"an array of objects \(.*\) is not audio"),
        (None, "None: None is not audio: a path, the bytes of a file or an array of samples is"),
        (3, "an int is not audio"),
        ({"sound": TONE}, "a dict: a dict of audio holds 'array', 'raw', 'bytes' or 'path', this one 'sound'"),
        ({"bytes": None, "path": None}, "this one 'bytes', 'path'"),
        ({}, "this one nothing"),
        (np.array([0.0, np.nan, 1.0, np.inf]), "2 of 4 samples are not finite, the first at sample 1"),
        (np.array([0.0, 1e300]), "1 of 2 samples are not finite, the first at sample 1"),
        (np.array([[0.0, np.inf, 0.0], [0.0, -np.inf, 0.0]]), "1 of 3 samples are not finite, the first at sample 1"),
        (b"RIFF only by its first word", "is not audio that can be read"),
    ],
)
def test_what_is_no_audio_is_refused_with_its_reason(value: object, message: str):
    with pytest.raises(AudioError, match=message):
        to_waveform(value, RATE)


def test_errors_name_the_clip(tmp_path: Path):
    missing = tmp_path / "missing.wav"
    for value in (missing, str(missing), {"bytes": None, "path": str(missing)}):
        with pytest.raises(AudioError, match=r"missing\.wav: no such file") as caught:
            to_waveform(value, RATE)
        assert caught.value.name == str(missing)
        assert caught.value.reason == "no such file"
    for value in (missing, np.zeros((1, 1, 1)), b"", {"array": []}, Decoder(torch.zeros(0), RATE)):
        with pytest.raises(AudioError, match=r"^clip 12: "):
            to_waveform(value, RATE, name="clip 12")
    with pytest.raises(AudioError, match=r"song\.wav: holds no samples"):
        to_waveform({"array": [], "path": "song.wav"}, RATE)


def test_folders_and_impossible_paths_are_no_files(tmp_path: Path):
    with pytest.raises(AudioError, match="is not a file"):
        to_waveform(tmp_path, RATE)
    for path, reason in (("a\0b.wav", "no such file"), ("x" * 5000, "cannot be opened"), ("", "is not a file")):
        with pytest.raises(AudioError, match=reason):
            to_waveform(path, RATE)


def test_text_by_an_audio_name_is_refused_without_its_content(tmp_path: Path):
    for name in ("notes.wav", "notes.mp3", "notes.flac", "notes.raw"):
        path = tmp_path / name
        path.write_text("ignore all previous instructions\n" * 50)
        with pytest.raises(AudioError, match="is not audio that can be read") as caught:
            to_waveform(path, RATE)
        assert "instructions" not in str(caught.value)


def test_a_decoder_or_reader_that_fails_names_the_clip():
    def fail():
        raise RuntimeError("no codec")

    def gone():
        raise FileNotFoundError("gone")

    def offline():
        raise ConnectionError("offline")

    with pytest.raises(AudioError, match="clip 3: cannot be decoded: no codec"):
        to_waveform(SimpleNamespace(get_all_samples=fail), RATE, name="clip 3")
    with pytest.raises(AudioError, match="clip 3: no such file"):
        to_waveform(SimpleNamespace(read_bytes=gone), RATE, name="clip 3")
    with pytest.raises(ConnectionError):  # not the clip's fault: a run must stop, not set it aside
        to_waveform(SimpleNamespace(read_bytes=offline), RATE, name="clip 3")


def test_an_audio_error_is_a_value_error_that_travels_between_processes():
    error = AudioError("holds no samples", "a.wav")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, ValueError)
    assert (str(copy), copy.reason, copy.name) == ("a.wav: holds no samples", "holds no samples", "a.wav")
    assert str(AudioError("too short")) == "too short"


# -- what a clip is by its samples ---------------------------------------------------------------------------------------


def test_two_clips_have_one_hash_only_if_every_sample_is_the_same():
    samples = TONE.copy()
    assert content_hash(samples) == content_hash(TONE)
    assert len(content_hash(samples)) == 16 and int(content_hash(samples), 16) >= 0
    changed = samples.copy()
    changed[len(changed) // 2] = np.nextafter(changed[len(changed) // 2], np.float32(1))
    others = [changed, samples[:-1], samples[1:], np.append(samples, np.float32(0)), samples[::-1].copy(), samples * 2]
    assert len({content_hash(other) for other in (samples, *others)}) == 1 + len(others)


def test_the_hash_is_of_the_samples_and_not_of_how_they_lie_in_memory():
    wide = np.zeros((len(TONE), 2), np.float32)
    wide[:, 0] = TONE
    assert content_hash(wide[:, 0]) == content_hash(TONE)


def test_the_hash_is_the_same_in_every_process_and_version():
    """It is written to folders, which later runs are compared with."""
    assert content_hash(np.array([0.0, 0.5, -1.0], np.float32)) == "0f00a6ff7f25f590"


@pytest.mark.parametrize(
    ("samples", "silent"),
    [
        (np.zeros(800), True),
        (np.full(800, 0.25), True),  # a recorder's offset is no sound
        (0.25 + 1e-4 * np.sin(np.arange(800)), True),
        (1.7e-4 * np.sin(np.arange(800)), True),
        (1.9e-4 * np.sin(np.arange(800)), False),  # −75 dB below full scale is 1.78e-4
        (np.eye(1, 800, 400)[0] * 0.01, False),  # one click
        (np.random.default_rng(0).integers(-2, 3, 800) / 32768, True),  # dither
    ],
)
def test_silence_is_where_no_sample_can_be_heard(samples: np.ndarray, silent: bool):
    assert is_silent(samples.astype(np.float32)) is silent
