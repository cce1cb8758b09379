"""A loader's batch where a clip should be: its clips would be heard as the channels of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .values import RATES, is_encoded


class NoClip(Exception):
    """A row that is no clip, and what to give instead."""


def refuse_batch(position: int, audio: Any, beside: Sequence[Any]) -> None:
    """Raise NoClip if a clip's audio, or the values that stand beside it, are those of several clips."""
    if isinstance(audio, Mapping):
        beside = [*beside, *(audio.get(name) for name in (*RATES, "path"))]
        audio = audio.get("array")
    refuse_nested(position, audio)
    clips = _clip_count(audio)
    if clips > 1 and (_holds_encoded(audio) or _has_columns(position, audio, clips, beside)):
        raise NoClip(
            f"clip {position} is a batch of {clips} clips: give them one by one, for example the dataset that the "
            "loader makes its batches of (dissect makes its own: batch_size=, num_workers=)"
        )


def refuse_nested(position: int, audio: Any) -> None:
    """Raise NoClip for a nested tensor, whose parts are clips."""
    if isinstance(audio, torch.Tensor) and audio.is_nested:
        raise NoClip(f"clip {position} is a nested tensor: give its parts one by one (tensor.unbind())")


def refuse_table(position: int, value: Any) -> None:
    """Raise NoClip for a table of pandas, pyarrow or polars, whose rows are clips."""
    if all(hasattr(value, name) for name in ("columns", "shape")) and not hasattr(value, "waveform"):
        raise NoClip(f"clip {position} is a table ({type(value).__name__}): give one table, or its rows one by one")


def _clip_count(audio: Any) -> int:
    """How many clips a value would hold if it were a batch."""
    if isinstance(audio, np.ndarray | torch.Tensor):
        return audio.shape[0] if audio.ndim > 1 else 0
    many = isinstance(audio, list | tuple) and len(audio) > 0 and not isinstance(audio[0], int | float)
    return len(audio) if many else 0


def _holds_encoded(audio: Any) -> bool:
    return isinstance(audio, list | tuple) and (isinstance(audio[0], Mapping) or is_encoded(audio[0]))


def _has_columns(position: int, audio: Any, clips: int, beside: Sequence[Any]) -> bool:
    """Whether what stands beside the audio is a value for each of its clips, as a loader collates labels and rates."""
    columns = [value for value in beside if _length(value) == clips]
    all_columns = len(columns) == sum(value is not None for value in beside)
    if clips == 2 and _are_channels(audio) and (position or not all_columns):
        columns = [value for value in columns if not isinstance(value[0], str)]  # two channels that have two labels
    return bool(columns)


def _are_channels(audio: Any) -> bool:
    return isinstance(audio, np.ndarray | torch.Tensor) or isinstance(audio[0], list | tuple)


def _length(value: Any) -> int:
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.shape[0] if value.ndim == 1 else 0
    return len(value) if isinstance(value, list | tuple) else 0
