"""The synthetic sounds: reproducible, varied, and true to what they say of themselves (measured on the waveform)."""

from __future__ import annotations

import functools
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

from and_nnsight.demo import CLASSES, SAMPLING_RATE, Sound, make_sound, make_sounds
from and_nnsight.demo.captions import LOUDNESS_WORDS, PITCH_WORDS, beginning_word, loudness_word, pitch_word

SEED = 11
STEADY_TONES = ("low tone", "middle tone", "high tone", "beeps", "swelling tone", "slow tremolo", "bell")
ABRUPT = tuple(label for label in CLASSES if label not in ("surf", "swelling tone", "faint hiss"))
TRAINS = ("slow clicks", "fast clicks", "hi-hat", "drum", "chirp train", "beeps", "bird chirps", "knock pairs")


@functools.cache
def some(*labels: str, per_class: int = 6) -> tuple[Sound, ...]:
    return tuple(make_sounds(per_class, SEED, labels))


def sounding_part(sound: Sound) -> np.ndarray:
    start, seconds = sound.attributes["sound_start_seconds"], sound.attributes["sound_seconds"]
    return sound.waveform[int(start * SAMPLING_RATE) : int((start + seconds) * SAMPLING_RATE)].astype(np.float64)


def power_spectrum(signal: np.ndarray, padded: int = 2**18) -> tuple[np.ndarray, np.ndarray]:
    power = np.square(np.abs(np.fft.rfft(signal * np.hanning(len(signal)), padded)))
    return np.fft.rfftfreq(padded, 1 / SAMPLING_RATE), power


def dominant_hz(signal: np.ndarray) -> float:
    frequencies, power = power_spectrum(signal)
    return float(frequencies[power.argmax()])


def envelope(signal: np.ndarray, seconds: float) -> np.ndarray:
    """The RMS in a window that slides by one sample."""
    width = round(seconds * SAMPLING_RATE)
    return np.sqrt(np.maximum(0, np.convolve(np.square(signal.astype(np.float64)), np.ones(width) / width, "same")))


def counted_onsets(signal: np.ndarray) -> int:
    """Times at which the envelope comes above a tenth of its peak, after 15 ms or more below."""
    loud = np.flatnonzero(envelope(signal, 0.004) > 0.1 * envelope(signal, 0.004).max())
    return 1 + int(np.count_nonzero(np.diff(loud) > 0.015 * SAMPLING_RATE))


def envelope_rate_hz(sound: Sound) -> float:
    """The strongest rate between 1.5 and 60 Hz at which the level of the sounding part swings."""
    level = envelope(sounding_part(sound), 0.008)
    frequencies, power = power_spectrum(level - level.mean())
    heard = (frequencies > 1.5) & (frequencies < 60)
    return float(frequencies[heard][power[heard].argmax()])


@pytest.mark.parametrize("label", CLASSES)
def test_a_clip_is_settled_by_label_index_and_seed(label: str) -> None:
    first, again = make_sound(label, 3, SEED), make_sound(label, 3, SEED)
    assert first.waveform.tobytes() == again.waveform.tobytes()
    assert (first.caption, first.attributes) == (again.caption, again.attributes)
    assert first.waveform.tobytes() != make_sound(label, 4, SEED).waveform.tobytes()
    assert first.waveform.tobytes() != make_sound(label, 3, SEED + 1).waveform.tobytes()


def test_a_clip_does_not_depend_on_what_else_is_made() -> None:
    few, many = some("rain", "bell", per_class=2), some("siren", "bell", "rain", per_class=3)
    for sound in few:
        assert any(np.array_equal(sound.waveform, other.waveform) for other in many)


def test_a_clip_is_the_same_in_another_process() -> None:
    code = f"from and_nnsight.demo import make_sound; print(make_sound('rain', 2, {SEED}).waveform.tobytes().hex())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == make_sound("rain", 2, SEED).waveform.tobytes().hex()


def test_a_sound_travels_between_processes() -> None:
    sound = make_sound("siren", 0, SEED)
    arrived = pickle.loads(pickle.dumps(sound))
    assert np.array_equal(arrived.waveform, sound.waveform)
    assert (arrived.label, arrived.caption, arrived.attributes) == (sound.label, sound.caption, sound.attributes)


def test_classes_take_turns() -> None:
    assert [sound.label for sound in make_sounds(2, SEED)] == [*CLASSES, *CLASSES]


def test_there_are_many_classes_without_repetition() -> None:
    assert len(CLASSES) == len(set(CLASSES)) >= 24


@pytest.mark.parametrize("label", CLASSES)
def test_clips_are_two_seconds_of_float32_in_16_bit_steps(label: str) -> None:
    for sound in some(label):
        assert sound.waveform.dtype == np.float32
        assert sound.waveform.shape == (2 * SAMPLING_RATE,)
        assert sound.sampling_rate == SAMPLING_RATE
        assert np.abs(sound.waveform).max() <= 1
        steps = sound.waveform * 2**15
        assert np.array_equal(steps, np.round(steps))


@pytest.mark.parametrize("label", CLASSES)
def test_clips_of_a_class_vary(label: str) -> None:
    sounds = some(label)
    assert len({sound.attributes["level_dbfs"] for sound in sounds}) == len(sounds)
    if label != "faint hiss":
        assert len({sound.attributes["sound_start_seconds"] for sound in sounds}) == len(sounds)


@pytest.mark.parametrize("label", STEADY_TONES)
def test_the_strongest_frequency_of_a_tone_is_its_pitch(label: str) -> None:
    for sound in some(label):
        assert dominant_hz(sounding_part(sound)) == pytest.approx(sound.attributes["pitch_hz"], abs=3)


@pytest.mark.parametrize(("label", "tolerance_hz"), [("buzz", 1), ("plucked string", 2), ("engine", 1)])
def test_a_waveform_with_harmonics_repeats_at_its_pitch(label: str, tolerance_hz: float) -> None:
    for sound in some(label):
        power = np.square(np.abs(np.fft.rfft(sounding_part(sound), 2**17)))
        likeness = np.fft.irfft(power)[: SAMPLING_RATE // 20]
        shortest = round(SAMPLING_RATE / sound.attributes["pitch_hz"] * 0.6)
        longest = round(SAMPLING_RATE / sound.attributes["pitch_hz"] * 1.4)
        lag = shortest + int(likeness[shortest:longest].argmax())
        # A lag is a whole number of samples, so the pitch it stands for is uncertain by half a sample.
        rounding = sound.attributes["pitch_hz"] ** 2 / SAMPLING_RATE
        assert SAMPLING_RATE / lag == pytest.approx(sound.attributes["pitch_hz"], abs=tolerance_hz + rounding)


@pytest.mark.parametrize("label", ["rising sweep", "falling sweep"])
def test_a_sweep_goes_from_one_end_of_its_range_to_the_other(label: str) -> None:
    for sound in some(label):
        part = sounding_part(sound)
        length = round(0.06 * SAMPLING_RATE)
        ends = [sound.attributes["pitch_low_hz"], sound.attributes["pitch_high_hz"]]
        if label == "falling sweep":
            ends.reverse()
        assert [dominant_hz(part[:length]), dominant_hz(part[-length:])] == pytest.approx(ends, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["vibrato", "siren", "chirp train", "bird chirps"])
def test_a_moving_pitch_stays_in_its_range_and_fills_it(label: str) -> None:
    for sound in some(label):
        frequencies, power = power_spectrum(sound.waveform)
        low, high = sound.attributes["pitch_low_hz"], sound.attributes["pitch_high_hz"]
        share = power * (frequencies < 1.1 * high)  # a siren's harmonics lie above
        assert share[frequencies < 0.9 * low].sum() < 0.02 * share.sum()
        moments = [dominant_hz(part) for part in sound.waveform.reshape(-1, 320) if np.abs(part).max() > 0.02]
        assert min(moments) < low + 0.3 * (high - low)
        assert max(moments) > high - 0.3 * (high - low)


@pytest.mark.parametrize(
    ("label", "intervals"), [("major chord", (4, 7)), ("minor chord", (3, 7)), ("dissonant cluster", (1, 2))]
)
def test_a_chord_has_its_notes_and_no_others(label: str, intervals: tuple[int, ...]) -> None:
    for sound in some(label):
        root = sound.attributes["pitch_hz"]
        frequencies, power = power_spectrum(sounding_part(sound))
        notes = [root * 2 ** (interval / 12) for interval in (0, *intervals)]
        near = np.any([np.abs(frequencies - note) < 4 for note in notes], axis=0)
        fundamentals = (frequencies > 0.9 * root) & (frequencies < 1.8 * root)
        assert power[near].sum() > 0.9 * power[fundamentals].sum()
        for note in notes:
            assert power[np.abs(frequencies - note) < 4].max() > 0.3 * power.max()
        assert sound.attributes["pitch_high_hz"] == pytest.approx(notes[-1])


@pytest.mark.parametrize("label", ["low noise", "middle noise", "high noise", "white noise", "surf", "hi-hat"])
def test_noise_lies_in_its_band(label: str) -> None:
    for sound in some(label):
        frequencies, power = power_spectrum(sound.waveform)
        low, high = sound.attributes["band_low_hz"], sound.attributes["band_high_hz"]
        inside = (frequencies > low - 30) & (frequencies < high + 30)
        assert power[inside].sum() > 0.97 * power.sum()
        middle = (frequencies > low) & (frequencies < (low + high) / 2)
        assert power[middle].sum() == pytest.approx(0.5 * power.sum(), rel=0.3)


@pytest.mark.parametrize("label", CLASSES)
def test_the_level_is_the_rms_while_it_sounds(label: str) -> None:
    for sound in some(label):
        frames = sound.waveform.astype(np.float64).reshape(200, 160)
        power = np.mean(np.square(frames), axis=1)
        heard = power[power >= power.max() / 1000]
        assert sound.attributes["level_dbfs"] == pytest.approx(10 * np.log10(heard.mean()), abs=0.3)
        assert sound.attributes["silence_share"] == pytest.approx(1 - len(heard) / 200, abs=0.03)
        peak = np.abs(sound.waveform).max()
        assert sound.attributes["peak_dbfs"] == pytest.approx(20 * np.log10(peak), abs=0.5)


@pytest.mark.parametrize("label", ["low tone", "middle tone", "buzz", "white noise", "vibrato"])
def test_the_level_of_steady_sounds_is_that_of_their_middle(label: str) -> None:
    for sound in some(label):
        part = sounding_part(sound)
        middle = part[len(part) // 8 : -len(part) // 8]
        assert sound.attributes["level_dbfs"] == pytest.approx(10 * np.log10(np.mean(middle**2)), abs=0.4)


@pytest.mark.parametrize("label", CLASSES)
def test_brightness_is_the_spectral_centroid(label: str) -> None:
    for sound in some(label):
        power = np.square(np.abs(np.fft.rfft(sound.waveform)))
        frequencies = np.fft.rfftfreq(len(sound.waveform), 1 / SAMPLING_RATE)
        # The faint background weighs a little on the quietest and sparsest clips.
        assert sound.attributes["brightness_hz"] == pytest.approx(
            np.average(frequencies, weights=power), rel=0.05, abs=5
        )


@pytest.mark.parametrize("label", ABRUPT)
def test_nothing_sounds_before_the_start_and_something_does_soon_after(label: str) -> None:
    for sound in some(label):
        start = round(sound.attributes["sound_start_seconds"] * SAMPLING_RATE)
        peak = np.abs(sound.waveform).max()
        assert np.abs(sound.waveform[: max(0, start - 1)]).max(initial=0) < 0.03 * peak + 6e-4
        # A tremolo may begin at the bottom of its swing, rain between two drops.
        soon = round((0.2 if "tremolo" in label or label == "rain" else 0.03) * SAMPLING_RATE)
        assert np.abs(sound.waveform[start : start + soon]).max() > 0.1 * peak


@pytest.mark.parametrize("label", CLASSES)
def test_nothing_sounds_after_the_end(label: str) -> None:
    for sound in some(label):
        end = sound.attributes["sound_start_seconds"] + sound.attributes["sound_seconds"]
        assert end <= 2.0 + 1e-9
        level = envelope(sound.waveform, 0.01)
        assert level[round(end * SAMPLING_RATE) + 161 :].max(initial=0) <= 0.06 * level.max()


@pytest.mark.parametrize("label", TRAINS)
def test_separate_events_can_be_counted(label: str) -> None:
    for sound in some(label):
        assert counted_onsets(sound.waveform) == sound.attributes["onsets"]


@pytest.mark.parametrize("label", ["slow clicks", "fast clicks", "hi-hat", "drum", "chirp train", "beeps"])
def test_events_of_a_train_come_at_its_rate(label: str) -> None:
    for sound in some(label):
        level = envelope(sound.waveform, 0.004)
        loud = np.flatnonzero(level > 0.1 * level.max())
        starts = loud[np.concatenate(([True], np.diff(loud) > 0.015 * SAMPLING_RATE))] / SAMPLING_RATE
        assert 1 / np.diff(starts).mean() == pytest.approx(sound.attributes["modulation_rate_hz"], rel=0.02)


@pytest.mark.parametrize("label", ["slow tremolo", "fast tremolo", "engine"])
def test_the_level_swings_at_the_modulation_rate(label: str) -> None:
    for sound in some(label):
        assert envelope_rate_hz(sound) == pytest.approx(sound.attributes["modulation_rate_hz"], rel=0.05, abs=0.15)


@pytest.mark.parametrize("label", ["slow tremolo", "fast tremolo"])
def test_a_tremolo_falls_by_its_depth_and_not_to_silence(label: str) -> None:
    for sound in some(label):
        level = envelope(sounding_part(sound), 0.01)[800:-800]
        assert 1 - level.min() / level.max() == pytest.approx(sound.attributes["modulation_depth"], abs=0.06)


def test_knocks_come_in_pairs() -> None:
    for sound in some("knock pairs"):
        level = envelope(sound.waveform, 0.004)
        loud = np.flatnonzero(level > 0.1 * level.max())
        starts = loud[np.concatenate(([True], np.diff(loud) > 0.015 * SAMPLING_RATE))] / SAMPLING_RATE
        gap, apart = sound.attributes["pair_gap_seconds"], sound.attributes["pairs_apart_seconds"]
        assert list(np.diff(starts)) == pytest.approx([gap, apart - gap, gap], abs=0.005)


@pytest.mark.parametrize("label", ["swelling tone", "surf"])
def test_a_swell_takes_its_attack_to_reach_full_level(label: str) -> None:
    for sound in some(label):
        level = envelope(sounding_part(sound), 0.05)
        half_way = np.flatnonzero(level > 0.5 * np.quantile(level, 0.99))[0] / SAMPLING_RATE
        assert 0.3 < half_way / sound.attributes["attack_seconds"] < 0.8


def spectral_flatness(signal: np.ndarray) -> float:
    """1 for white noise, near 0 for tones."""
    power = np.square(np.abs(np.fft.rfft(signal * np.hanning(len(signal))))) + 1e-12
    return float(np.exp(np.log(power).mean()) / power.mean())


def test_noisy_sounds_are_flatter_than_tonal_ones() -> None:
    flatness = {label: [spectral_flatness(sounding_part(s)) for s in some(label)] for label in CLASSES}
    noisy = [value for label in ("white noise", "rain", "surf", "faint hiss") for value in flatness[label]]
    tonal = [value for label in ("low tone", "major chord", "vibrato", "buzz", "bell") for value in flatness[label]]
    assert min(noisy) > 10 * max(tonal)


@pytest.mark.parametrize("label", CLASSES)
def test_shares_lie_between_0_and_1_and_numbers_are_finite(label: str) -> None:
    for sound in some(label):
        for name, value in sound.attributes.items():
            assert isinstance(value, str) or np.isfinite(value), name
        assert 0 <= sound.attributes["noisiness"] <= 1
        assert 0 <= sound.attributes["silence_share"] < 1
        assert ("modulation_rate_hz" in sound.attributes) == (sound.attributes["modulation"] != "none")
        assert sound.attributes["pitched"] == ("pitch_hz" in sound.attributes or "pitch_low_hz" in sound.attributes)


@pytest.mark.parametrize("label", CLASSES)
def test_captions_say_nothing_false(label: str) -> None:
    for sound in some(label, per_class=20):
        caption, attributes = sound.caption, sound.attributes
        assert re.fullmatch(r"A [^{}]+[^ ]\.", caption) and "  " not in caption
        quiet_enough = caption.replace("moderately loud", "MODERATE")
        said = {word for _, word in LOUDNESS_WORDS if re.search(rf"\b{word}\b", quiet_enough)}
        said |= {"moderately loud"} if "MODERATE" in quiet_enough else set()
        assert said == {loudness_word(attributes["level_dbfs"])}
        for _, word in PITCH_WORDS:
            if word in caption:
                assert word == pitch_word(attributes["pitch_hz"])
        for word in ("abruptly", "gradually"):
            if word in caption:
                assert word == beginning_word(attributes["attack_seconds"])
        assert ("silence between" not in caption) or attributes["silence_share"] > 0.2
        known = [float(value) for value in attributes.values() if not isinstance(value, str)]
        for number in re.findall(r"\d+(?:\.\d+)?", caption):
            decimals = len(number.partition(".")[2])
            assert any(f"{value:.{decimals}f}" == number for value in known), number


def test_the_words_have_the_documented_thresholds() -> None:
    assert [loudness_word(level) for level in (-12.0, -18.0, -18.1, -26.1, -45.1)] == [
        "loud",
        "loud",
        "moderately loud",
        "quiet",
        "faint",
    ]
    assert [pitch_word(pitch) for pitch in (299.0, 300.0, 1500.0)] == ["low-pitched", "mid-pitched", "high-pitched"]
    assert [beginning_word(seconds) for seconds in (0.02, 0.1, 0.3)] == ["abruptly", "", "gradually"]


def test_an_unknown_class_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown class of sound 'meow'.*low tone"):
        make_sound("meow", 0)


@pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(index: int, seed: int) -> None:
    with pytest.raises(ValueError, match=f"index={index}, seed={seed}"):
        make_sound("bell", index, seed)


def test_importing_the_sounds_does_not_import_torch_or_transformers() -> None:
    code = "import sys, and_nnsight.demo; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
