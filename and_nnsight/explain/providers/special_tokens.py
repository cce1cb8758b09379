"""The tokens by which a model tells whose turn it is: broken up in text of others, left out of the model's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from .reasoning import is_mark


def special_tokens(tokenizer: Any, more: Iterable[str | None] = ()) -> re.Pattern[str]:
    """What a tokenizer takes for a turn's end or beginning, or a place for audio, wherever it stands; and `more`."""
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens.update(token for token in more if token)
    longest_first = sorted((token for token in tokens if len(token.strip()) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def harmless(text: str, special: re.Pattern[str]) -> str:
    """The text with a space in each special token: it stays legible, and cannot end a turn."""
    return special.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)


def decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    """What a model wrote, without special tokens, but for those that tell its reasoning from its answer."""
    special = {index: str(token) for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id}
    marks = {index for index, token in special.items() if is_mark(token)} - ends
    if marks.isdisjoint(tokens):
        return tokenizer.decode(tokens, skip_special_tokens=True)
    left_out = (special.keys() | set(tokenizer.all_special_ids)) - marks
    return tokenizer.decode([token for token in tokens if token not in left_out], skip_special_tokens=False)
