"""Whisper's timestamp tokens: what they say, and where the text between them lies in its clip."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...data.tokens import Token

_BEFORE_THEM = "<|notimestamps|>"
_SECONDS = 0.02
_MOST = 1_501  # up to 30 s, as far as a Whisper hears


@dataclass(frozen=True)
class Timestamps:
    """The timestamp tokens of a vocabulary: the ids from `first` on, 0.02 s from one to the next, up to 30 s."""

    first: int

    @classmethod
    def of(cls, tokenizer: Any) -> Timestamps | None:
        """Those of a Whisper's tokenizer, which stand behind <|notimestamps|>; None where there is no such token."""
        before = tokenizer.convert_tokens_to_ids(_BEFORE_THEM)
        return cls(before + 1) if isinstance(before, int) and before != tokenizer.unk_token_id else None

    def are_left_out(self, beginning: Sequence[int]) -> bool:
        """Whether a text that begins like this is to be written without them."""
        return self.first - 1 in beginning

    def seconds(self, token: int) -> float | None:
        """What a token says; None for one of text."""
        steps = token - self.first
        return round(steps * _SECONDS, 2) if 0 <= steps < _MOST else None

    def text(self, token: int) -> str | None:
        """A timestamp as it is written; None for a token of text."""
        seconds = self.seconds(token)
        return None if seconds is None else f"<|{seconds:.2f}|>"

    def rule(self, generation_config: Any, before: int) -> Any:
        """What holds of a text with timestamps behind so many tokens: the logits processor of transformers' Whisper."""
        from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

        config = copy.deepcopy(generation_config)
        config.no_timestamps_token_id = self.first - 1
        return WhisperTimeStampLogitsProcessor(config, begin_index=before)

    def in_time(self, tokens: Sequence[Token], seconds: float) -> list[Token]:
        """Tokens with the seconds that timestamps among them say: text lies between those around it.

        seconds  of the clip: there the text ends behind which no timestamp comes
        """
        said = [self.seconds(token.id) for token in tokens]
        ends, following = [], seconds
        for here in reversed(said):
            following = following if here is None else here
            ends.append(following)
        placed, start = list[Token](), None
        for token, here, end in zip(tokens, said, reversed(ends), strict=True):
            start = start if here is None else here
            placed.append(token if start is None else token._replace(start=start, end=max(start, end)))
        return placed
