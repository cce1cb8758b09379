"""From waveforms to a model's inputs: transformers' feature extractor, so that clips do not change each other."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.frontends import FittedFrontEnd
from ..audio.loading import AudioError
from ..kernels.surroundings import plain_torch
from ..portable import featurise
from ..sites.frame_geometry import audio_config

Features = dict[str, Tensor]


def is_sound(value: Any) -> bool:
    """Whether a model's input is the one that holds the sound: floating-point, and more than a number a clip."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1


class Samples(NamedTuple):
    """Clips on their way to a GPU: int16 where that loses nothing, else float32; zero past each clip's length."""

    samples: Tensor  # [clip, time]
    lengths: tuple[int, ...]


class Group(NamedTuple):
    """Rows of a batch that run together, what their model inputs are made of, and their waveforms where wanted.

    content  the model inputs, or samples of which a GPU makes them: `Featuriser.ready` gives the inputs of either
    """

    rows: tuple[int, ...]
    content: Features | Samples
    waveforms: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, eq=False)  # by identity: an extractor of one's own may not be hashable
class Featuriser:
    """Turns waveforms at `sampling_rate` into model inputs. Picklable: it runs in worker processes.

    extractor         the checkpoint's transformers feature extractor
    sampling_rate     Hz that waveforms must have
    minimum_samples   shorter waveforms give no frame
    window_samples    what the model hears at most, from the clip's start; None where any length goes
    masked            whether the extractor is asked which frames hold sound, by an `attention_mask`
    alone             whether the model takes one clip at a time: it has no axis for several
    front             makes the extractor's features on the CPU, in every bit, with less of it; None: the extractor does
    """

    extractor: Any
    sampling_rate: int
    minimum_samples: int
    window_samples: int | None
    masked: bool = False
    alone: bool = False
    front: FittedFrontEnd | None = None

    @property
    def window_seconds(self) -> float | None:
        """The longest stretch that the model hears, in seconds; None where there is no limit."""
        return None if self.window_samples is None else self.window_samples / self.sampling_rate

    @plain_torch()  # features are numbers of the clip alone, whatever the trace around them is under
    def __call__(self, waveforms: Sequence[np.ndarray]) -> Features:
        """Model inputs of one padded batch. Raises AudioError for a waveform that is too short for the model."""
        clips = self.cut(waveforms)
        if self.front is not None and self.front.takes(self.extractor, clips):
            return self.front(clips)
        return featurise(self.extractor, clips, self.sampling_rate, self.options)

    def cut(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the model hears of each. Raises AudioError for none, and for one that is too short for the model."""
        if not waveforms:
            raise AudioError("there is no clip to make features of")
        for index, waveform in enumerate(waveforms):
            if len(waveform) < self.minimum_samples:
                raise AudioError(
                    f"clip {index} has {len(waveform)} samples at {self.sampling_rate} Hz; "
                    f"this model needs at least {self.minimum_samples}"
                )
        return [np.asarray(waveform[: self.window_samples]) for waveform in waveforms]

    @property
    def made_by(self) -> str:
        """What makes the features, in words."""
        kind = type(self.extractor).__name__
        return kind if self.front is None else f"a front end that equals {kind} in every bit"

    @property
    def arithmetic(self) -> str:
        """What the last digits of the features hang on, in words; empty where they are the extractor's own."""
        return ""

    def ready(self, group: Group) -> Features:
        """The model inputs of a group."""
        assert isinstance(group.content, dict)
        return group.content

    @property
    def options(self) -> dict[str, Any]:
        """What the extractor is called with beside waveforms and rate."""
        ragged_by_default = not getattr(self.extractor, "padding", False) and self.window_samples is None
        padding = {"padding": True} if ragged_by_default else {}
        return {**padding, "return_attention_mask": True} if self.masked else padding

    def groups(self, waveforms: Sequence[np.ndarray]) -> tuple[Group, ...]:
        """Model inputs in groups such that no clip's values depend on another's length: those of `together`."""
        return tuple(Group(rows, self([waveforms[row] for row in rows])) for rows in self.together(waveforms))

    def together(self, waveforms: Sequence[np.ndarray]) -> tuple[tuple[int, ...], ...]:
        """Which waveforms may run in one batch.

        A model with a window hears every clip in the same window. Elsewhere clips of one length run together: an
        attention mask does not keep padding out of positional convolutions, convolution modules or group norms.
        """
        if self.alone:
            return tuple((row,) for row in range(len(waveforms)))
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


@plain_torch()
def make_featuriser(model: nn.Module, extractor: Any, masked: bool = False) -> Featuriser:
    """The featuriser of a model, from its config and feature extractor; `masked`: with a mask, if it can make one."""
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
    masked = masked and "return_attention_mask" in inspect.signature(type(extractor).__call__).parameters
    featuriser = Featuriser(extractor, rate, minimum, window, masked)
    return replace(featuriser, front=FittedFrontEnd.where_it_pays(extractor, featuriser.options))


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
