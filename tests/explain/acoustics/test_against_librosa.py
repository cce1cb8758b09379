"""What is measured by hand, against librosa: pitch, spectrum and envelope of synthetic and of real sounds.

Real sounds are the audio files of the folder that the variable AND_NNSIGHT_REAL_SOUNDS names.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from and_nnsight.demo import CLASSES, make_sound
from and_nnsight.explain.acoustics._envelope import STEP, _blocks, course
from and_nnsight.explain.acoustics._pitch import HOP_SECONDS, pitches
from and_nnsight.explain.acoustics._spectrum import moments
from and_nnsight.explain.acoustics.measuring import measure

librosa = pytest.importorskip("librosa", reason="librosa, of the extra `test`, is not installed")
pytestmark = pytest.mark.slow  # librosa compiles its YIN first

STEADY = (
    "low tone", "middle tone", "beeps", "slow tremolo", "fast tremolo", "swelling tone", "buzz", "plucked string",
)  # fmt: skip
"""Classes of one pitch below 1.5 kHz: above, YIN errs by octaves."""
ROWS = ("chirp train", "beeps", "bird chirps", "slow clicks", "hi-hat", "drum", "knock pairs")
MOST_REAL = 40


def sound(label: str) -> tuple[np.ndarray, int]:
    made = make_sound(label, 0, 0)
    return made.waveform - made.waveform.mean(), made.sampling_rate


def real_sounds() -> Iterator[tuple[np.ndarray, int]]:
    """Mono clips that are not silent, spread over the folder; the test is skipped where there is none."""
    folder = os.environ.get("AND_NNSIGHT_REAL_SOUNDS")
    files = sorted(Path(folder).rglob("*.wav")) if folder else []
    if not files:
        pytest.skip("AND_NNSIGHT_REAL_SOUNDS names no folder of WAV files")
    for file in files[:: -(-len(files) // MOST_REAL)]:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        mono = samples.mean(1)
        if np.abs(mono).max() > 1e-3:
            yield mono - mono.mean(), rate


def octaves_from_yin(samples: np.ndarray, rate: int) -> np.ndarray:
    """How far our pitches lie from YIN's, in the frames that are loud and have one."""
    ours = pitches(torch.from_numpy(samples), rate)[0].numpy()
    framing = {"frame_length": 2048, "hop_length": round(rate * HOP_SECONDS)}
    theirs = librosa.yin(samples, fmin=50, fmax=5000, sr=rate, **framing)[: len(ours)]
    level = librosa.feature.rms(y=samples, **framing)[0][: len(ours)]
    return np.abs(np.log2(ours / theirs))[(level > 0.1 * level.max()) & ~np.isnan(ours)]


def centroid_and_spread(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """librosa's, of one frame that is the whole clip."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64)))[:, None] ** 2
    options = {"S": power, "freq": np.arange(len(power)) * (rate / len(samples))}
    centroid = librosa.feature.spectral_centroid(**options)
    return float(centroid[0, 0]), float(librosa.feature.spectral_bandwidth(**options, centroid=centroid)[0, 0])


def power_of_steps(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Ours and librosa's, where a step is a whole number of samples."""
    step = round(STEP * rate)
    count = len(samples) // step
    whole = samples[: count * step]
    theirs = librosa.feature.rms(y=whole, frame_length=step, hop_length=step, center=False)[0] ** 2
    return _blocks(samples, rate)[:count], theirs


@pytest.mark.parametrize("label", STEADY)
def test_pitches_of_steady_sounds_are_yins(label: str) -> None:
    """Within 2 % in 95 of 100 frames, within 0.5 % in half of them."""
    off = octaves_from_yin(*sound(label))
    assert len(off) > 10
    assert (off < 0.03).mean() >= 0.95
    assert np.median(off) < 0.007


def test_pitches_of_real_sounds_are_yins() -> None:
    """Of the sounds that have a pitch for the most part, nine in ten: within 2 % in half of the frames."""
    medians = [np.median(off) for off in (octaves_from_yin(*one) for one in real_sounds()) if len(off) > 20]
    assert len(medians) >= 5
    assert np.mean(np.array(medians) < 0.03) >= 0.9


@pytest.mark.parametrize("label", CLASSES)
def test_the_moments_of_the_spectrum_are_librosas(label: str) -> None:
    """Of the whole clip to rounding; the centroid also that of short frames weighed by their power, within 0.5 %."""
    samples, rate = sound(label)
    centroid, spread = moments(torch.from_numpy(samples), rate)
    assert (centroid, spread) == pytest.approx(centroid_and_spread(samples, rate), rel=1e-5)
    power = np.abs(librosa.stft(samples, n_fft=2048)) ** 2
    of_frames = librosa.feature.spectral_centroid(S=power, sr=rate)[0]
    assert centroid == pytest.approx(np.average(of_frames, weights=power.sum(0)), rel=0.005)


def test_the_moments_of_the_spectrum_of_real_sounds_are_librosas() -> None:
    for samples, rate in real_sounds():
        ours = moments(torch.from_numpy(samples), rate)
        assert ours == pytest.approx(centroid_and_spread(samples, rate), rel=1e-5)


@pytest.mark.parametrize("label", CLASSES)
def test_the_envelope_is_librosas(label: str) -> None:
    """The power of every step to a millionth of the highest, the loudest 50 ms to 0.1 dB."""
    samples, rate = sound(label)
    ours, theirs = power_of_steps(samples, rate)
    assert ours == pytest.approx(theirs, abs=1e-6 * float(theirs.max()))
    loudest = librosa.feature.rms(y=samples, frame_length=rate // 20, hop_length=rate // 100, center=False).max()
    assert measure(samples.astype(np.float32), rate).loudest_dbfs == pytest.approx(20 * np.log10(loudest), abs=0.1)


def test_the_envelope_of_real_sounds_is_librosas() -> None:
    for samples, rate in real_sounds():
        if (rate * STEP).is_integer():
            ours, theirs = power_of_steps(samples, rate)
            assert ours == pytest.approx(theirs, abs=1e-6 * float(theirs.max()))


@pytest.mark.parametrize("label", ROWS)
def test_onsets_are_where_librosa_has_some(label: str) -> None:
    """Each within 50 ms of one of librosa's, which also has some of its own; it has none at the clip's beginning."""
    samples, rate = sound(label)
    frame = round(0.01 * rate)
    level = librosa.feature.rms(y=samples, frame_length=frame, hop_length=frame, center=False)[0] ** 2
    ours = course(samples, rate, level >= 1e-3 * level.max(), 0.01).onset_seconds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of librosa, of empty mel filters
        theirs = librosa.onset.onset_detect(y=samples, sr=rate, hop_length=128, units="time")
    assert len(ours) >= 3
    assert all(np.abs(theirs - onset).min() < 0.05 for onset in ours if onset > 0.06)
