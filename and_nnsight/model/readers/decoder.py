"""Decoders over an encoder that hears (Whisper, Speech2Text, Moonshine, …): positions of the text that they write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ...data.tokens import Token
from ...sites.geometry import Geometry, Tokens
from ..checkpoint import ModelError
from ..features import Features, Featuriser
from ..forwards import Forward, Hearing
from .answers import end_tokens
from .attention_times import AttentionTimes
from .options import ReaderOptions
from .reader import POSITIONS, Reader
from .timestamps import Timestamps

_IDS = "decoder_input_ids"


class DecoderReader(Reader):
    """A decoder that reads a clip's text, which it wrote or was given, after the tokens that such texts begin with.

    Frames are tokens: the answer's, or those of the beginning ("prompt"). None is sound; those of an answer have
    seconds as far as a Whisper says them, by timestamps in the text or by the attention of its alignment heads.
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
        self._timestamps = Timestamps.of(tokenizer)

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

    @cached_property
    def _attention_times(self) -> AttentionTimes | None:
        """None where the model names no heads that tell times. Raises ModelError for heads that are not there."""
        window = self._hears.window_seconds
        times = None if window is None else AttentionTimes(self.module, self.blocks, window)
        return times if times is not None and times.heads else None

    def in_time(self, clips: Sequence[Hearing], features: Features, texts: list[list[Token]]) -> list[list[Token]]:
        """Answers with the seconds of their tokens, as far as the model tells them."""
        if all(clip.tokens for clip in clips):
            return [list(clip.tokens or ()) for clip in clips]
        lengths = [clip.seconds for clip in clips]
        seconds = [length for length in lengths if length is not None]
        if len(seconds) < len(lengths):
            return texts
        if self._timestamps is not None:
            texts = [self._timestamps.in_time(*each) for each in zip(texts, seconds, strict=True)]
        if self._attention_times is None:
            return texts
        inputs = {name: value for name, value in features.items() if name != POSITIONS}
        return self._attention_times.in_time(texts, seconds, inputs, len(self.beginning), self._is_said)

    def _told_by(self) -> str:
        """What tells the seconds of an answer's tokens, in words; "" where nothing does."""
        stamps, attention = self._timestamps, self._attention_times
        return " and ".join(
            [
                *(["timestamps"] if stamps is not None and not stamps.are_left_out(self.beginning) else []),
                *([f"the attention of heads {attention.described()}"] if attention is not None else []),
            ]
        )

    def _is_said(self, token: int) -> bool:
        """Whether a token is of text: no timestamp, and no end."""
        return token not in end_tokens(self.module) and (
            self._timestamps is None or self._timestamps.seconds(token) is None
        )

    def generation_rules(self, before: int) -> list[Any]:
        """Timestamps are written by Whisper's own rules, where the beginning of its texts does not forbid them."""
        stamps = self._timestamps
        if stamps is None or stamps.are_left_out(self.beginning):
            return []
        return [stamps.rule(self.module.generation_config, before)]

    def text_of(self, token: int) -> str:
        """What a token stands for; of a timestamp as Whisper writes it."""
        stamp = None if self._timestamps is None else self._timestamps.text(token)
        return super().text_of(token) if stamp is None else stamp

    def described(self) -> dict[str, Any]:
        """What the manifest says of how it reads."""
        beginning = "".join(self.text_of(each) for each in self.beginning)
        answer = {"answer": self.answer, "answer_tokens": self.options.answer_tokens}
        times = self._told_by() if self.counted == "answer" else ""
        return {
            "tokens": self.counted,
            "beginning": beginning,
            **({} if self.options.prompt is None else {"prompt": self.options.prompt}),
            **(answer if self.counted == "answer" else {}),
            **({"token_times": times} if times else {}),
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
