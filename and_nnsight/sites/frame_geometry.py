"""Which frame geometry a transformer block has, read off the model's config and its feature extractor."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from .audio_spec import declared_spec
from .geometry import Convolved, FoldedGrid, Geometry, PatchGrid, Regular

_KALDI_HOP, _KALDI_WINDOW = 160, 400  # torchaudio's and transformers' filter bank: 10 ms and 25 ms at 16 kHz
_KALDI_RATE = 16_000


def frame_geometry(model: nn.Module, block: str, feature_extractor: Any = None, windowed: bool = False) -> Geometry:
    """The geometry of the token axis inside a block.

    `windowed` asks for the attention's own order of tokens, which differs where attention runs in windows (Swin).
    A model that says how it hears is taken at its word. Unknown architectures get the geometry under which every
    frame counts and none has seconds.
    """
    declared = declared_spec(model)
    if declared is not None:
        return declared.frames
    config = audio_config(model)
    rate = int(getattr(feature_extractor, "sampling_rate", _KALDI_RATE))
    if _has(config, "conv_kernel", "conv_stride"):
        return _convolved(config, rate)
    if _has(config, "time_stride", "frequency_stride", "patch_size", "max_length"):
        return _patches(model, config)
    if _has(config, "spec_size", "window_size"):
        return _folded(model.get_submodule(block), config, feature_extractor, windowed)
    if hasattr(config, "num_mel_bins") and (stride := _two_convolutions(model, block)):
        hop = stride * int(getattr(feature_extractor, "hop_length", _KALDI_HOP)) / rate
        return Regular(hop=hop, span=hop)
    if hasattr(config, "feature_projection_input_dim"):
        return _stacked(config, feature_extractor)
    return Geometry()


def _has(config: Any, *names: str) -> bool:
    return all(hasattr(config, name) for name in names)


def _two_convolutions(model: nn.Module, block: str) -> int:
    """By how many steps the frames of an encoder like Whisper's lie apart; 0 for an encoder of another kind."""
    around = model.get_submodule(block.rpartition(".")[0].rpartition(".")[0])
    convolutions = [around._modules.get(name) for name in ("conv1", "conv2")]
    strides = [each.stride[0] for each in convolutions if isinstance(each, nn.Conv1d) and each.padding == (1,)]
    return math.prod(map(int, strides)) if len(strides) == 2 and "conv3" not in around._modules else 0


def audio_config(model: nn.Module) -> Any:
    """The config of the part of the model that hears: the audio sub-config of a two-tower model, or the model's own.

    A plain module around a transformers model (`nn.Sequential`) has that model's.
    """
    config = getattr(inner_model(model), "config", None)
    part = getattr(config, "audio_config", None) or getattr(config, "encoder", None)  # of a SpeechEncoderDecoderModel
    return part if hasattr(part, "to_dict") else config


def inner_model(model: nn.Module) -> nn.Module:
    """The first module with a config: the model itself, if it has one, or the one that a plain module is around."""
    return next((module for module in model.modules() if hasattr(module, "config")), model)


def _convolved(config: Any, rate: int) -> Geometry:
    kernels, strides = tuple(map(int, config.conv_kernel)), tuple(map(int, config.conv_stride))
    hop, span = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        span += (kernel - 1) * hop
        hop *= stride
    squeeze = int(getattr(config, "squeeze_factor", 1) or 1)
    span += (squeeze - 1) * hop
    return Convolved(
        hop=hop * squeeze / rate,
        span=span / rate,
        sampling_rate=rate,
        kernels=kernels,
        strides=strides,
        squeeze=squeeze,
    )


def _stacked(config: Any, feature_extractor: Any) -> Geometry:
    stride = int(getattr(feature_extractor, "stride", 2))
    return Convolved(
        hop=stride * _KALDI_HOP / _KALDI_RATE,
        span=((stride - 1) * _KALDI_HOP + _KALDI_WINDOW) / _KALDI_RATE,
        sampling_rate=_KALDI_RATE,
        kernels=(_KALDI_WINDOW, stride),
        strides=(_KALDI_HOP, stride),
    )


def _patches(model: nn.Module, config: Any) -> Geometry:
    patch, stride = int(config.patch_size), int(config.time_stride)
    columns = (int(config.max_length) - patch) // stride + 1
    special = sum(1 for name, _ in model.named_parameters() if name.endswith("_token"))
    hop, window = _KALDI_HOP / _KALDI_RATE, _KALDI_WINDOW / _KALDI_RATE
    return PatchGrid(special_tokens=special, columns=columns, hop=stride * hop, span=(patch - 1) * hop + window)


def _folded(block: Any, config: Any, feature_extractor: Any, windowed: bool) -> Geometry:
    rows, columns = (int(size) for size in block.input_resolution)
    chunks = int(config.spec_size) // int(config.num_mel_bins)
    rate, hop = (
        int(getattr(feature_extractor, "sampling_rate", 48_000)),
        int(getattr(feature_extractor, "hop_length", 480)),
    )
    seconds = float(getattr(feature_extractor, "max_length_s", 10))
    # The spectrogram's 1 + seconds · rate / hop frames are stretched to chunks · spec_size, corner to corner.
    frames = int(seconds * rate) // hop
    stretched = chunks * int(config.spec_size)
    cell = frames / (stretched - 1) * hop / rate * (int(config.spec_size) // columns)
    window, shift = int(config.window_size), int(block.shift_size)
    if min(rows, columns) <= window:
        window, shift = min(rows, columns), 0
    geometry = FoldedGrid(rows=rows, columns=columns, chunks=chunks, hop=cell)
    if not windowed:
        return geometry
    return FoldedGrid(rows=rows, columns=columns, chunks=chunks, hop=cell, window=window, shift=shift)
