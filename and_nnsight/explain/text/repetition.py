"""Captions in which a language model got caught in a loop, cut as the paper does it."""

from __future__ import annotations

import re

WINDOW = 8
"""Words. A stretch of so many that comes twice is a loop, not prose."""

_FIRST_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)


def repeats(text: str, window: int = WINDOW) -> bool:
    """Whether any `window` successive words occur twice."""
    words = text.split()
    windows = [tuple(words[start : start + window]) for start in range(len(words) - window + 1)]
    return len(set(windows)) < len(windows)


def clean_repeated(text: str, window: int = WINDOW) -> str:
    """The text without space around it; of one that repeats itself, its first line, or where it has one line only, its
    first sentence."""
    text = text.strip()
    if not repeats(text, window):
        return text
    if len(lines := text.splitlines()) > 1:
        return lines[0].strip()
    first = _FIRST_SENTENCE.match(text)
    return text if first is None else first.group()
