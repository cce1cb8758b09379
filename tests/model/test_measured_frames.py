"""Where frames lie is measured where nothing tells it, and comes to what arithmetic gives where something does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from torch import nn

from and_nnsight import AudioModel
from and_nnsight.model.feature_steps import Steps, UnclearError, measure_steps
from and_nnsight.model.features import make_featuriser
from and_nnsight.model.measured_frames import measured_frames
from and_nnsight.model.shortened_frames import in_groups, shortened
from and_nnsight.sites.geometry import Convolved, Measured, Unplaced, from_json
from tests.architectures.proving import clicks_lie_where_seconds_say
from tests.architectures.shrinking import small
from tests.families import ast_config, whisper_config


def _opened(module: nn.Module, extractor: Any) -> AudioModel:
    return AudioModel(module.eval(), feature_extractor=extractor)


def _hubert(strides: tuple[int, ...]) -> nn.Module:
    config = small(tf.HubertConfig, conv_stride=strides, num_conv_pos_embeddings=4)
    return tf.HubertModel(config)


def test_measured_seconds_are_those_of_the_convolutions_where_these_are_known() -> None:
    # Without its convolution over positions, which hears further.
    config = small(tf.Wav2Vec2Config, num_conv_pos_embeddings=1, num_conv_pos_embedding_groups=1)
    module, extractor = tf.Wav2Vec2Model(config).eval(), tf.Wav2Vec2FeatureExtractor()
    told = AudioModel(module, feature_extractor=extractor).sites()[0].geometry
    measured = measured_frames(module, make_featuriser(module, extractor), lambda _, features: features)
    assert isinstance(told, Convolved)
    assert isinstance(measured, Measured)
    frames = np.arange(40)
    np.testing.assert_allclose(measured.times(frames), told.times(frames), atol=1e-9)


@pytest.mark.parametrize(("factor", "kernel"), [(8, 3), (4, 3), (2, 3), (4, 5)])
def test_a_conformers_frames_follow_its_subsampling(factor: int, kernel: int) -> None:
    config = small(tf.ParakeetEncoderConfig, subsampling_factor=factor, subsampling_conv_kernel_size=kernel)
    model = _opened(tf.ParakeetEncoder(config), tf.ParakeetFeatureExtractor())
    geometry = model.sites()[0].geometry
    assert isinstance(geometry, Measured)
    assert geometry.period == factor / 100
    # Each convolution reaches kernel − 1 of its own steps; a step of features is a window of 25 ms, every 10 ms.
    reach = (kernel - 1) * (factor - 1) * 0.01
    assert geometry.stops[0] - geometry.starts[0] == pytest.approx(reach + 0.025, abs=0.001)
    clicks_lie_where_seconds_say(model)


@pytest.mark.parametrize(
    ("module", "extractor", "hop"),
    [
        (lambda: _hubert((5, 2, 2, 2, 2, 2, 2)), tf.Wav2Vec2FeatureExtractor, 0.02),
        (lambda: _hubert((5, 2, 2, 2, 2, 1, 1)), tf.Wav2Vec2FeatureExtractor, 0.005),
        (lambda: _hubert((10, 4, 2, 2, 2, 2, 1)), tf.Wav2Vec2FeatureExtractor, 0.04),
        (lambda: tf.ASTModel(ast_config(time_stride=5)), None, 0.05),
        (lambda: tf.ASTModel(ast_config(time_stride=16, frequency_stride=12)), None, 0.16),
        (lambda: tf.WhisperModel(whisper_config(max_source_positions=150)), None, 0.02),
        (lambda: tf.MoonshineModel(small(tf.MoonshineConfig)), tf.Wav2Vec2FeatureExtractor, 0.024),
    ],
)
def test_a_click_moves_the_frame_at_its_time_with_other_strides(module: Any, extractor: Any, hop: float) -> None:
    torch.manual_seed(0)
    built = module()
    config = built.config
    made = extractor() if extractor else _extractor_of(config)
    model = _opened(built, made)
    assert model.sites()[0].geometry.hop == pytest.approx(hop)  # pyright: ignore[reportAttributeAccessIssue]
    clicks_lie_where_seconds_say(model)


def _extractor_of(config: Any) -> Any:
    if hasattr(config, "time_stride"):
        return tf.ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
    return tf.WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=config.max_source_positions // 50)


@pytest.mark.slow
def test_frames_of_chunks_repeat_chunk_by_chunk() -> None:
    torch.manual_seed(0)
    from transformers.models.qwen3_asr.modeling_qwen3_asr import Qwen3ASREncoder

    model = _opened(Qwen3ASREncoder(small(tf.Qwen3ASREncoderConfig)), tf.Qwen3ASRFeatureExtractor())
    geometry = model.sites()[0].geometry
    assert isinstance(geometry, Measured)
    assert (geometry.period, len(geometry.starts)) == (1.0, 13), "100 steps of 10 ms become 13 frames, not 12.5"
    ends = geometry.times(np.array([12, 13, 25, 26]))[:, 1]
    np.testing.assert_allclose(ends[2:] - ends[:2], 1.0)
    clicks_lie_where_seconds_say(model)


def _shortening() -> AudioModel:
    torch.manual_seed(0)
    config = small(tf.GraniteSpeech5CTCConfig, encoder_config={"num_hidden_layers": 3, "subsample_layers": [0, 1]})
    return _opened(tf.GraniteSpeech5ForCTC(config), tf.GraniteSpeech5FeatureExtractor())


def test_blocks_that_shorten_time_have_as_many_seconds_a_frame_as_frames_went_into_one() -> None:
    model = _shortening()
    blocks = model.sites("blocks.*")
    steps = {site.name: site.geometry.period for site in blocks}  # pyright: ignore[reportAttributeAccessIssue]
    first = steps["blocks.0.attn.hook_z"]
    assert first == 0.02
    # A block makes one frame of two between its attention and its second feed-forward.
    assert steps["blocks.0.mlp.hook_post"] == steps["blocks.1.attn.hook_z"] == 2 * first
    assert steps["blocks.1.hook_resid_post"] == steps["blocks.2.feed_forward1.hook_pre"] == 4 * first
    clicks_lie_where_seconds_say(model)


def test_frames_that_cannot_be_counted_have_no_seconds_and_say_why() -> None:
    model = _shortening()
    sites, first = model.sites(), Measured(period=0.02, starts=(0.0,), stops=(0.04,))

    def none(module: nn.Module, features: Any) -> dict[str, Any]:
        raise RuntimeError("no inputs")

    for site in shortened(sites, first, model.wrapped, model.featuriser, none):
        geometry = site.geometry
        assert isinstance(geometry, Unplaced)
        assert geometry.why == (
            "its blocks shorten the time axis as they go, and its frames could not be counted: RuntimeError: no inputs"
        )
        assert np.isnan(geometry.times(np.arange(3))).all()
        assert from_json(geometry.to_json()) == geometry


@pytest.mark.parametrize("together", [1, 2, 3, 4])
def test_a_frame_of_several_begins_with_the_first_of_them_and_ends_with_the_last(together: int) -> None:
    frames = Measured(period=0.5, starts=(-0.1, 0.2, 0.3), stops=(0.2, 0.3, 0.6))
    each = frames.times(np.arange(24))
    of_several = in_groups(frames, together).times(np.arange(24 // together))
    np.testing.assert_allclose(of_several[:, 0], each[::together, 0], atol=1e-12)
    np.testing.assert_allclose(of_several[:, 1], each[together - 1 :: together, 1], atol=1e-12)


def test_steps_of_features_are_measured_through_a_mean_that_is_taken_off() -> None:
    def featurise(wave: np.ndarray) -> np.ndarray:
        framed = np.lib.stride_tricks.sliding_window_view(wave, 400)[::160] ** 2
        energies = np.log(framed.sum(-1) + 1e-6)
        return (energies - energies.mean())[None, :, None]

    assert measure_steps(featurise, 32_000) == Steps(1, 160, 0, 400)


def test_features_that_a_click_changes_everywhere_are_unclear() -> None:
    with pytest.raises(UnclearError, match="one place in time"):
        measure_steps(lambda wave: np.abs(np.fft.rfft(wave))[None, :, None] + np.arange(3), 4_000)
