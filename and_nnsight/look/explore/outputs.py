"""What a model says of a sound, as it is and with units silenced or amplified: classes, or text."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ...model.adapter import ModelAdapter
from ...model.audio_model import AudioModel
from ...model.devices import to_device
from ...model.opening import open_audio_model
from ...model.restoring import eval_mode
from ...unlearn import UnitChoice, ablating

CLASSES = 5
_MOST_TOKENS = 96
_TASKS = ("ForConditionalGeneration", "ForSpeechSeq2Seq")


class NoOutput(ValueError):
    """The model says nothing that a person can read; the message says why."""


@dataclass(frozen=True)
class ClassScore:
    """A class of the model, and its logit and probability before and after."""

    name: str
    before: float
    after: float


@dataclass(frozen=True)
class Outputs:
    """What the model says of a sound before and after units are changed.

    kind     classes or text
    classes  those that are likeliest before or after, by probability before
    before, after  the text
    """

    kind: str
    classes: tuple[ClassScore, ...] = ()
    before: str | None = None
    after: str | None = None


class Speaker:
    """Says what a model makes of a sound: its likeliest classes, or the words that it hears.

    Raises NoOutput for a model that has neither, or whose words need a tokenizer that is not there.
    """

    def __init__(self, adapter: ModelAdapter) -> None:
        try:
            self._model = open_audio_model(adapter, None, None)
        except ValueError as error:
            raise NoOutput(str(error)) from error
        module: Any = adapter.wrapped
        kind = type(module).__name__
        labels = getattr(module.config, "id2label", None) or {}
        if kind.endswith(_TASKS):
            self._tokenizer, self._say = _tokenizer(self._model), self._generated
            self._generation = copy.deepcopy(module.generation_config)
            self._generation.update(do_sample=False, max_length=None, max_new_tokens=_MOST_TOKENS)
        elif kind.endswith("ForCTC"):
            self._tokenizer, self._say = _tokenizer(self._model), self._spelled
        elif kind.endswith("Classification") and labels:
            self._labels = [str(labels[index]) for index in sorted(labels)]
            self._say = self._classified
        else:
            raise NoOutput(f"a {kind} gives neither classes nor text: there is nothing to read in what it says")

    def compare(
        self, samples: Float32[np.ndarray, " sample"], units: Sequence[tuple[str, int]], how: str, gain: float | None
    ) -> Outputs:
        """What the model says of a sound, before and after the units are changed as `unlearn.ablate` does.

        Not for two threads at once. Raises ChoiceError for units that there are not, AudioError for a sound that is too
        short, ValueError for an unknown way.
        """
        featuriser = self._model.featuriser
        features = featuriser([samples[: featuriser.window_samples]])
        with eval_mode(self._model.wrapped), torch.no_grad():
            inputs = self._model.model_inputs(to_device(features, self._model.device))
            before = self._say(inputs)
            changed = ablating(self._model, UnitChoice.of(units), how, gain=gain) if units else nullcontext()
            with changed:
                after = self._say(inputs)
        if isinstance(before, Tensor) and isinstance(after, Tensor):
            return Outputs("classes", self._likeliest(before, after))
        return Outputs("text", before=str(before), after=str(after))

    def _classified(self, inputs: Mapping[str, Tensor]) -> Tensor:
        logits = self._model.wrapped(**inputs).logits[0].float().cpu()
        several = getattr(self._model.wrapped.config, "problem_type", None) == "multi_label_classification"
        return logits.sigmoid() if several else logits.softmax(-1)

    def _likeliest(self, before: Tensor, after: Tensor) -> tuple[ClassScore, ...]:
        shown = dict.fromkeys([*before.topk(min(CLASSES, len(before))).indices.tolist(), int(after.argmax())])
        return tuple(ClassScore(self._labels[index], float(before[index]), float(after[index])) for index in shown)

    def _generated(self, inputs: Mapping[str, Tensor]) -> str:
        inputs = {name: value for name, value in inputs.items() if not name.startswith("decoder_")}
        with _quiet():
            ids = self._model.wrapped.generate(**inputs, generation_config=self._generation)
        return self._tokenizer.decode(ids[0], skip_special_tokens=True).strip()

    def _spelled(self, inputs: Mapping[str, Tensor]) -> str:
        return self._tokenizer.decode(self._model.wrapped(**inputs).logits[0].argmax(-1)).strip()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' remarks on how a checkpoint's own settings for generating are written down."""
    log = logging.getLogger("transformers.generation")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _tokenizer(adapter: AudioModel) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(adapter.name, revision=adapter.revision)
    except (OSError, ValueError, TypeError) as error:
        raise NoOutput(
            f"what {adapter.name} says cannot be read: its checkpoint has no tokenizer "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
