"""Words that are spoken in a clip, told from the words that describe it: what stands in quotes or after "saying"."""

from __future__ import annotations

import re
from functools import lru_cache

_INTRODUCED = r"sa(?:y|ys|id)|saying|reading|reads|announc(?:es|ing)|repeat(?:s|ing)|shout(?:s|ing)|sing(?:s|ing)"
_QUOTED = re.compile(
    rf"""
    “(?P<curly>[^”]*)(?:”|$) | «(?P<angled>[^»]*)(?:»|$) | (?<!\w)"(?P<straight>[^"]*)(?:"|$)
    | \b(?:{_INTRODUCED}|transcri(?:pt|ption)|lyrics|words)\s*:\s*(?P<announced>.+)
    | \bsaying,?\s+(?=[^\s“«"'])(?!that\b|something\b|a\ few\b|words\b)(?P<saying>[^.!?]+)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_INTRODUCTION = re.compile(rf"[\s,;:\-–—]*\b(?:{_INTRODUCED})\b[\s,;:\-–—]*$|[\s,;:\-–—]+$", re.IGNORECASE)
_KEPT_CAPTIONS = 1 << 18  # what is kept of one is a reference, or a few


@lru_cache(maxsize=_KEPT_CAPTIONS)
def quoted_spans(caption: str) -> tuple[tuple[int, int], ...]:
    """Where the spoken words of a caption begin and end in it, in order."""
    spans = []
    for match in _QUOTED.finditer(caption):
        name = match.lastgroup
        assert name is not None
        if match.group(name).strip():
            spans.append(match.span(name))
    return tuple(spans)


@lru_cache(maxsize=_KEPT_CAPTIONS)
def description(caption: str) -> str:
    """A caption without the words that are spoken in it, and without what introduces them."""
    text, last = "", 0
    for start, end in quoted_spans(caption):
        text += _INTRODUCTION.sub("", caption[last:start].rstrip("“«\"' "))
        last = end
    if not last:
        return caption
    rest = caption[last:].lstrip("”»\"'").strip()
    return f"{text} {rest}".strip() if any(letter.isalnum() for letter in rest) else text
