"""From waveforms to a model's inputs: transformers' feature extractor, so that clips do not change each other."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.loading import AudioError
from ..kernels.surroundings import plain_torch
from ..portable import featurise
from ..sites.audio_spec import declared_spec
from ..sites.frame_geometry import audio_config
from .checkpoint import reaching

Features = dict[str, Tensor]


class Group(NamedTuple):
    """Rows of a batch that run together, their model inputs, and, where they are wanted, their waveforms."""

    rows: tuple[int, ...]
    features: Features
    waveforms: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Featuriser:
    """Turns waveforms at `sampling_rate` into model inputs. Picklable: it runs in worker processes.

    extractor         the checkpoint's transformers feature extractor
    sampling_rate     Hz that waveforms must have
    minimum_samples   shorter waveforms give no frame
    window_samples    what the model hears at most, from the clip's start; None where any length goes
    """

    extractor: Any
    sampling_rate: int
    minimum_samples: int
    window_samples: int | None

    @property
    def window_seconds(self) -> float | None:
        """The longest stretch that the model hears, in seconds; None where there is no limit."""
        return None if self.window_samples is None else self.window_samples / self.sampling_rate

    @plain_torch()  # features are numbers of the clip alone, whatever the trace around them is under
    def __call__(self, waveforms: Sequence[np.ndarray]) -> Features:
        """Model inputs of one padded batch. Raises AudioError for a waveform that is too short for the model."""
        if not waveforms:
            raise AudioError("there is no clip to make features of")
        for index, waveform in enumerate(waveforms):
            if len(waveform) < self.minimum_samples:
                raise AudioError(
                    f"clip {index} has {len(waveform)} samples at {self.sampling_rate} Hz; "
                    f"this model needs at least {self.minimum_samples}"
                )
        clips = [np.asarray(waveform[: self.window_samples]) for waveform in waveforms]
        return featurise(self.extractor, clips, self.sampling_rate, self.options)

    @property
    def options(self) -> dict[str, Any]:
        """What the extractor is called with beside waveforms and rate."""
        ragged_by_default = not getattr(self.extractor, "padding", False) and self.window_samples is None
        return {"padding": True} if ragged_by_default else {}

    def groups(self, waveforms: Sequence[np.ndarray]) -> tuple[Group, ...]:
        """Model inputs in groups such that no clip's values depend on another's length: those of `together`."""
        return tuple(Group(rows, self([waveforms[row] for row in rows])) for rows in self.together(waveforms))

    def together(self, waveforms: Sequence[np.ndarray]) -> tuple[tuple[int, ...], ...]:
        """Which waveforms may run in one batch.

        A model with a window hears every clip in the same window. Elsewhere clips of one length run together: an
        attention mask does not keep padding out of positional convolutions, convolution modules or group norms.
        """
        if self.window_samples is not None:
            return (tuple(range(len(waveforms))),)
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, waveform in enumerate(waveforms):
            by_length[len(waveform)].append(row)
        return tuple(map(tuple, by_length.values()))


@plain_torch()
def probe_features(featuriser: Featuriser, level: float = 1.0) -> Features:
    """Model inputs of a second of noise, the same each time: to see what a model does before it has any data."""
    noise = level * torch.randn(featuriser.sampling_rate, generator=torch.Generator().manual_seed(0))
    return featuriser([noise.numpy()])


def make_featuriser(model: nn.Module, extractor: Any) -> Featuriser:
    """The featuriser of a model, from its config and feature extractor."""
    config = audio_config(model)
    rate = int(extractor.sampling_rate)
    window, minimum = None, 1
    if hasattr(extractor, "minimum_samples"):
        window, minimum = getattr(extractor, "window_samples", None), int(extractor.minimum_samples)
    elif hasattr(config, "conv_kernel"):
        minimum = _receptive_field(config.conv_kernel, config.conv_stride, getattr(config, "squeeze_factor", 1))
    elif hasattr(config, "feature_projection_input_dim"):
        minimum = 400 + 160 * (int(getattr(extractor, "stride", 2)) - 1)
    elif hasattr(extractor, "nb_max_samples"):
        window, minimum = int(extractor.nb_max_samples), int(getattr(extractor, "fft_window_size", 2)) // 2 + 1
    elif hasattr(extractor, "n_samples"):
        window = int(extractor.n_samples)
    elif hasattr(extractor, "max_length") and hasattr(extractor, "num_mel_bins"):
        window, minimum = (int(extractor.max_length) - 1) * 160 + 400, 400
    return Featuriser(extractor, rate, minimum, window)


def _receptive_field(kernels: Sequence[int], strides: Sequence[int], squeeze: int) -> int:
    field = int(squeeze or 1)
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field


def expected_shape(model: nn.Module) -> dict[int, tuple[int, int, str]]:
    """What a model's spectrogram must measure: the least and the most by axis, counted from the last, and what of.

    Empty for models that hear waveforms, and for those whose config does not tell.
    """
    config = audio_config(model)

    def just(size: Any, what: str) -> tuple[int, int, str]:
        return int(size), int(size), what

    if all(hasattr(config, name) for name in ("time_stride", "frequency_stride", "max_length", "num_mel_bins")):
        return {-1: just(config.num_mel_bins, "mel bins"), -2: just(config.max_length, "frames")}
    if hasattr(config, "spec_size"):
        longest = int(config.spec_size) * (int(config.spec_size) // int(config.num_mel_bins))
        return {-1: just(config.num_mel_bins, "mel bins"), -2: (1, longest, "frames")}
    if hasattr(config, "feature_projection_input_dim"):
        return {-1: just(config.feature_projection_input_dim, "values a frame")}
    if hasattr(config, "max_source_positions") and hasattr(config, "num_mel_bins"):
        return {-2: just(config.num_mel_bins, "mel bins"), -1: just(2 * config.max_source_positions, "frames")}
    return {}


def check_fit(model: nn.Module, features: Tensor | None) -> None:
    """Raise ValueError for features that are not of the size that the model hears: said before its first layer is."""
    if features is None:
        return
    for axis, (least, most, what) in expected_shape(model).items():
        there = features.shape[axis] if features.ndim > 1 else 0
        if not least <= there <= most:
            hears = f"{most}" if least == most else f"at most {most}"
            raise ValueError(
                f"the features have {there} {what}, and this {type(model).__name__} hears {hears}: give it features of "
                "its own checkpoint's feature extractor (feature_extractor=)"
            )


def load_extractor(source: str, revision: str | None = None, **reach: Any) -> Any:
    """The feature extractor of a checkpoint. Raises ValueError, with what to do, if it has none.

    `reach` holds what `checkpoint.reaching` gives; no code of the checkpoint's own is run without it.
    """
    from transformers import AutoFeatureExtractor

    try:
        return AutoFeatureExtractor.from_pretrained(source, revision=revision, **{**reaching({}), **reach})
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source} has no feature extractor (preprocessor_config.json): pass feature_extractor=, a transformers "
            f"feature extractor or the checkpoint it is to be taken from ({str(error).splitlines()[0]})"
        ) from error


def default_extractor(model: nn.Module) -> Any:
    """The feature extractor that a bare module names, or that its config calls for, with its defaults and a warning.

    Raises ValueError for a config of another kind.
    """
    declared = declared_spec(model)
    if declared is not None:
        return declared.extractor
    import transformers

    config = audio_config(model)
    options: dict[str, Any] = {}
    if hasattr(config, "conv_kernel"):
        kind = transformers.Wav2Vec2FeatureExtractor
    elif hasattr(config, "time_stride"):
        kind = transformers.ASTFeatureExtractor
        options = {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
    elif hasattr(config, "spec_size"):
        kind = transformers.ClapFeatureExtractor
        options = {"feature_size": config.num_mel_bins, "truncation": "rand_trunc"}
    elif hasattr(config, "feature_projection_input_dim"):
        bins = config.feature_projection_input_dim // 2
        kind, options = transformers.SeamlessM4TFeatureExtractor, {"num_mel_bins": bins, "feature_size": bins}
    elif hasattr(config, "max_source_positions") and config.max_source_positions % 50 == 0:
        # Two spectrogram frames of 10 ms a position.
        kind = transformers.WhisperFeatureExtractor
        options = {"feature_size": config.num_mel_bins, "chunk_length": config.max_source_positions // 50}
    else:
        raise ValueError(
            f"no feature extractor is known for {type(model).__name__}, whose config does not say how it hears: if it "
            "is a model of sound, pass feature_extractor=, or ready features"
        )
    warnings.warn(
        f"no feature extractor was found for this {type(model).__name__}: taking transformers' {kind.__name__} "
        f"with {options or 'its defaults'}; pass feature_extractor= to be sure of it",
        UserWarning,
        stacklevel=4,
    )
    return kind(**options)
