"""What is read, and which of its tokens count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOKENS = ("audio", "prompt", "answer")
GENERATED = "generated"
ANSWERS = (GENERATED, "caption", "label")
DEFAULT_PROMPT = "What do you hear in this sound?"
_MOST_ANSWER = 1_024


@dataclass(frozen=True)
class ReaderOptions:
    """How a part that reads is used; None: as is usual for it.

    prompt         what is asked of the model beside the sound. One that holds the model's own audio token is taken as
                   it is; any other goes through the chat template
    tokens         the positions that count: those of the sound ("audio"), of the text around it ("prompt"), or of the
                   "answer"
    answer         where an answer comes from: "generated" greedily, or given, the clip's "caption" or "label"
    answer_tokens  so many tokens of an answer at most
    """

    prompt: str | None = None
    tokens: str | None = None
    answer: str | None = None
    answer_tokens: int = 32

    def __post_init__(self) -> None:
        for name, known in (("tokens", TOKENS), ("answer", ANSWERS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
        if not isinstance(self.answer_tokens, int) or not 1 <= self.answer_tokens <= _MOST_ANSWER:
            raise ValueError(
                f"answer_tokens must be a whole number from 1 to {_MOST_ANSWER:,}, not {self.answer_tokens!r}"
            )
        if self.answer is not None and self.tokens not in (None, "answer"):
            raise ValueError(f"answer={self.answer!r} is of tokens='answer'; leave it out with tokens={self.tokens!r}")

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> ReaderOptions:
        """How a model read, by what a manifest says of it."""
        return cls(**{name: described[name] for name in cls.__dataclass_fields__ if name in described})

    @property
    def given(self) -> dict[str, Any]:
        """Those that were asked for."""
        values = {name: getattr(self, name) for name in ("prompt", "tokens", "answer")}
        asked = {name: value for name, value in values.items() if value is not None}
        return (
            asked
            if self.answer_tokens == ReaderOptions.answer_tokens
            else asked | {"answer_tokens": self.answer_tokens}
        )


AS_USUAL = ReaderOptions()
"""Nothing was asked for."""
