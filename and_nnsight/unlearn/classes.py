"""The classes of a classifier, and the numbers that labels of clips have among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from ..data import Clip
from ..model.audio_model import AudioModel
from ..model.opening import open_audio_model
from ..sites.names import HEAD
from .names import plain_name


def as_classifier(model: Any, device: str | torch.device | None, dtype: str | torch.dtype | None) -> AudioModel:
    """The AudioModel that is measured. Raises ValueError for a model of another kind, or one with edits."""
    classifier = open_audio_model(model, device, dtype)
    if classifier.edits:
        raise ValueError("the model has edits, so its baseline would not be the unpruned model: give the original")
    return classifier


def class_names(model: AudioModel) -> tuple[str, ...]:
    """The model's classes, in the order of its logits. Raises ValueError for a model that names none."""
    names: Mapping[Any, str] = getattr(getattr(model.wrapped, "config", None), "id2label", None) or {}
    by_number = {int(number): name for number, name in names.items()}
    head = [site for site in model.sites() if site.name == HEAD]
    if not by_number or not head or sorted(by_number) != list(range(head[0].width)):
        raise ValueError(
            f"{type(model.wrapped).__name__} is no classifier whose config names every class: what a concept loses "
            "shows in its class's logit"
        )
    return tuple(by_number[number] for number in range(len(by_number)))


def class_numbers(classes: Sequence[str]) -> dict[str, int]:
    """The number of each class by its name without capitals and underscores.

    Raises ValueError where two classes have one name.
    """
    numbers: dict[str, int] = {}
    for number, name in enumerate(classes):
        if numbers.setdefault(plain_name(name), number) != number:
            raise ValueError(f"two classes of the model are called {name!r}: labels cannot tell them apart")
    return numbers


def label_numbers(clips: Sequence[Clip], classes: Sequence[str]) -> Int64[np.ndarray, " clip"]:
    """The number of each clip's class. Raises KeyError for a label that is no class."""
    numbers = class_numbers(classes)
    return np.array([numbers[plain_name(clip.label or "")] for clip in clips], dtype=np.int64)
