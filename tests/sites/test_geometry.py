"""Frames lie where the sound lies: on every family, and for every kind of token axis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from and_nnsight import AudioModel
from and_nnsight.sites.geometry import (
    Convolved,
    FoldedGrid,
    Geometry,
    PatchColumns,
    PatchGrid,
    Regular,
    WholeClip,
    from_json,
)
from and_nnsight.sites.site import Site, clip_frame_unit, frame_mask
from tests.families import FAMILIES
from tests.sounds_for_tests import RATE, click, noise

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def activations(model: AudioModel, site: Site, wave: np.ndarray) -> Tensor:
    seen: list[Tensor] = []
    model.run((site,), model.features(wave, RATE), lambda site, value: seen.append(value.clone()))
    return clip_frame_unit(seen[0])[0]


@pytest.mark.parametrize(
    ("name", "part"), [*((name, "hook_resid_post") for name in FAMILIES), ("clap-audio", "hook_attn_out")]
)
def test_a_click_moves_the_frames_at_its_time(name: str, part: str) -> None:
    family = FAMILIES[name]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    (site,) = model.sites(f"blocks.0.{part}")
    early, late, length = 0.43, 1.37, 1.9
    first, second = (activations(model, site, click(length, at)) for at in (early, late))
    moved = (first - second).abs().sum(-1).numpy()
    frames = np.arange(len(moved))
    times = site.geometry.times(frames)
    counts = site.geometry.valid(np.array([length]), len(frames))[0]
    middle = (early + late) / 2
    # The positional convolution, the bicubic stretching and the normalisation all spread a click a little.
    tolerance = 0.12
    for at, side in ((early, times[:, 1] < middle), (late, times[:, 0] > middle)):
        here = np.where(counts & side, moved, -np.inf)
        start, end = times[int(here.argmax())]
        assert start - tolerance <= at <= end + tolerance, f"{site.name}: {start:.2f}–{end:.2f} s for a click at {at} s"
        assert here.max() > 3 * np.median(moved[counts])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_short_clip_has_the_same_frames_alone_and_beside_a_long_one(name: str) -> None:
    family = FAMILIES[name]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    (site,) = model.sites("blocks.1.hook_resid_post")
    short, long = noise(0.6), noise(1.9, seed=1)
    alone = activations(model, site, short)
    seen: list[Tensor] = []
    model.run((site,), model.features([short, long], RATE), lambda site, value: seen.append(value.clone()))
    together = clip_frame_unit(seen[0])
    in_both = frame_mask(site, [0.6, 1.9], together.shape[1])
    by_itself = frame_mask(site, [0.6], alone.shape[0])[0]
    assert in_both[0].sum() == by_itself.sum() > 0
    assert in_both[1].sum() > 2 * in_both[0].sum()
    if model.featuriser.window_samples is not None:
        torch.testing.assert_close(together[0][in_both[0]], alone[by_itself], rtol=1e-4, atol=1e-4)


def test_frames_that_overlap_the_clip_count_and_special_tokens_do_not() -> None:
    grid = PatchGrid(special_tokens=2, columns=20, hop=0.1, span=0.175)
    valid = grid.valid(np.array([0.05, 0.1, 0.11, 2.0]), 2 + 3 * 20)
    assert not valid[:, :2].any()
    assert valid[:, 2:].reshape(4, 3, 20).sum(2).tolist() == [[1] * 3, [1] * 3, [2] * 3, [20] * 3]
    assert np.isnan(grid.times(np.array([0, 1]))).all()
    np.testing.assert_allclose(grid.times(np.array([2, 3, 22 + 5])), [[0, 0.175], [0.1, 0.275], [0.5, 0.675]])


def test_convolved_frames_follow_the_convolutions_own_arithmetic() -> None:
    geometry = Convolved(
        hop=0.02, span=0.025, kernels=(10, 3, 3, 3, 3, 2, 2), strides=(5, 2, 2, 2, 2, 2, 2), sampling_rate=16_000
    )
    assert geometry.length(np.array([399, 400, 719, 720, 16_000])).tolist() == [0, 1, 1, 2, 49]
    valid = geometry.valid(np.array([0.02, 0.05, 1.0]), 99)
    assert valid.sum(1).tolist() == [1, 2, 49], "a clip too short for a frame keeps the first"


def test_patch_columns_count_whole_columns_and_know_their_mel_bins() -> None:
    # A column is 16 spectrogram frames: 15 hops of 160 samples and a window of 400.
    geometry = PatchColumns(hop=0.16, span=0.175, kernels=(400, 16), strides=(160, 16), bands=8)
    assert geometry.length(np.array([2_799, 2_800, 5_359, 5_360, 16_000])).tolist() == [0, 8, 8, 16, 48]
    assert geometry.valid(np.array([0.1, 0.34, 1.0]), 64).sum(1).tolist() == [1, 16, 48]
    np.testing.assert_allclose(geometry.times(np.array([0, 7, 8])), [[0, 0.175], [0, 0.175], [0.16, 0.335]])
    assert geometry.mel_bins(np.array([0, 7, 8, 9])).tolist() == [[0, 16], [112, 128], [0, 16], [16, 32]]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("samples", [2_000, 2_864, 7_919, 44_101])
def test_a_resampled_clip_keeps_every_frame_it_has_alone(rate: int, samples: int) -> None:
    from and_nnsight.audio.loading import resample

    geometry = Convolved(kernels=(400,), strides=(320,))
    heard = len(resample(np.zeros(samples, np.float32), rate, 16_000))
    frames = int(geometry.length(np.array([heard]))[0])
    assert geometry.valid(np.array([samples / rate]), frames + 3).sum() == max(frames, 1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_no_length_in_seconds_gains_a_sample_by_floating_point(rate: int) -> None:
    """Of lengths one sample short of another frame, some come out of seconds · rate a hair above a whole number."""
    geometry = Convolved(0, 0.02, 0.025, sampling_rate=rate, kernels=(10, 8), strides=(5, 4))
    step = 5 * 4
    frame_samples = 10 + 5 * (8 - 1)
    short = np.arange(frame_samples - 1, frame_samples - 1 + 1_200 * step, step)
    seconds = short / rate
    assert (np.ceil(seconds * rate) > short).any(), "there are such lengths"
    frames = int(geometry.length(short[-1:] + 1)[0])
    np.testing.assert_array_equal(geometry.valid(seconds, frames).sum(1), np.maximum(geometry.length(short), 1))
    np.testing.assert_array_equal(geometry.valid((short + 1) / rate, frames).sum(1), geometry.length(short) + 1)


def test_a_folded_grid_unfolds_time_chunk_by_chunk() -> None:
    grid = FoldedGrid(rows=8, columns=4, chunks=4, hop=0.1)
    times = grid.times(np.arange(32))[:, 0].reshape(8, 4)
    np.testing.assert_allclose(times[0], [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(times[1], times[0])  # two bands a chunk
    np.testing.assert_allclose(times[2], [0.4, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(times[7], [1.2, 1.3, 1.4, 1.5])


def test_window_order_is_a_permutation_with_padding() -> None:
    whole = FoldedGrid(rows=8, columns=8, chunks=4, hop=0.1, window=4, shift=2)
    assert sorted(whole.grid_order()) == list(range(64))
    assert whole.grid_order()[0] == 2 * 8 + 2
    padded = FoldedGrid(rows=5, columns=6, chunks=1, hop=0.1, window=4)
    assert (padded.grid_order() >= 0).sum() == 30
    assert len(padded.grid_order()) == padded.windows * 16 == 64
    assert not padded.valid(np.array([10.0]), 64)[0][padded.grid_order() < 0].any()


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(),
        WholeClip(),
        Regular(hop=0.02, span=0.03),
        Convolved(kernels=(10, 3), strides=(5, 2), squeeze=2),
        PatchGrid(special_tokens=1, columns=7),
        PatchColumns(kernels=(400, 16), strides=(160, 16), bands=8),
        FoldedGrid(rows=4, columns=4, chunks=2, window=2, shift=1),
    ],
)
def test_geometries_survive_json(geometry: Geometry) -> None:
    import json

    assert from_json(json.loads(json.dumps(geometry.to_json()))) == geometry


def test_a_geometry_of_a_newer_version_is_refused() -> None:
    with pytest.raises(ValueError, match="newer version"):
        from_json({"kind": "spiral"})


def test_where_nothing_is_known_every_frame_counts_and_none_has_seconds() -> None:
    assert Geometry().valid(np.array([0.1, 5.0]), 7).all()
    assert np.isnan(Geometry().times(np.arange(3))).all()


def test_which_frames_have_seconds_is_said_by_their_geometry() -> None:
    from and_nnsight.sites.geometry import _KINDS, FoldedGrid

    for kind, geometry in _KINDS.items():
        whole = geometry(rows=4, columns=4) if geometry is FoldedGrid else geometry()  # pyright: ignore
        times = whole.times(np.arange(whole.special_tokens, whole.special_tokens + 2))
        assert geometry.in_time == bool(np.isfinite(times).all()), kind
