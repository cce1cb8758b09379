"""Decoders over an encoder that hears (Whisper, Speech2Text, Moonshine, …): positions of the text that they write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ...sites.geometry import Geometry, Tokens
from ..checkpoint import ModelError
from ..features import Features, Featuriser
from ..forwards import Forward, Hearing
from .options import ReaderOptions
from .reader import POSITIONS, Reader

_IDS = "decoder_input_ids"


class DecoderReader(Reader):
    """A decoder that reads a clip's text, which it wrote or was given, after the tokens that such texts begin with.

    Frames are tokens: the answer's, or those of the beginning ("prompt"). None is sound, so none has seconds.
    """

    default_tokens = "answer"

    def __init__(
        self, module: nn.Module, part: str, path: str, tokenizer: Any, options: ReaderOptions, hears: Featuriser
    ) -> None:
        """`hears` makes the encoder's inputs. Raises ModelError for what a decoder cannot do."""
        super().__init__(module, part, path, tokenizer, options)
        if self.counted == "audio":
            raise ModelError(
                "no position of a decoder stands for a stretch of sound: count tokens='answer' or 'prompt', or dissect "
                "the encoder"
            )
        self._hears = hears
        self.beginning = self._beginning()

    @property
    def featuriser(self) -> Featuriser:
        """The encoder's."""
        return self._hears

    @property
    def needs_answers(self) -> bool:
        """Always: a text's beginning is no part of a clip's features."""
        return True

    @property
    def geometry(self) -> Geometry:
        """Tokens: a prompt's are the same for every clip."""
        return (
            Tokens(texts=tuple(self.text_of(each) for each in self.beginning)) if self.counted == "prompt" else Tokens()
        )

    def forwards(self, clips: Sequence[Hearing], features: Features) -> Iterator[Forward]:
        """The clips of a group as they run."""
        device = next(iter(features.values())).device
        ids = torch.tensor([self.beginning] * len(clips), device=device)
        inputs = {**features, _IDS: ids}
        if self.counted == "answer":
            yield from self.with_answers(clips, inputs, _IDS, None, inputs)
            return
        positions = torch.arange(ids.shape[1], device=device).expand(len(clips), -1)
        yield Forward(range(len(clips)), {**inputs, POSITIONS: positions})

    def described(self) -> dict[str, Any]:
        """What the manifest says of how it reads."""
        beginning = "".join(self.text_of(each) for each in self.beginning)
        answer = {"answer": self.answer, "answer_tokens": self.options.answer_tokens}
        return {
            "tokens": self.counted,
            "beginning": beginning,
            **({} if self.options.prompt is None else {"prompt": self.options.prompt}),
            **(answer if self.counted == "answer" else {}),
        }

    def _beginning(self) -> list[int]:
        """Ids of the tokens that every text begins with: the prompt's own, the tokenizer's, or the first alone.

        Raises ModelError where the model does not say with which token its texts begin.
        """
        config, generation = self.module.config, getattr(self.module, "generation_config", None)
        start = getattr(generation, "decoder_start_token_id", None)
        start = getattr(config, "decoder_start_token_id", None) if start is None else start
        if start is None:
            raise ModelError(f"{type(self.module).__name__} does not say which token its texts begin with")
        prefix = list(getattr(self.tokenizer, "prefix_tokens", None) or [])
        beginning = prefix if prefix[:1] == [start] else [int(start)]
        if self.options.prompt:
            beginning = [*beginning, *self.tokenizer(self.options.prompt, add_special_tokens=False).input_ids]
        return beginning
