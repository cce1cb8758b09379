"""A copy of a model whose modules' outputs or inputs are changed in every trace: nnsight's edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnsight.intervention.interleaver import OutOfOrderError
from torch import Tensor

from .audio_model import AudioModel


class ModuleEdit(NamedTuple):
    """How the module at a path is changed: its output, or else its input."""

    path: str
    at_output: bool
    change: Callable[[Tensor], Tensor]


def edited(model: AudioModel, edits: Sequence[ModuleEdit]) -> AudioModel:
    """The model with these edits, which are given in the order in which their modules run; the model itself stays."""
    edit: Any = model.edit
    with edit() as (_, changed):
        _apply(changed, edits)
    return changed


def _apply(model: AudioModel, edits: Sequence[ModuleEdit]) -> None:
    """Inside an edit: make the changes."""
    for path, at_output, change in edits:
        envoy = model.envoy(path)
        try:
            if at_output:
                envoy.output = change(envoy.output)
            else:
                envoy.input = change(envoy.input)
        except OutOfOrderError:
            return  # the trace was stopped before this site: it is known that all fire, and in this order
