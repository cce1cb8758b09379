"""Text of others in a prompt: the tokens by which a model tells whose turn it is are broken up in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def special_tokens(tokenizer: Any, more: Iterable[str | None] = ()) -> re.Pattern[str]:
    """What a tokenizer takes for a turn's end or beginning, or a place for audio, wherever it stands; and `more`."""
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens.update(token for token in more if token)
    longest_first = sorted((token for token in tokens if len(token.strip()) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def harmless(text: str, special: re.Pattern[str]) -> str:
    """The text with a space in each special token: it stays legible, and cannot end a turn."""
    return special.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)
