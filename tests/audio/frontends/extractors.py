"""Extractors of every family that a front end equals, with the settings that it may have, and sounds to try them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import transformers as tf

from and_nnsight.audio.frontends import FrontEnd
from and_nnsight.demo import tiny_ast_path
from and_nnsight.model.extractors import load_extractor
from and_nnsight.portable import featurise

EXTRACTORS: dict[str, Callable[[], Any]] = {
    "AST": tf.ASTFeatureExtractor,
    "the embedded AST": lambda: load_extractor(str(tiny_ast_path())),
    "AST, as it is": lambda: tf.ASTFeatureExtractor(num_mel_bins=23, max_length=97, do_normalize=False),
    "AST, other moments": lambda: tf.ASTFeatureExtractor(num_mel_bins=64, max_length=50, mean=1.5, std=0.25),
    "AST at 32 kHz": lambda: tf.ASTFeatureExtractor(sampling_rate=32_000, num_mel_bins=40, max_length=60),
    "Whisper": lambda: tf.WhisperFeatureExtractor(chunk_length=5),
    "Whisper of 128 bins": lambda: tf.WhisperFeatureExtractor(feature_size=128, chunk_length=2),
    "Whisper, other frames": lambda: tf.WhisperFeatureExtractor(chunk_length=2, padding_value=0.3, hop_length=200, n_fft=512),
    "CLAP": lambda: tf.ClapFeatureExtractor(max_length_s=2, truncation="rand_trunc"),
    "CLAP with fusion": lambda: tf.ClapFeatureExtractor(max_length_s=1),
    "CLAP, repeated": lambda: tf.ClapFeatureExtractor(feature_size=16, max_length_s=1, truncation="rand_trunc", padding="repeat"),
    "CLAP, padded": lambda: tf.ClapFeatureExtractor(feature_size=16, max_length_s=1, padding="pad", fft_window_size=512),
    "SeamlessM4T": tf.SeamlessM4TFeatureExtractor,
    "SeamlessM4T, other frames": lambda: tf.SeamlessM4TFeatureExtractor(feature_size=20, num_mel_bins=20, stride=3, padding_value=1.0),
    "Wav2Vec2": tf.Wav2Vec2FeatureExtractor,
    "Wav2Vec2 with a mask": lambda: tf.Wav2Vec2FeatureExtractor(return_attention_mask=True),
    "Wav2Vec2 with a mask, padded": lambda: tf.Wav2Vec2FeatureExtractor(return_attention_mask=True, padding_value=-1.0),
    "Wav2Vec2, as it is": lambda: tf.Wav2Vec2FeatureExtractor(do_normalize=False, padding_value=0.5),
    "Parakeet": tf.ParakeetFeatureExtractor,
    "Parakeet, other frames": lambda: tf.ParakeetFeatureExtractor(feature_size=128, hop_length=200, preemphasis=None),
}  # fmt: skip
_UNBOUNDED = 24_000  # samples of the longest sound, where there is no window


def sounds(front: FrontEnd, seed: int) -> list[np.ndarray]:
    """Noise of every kind of length: the least, about a frame more, any, just the window and more; loud, faint, none."""
    random = np.random.default_rng(seed)
    least, most = front.minimum_samples, front.window_samples or _UNBOUNDED
    beyond = [most + 1, most + 4_000] if front.cuts_like_extractor else []
    lengths = [least, least + 1, least + 159, least + 160, least + 161, most - 1, most, *beyond]
    lengths += random.integers(least, most, 5).tolist()
    clips = [level * random.standard_normal(n) for n, level in zip(lengths, (0.1, 1e-4, 3.0) * 5, strict=False)]
    clips = [np.clip(clip, -1, 1) if index % 2 else clip for index, clip in enumerate(clips)]
    clips += [np.zeros(lengths[-1]), np.ones(lengths[-1]), np.clip(1e6 * random.standard_normal(lengths[-2]), -1, 1)]
    return [clip.astype(np.float32) for clip in clips]


def own(extractor: Any, front: FrontEnd, clips: list[np.ndarray]) -> dict[str, Any]:
    """The extractor's own features. Of a clip too short or too still it warns that nothing can be divided by."""
    with np.errstate(all="ignore"):
        return featurise(extractor, clips, front.sampling_rate, dict(front.options))
