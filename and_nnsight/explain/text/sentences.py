"""Text of a summarizer as sentences, without those that only talk to the reader.

By hand: splitters of sentences need a download, or know neither bullets and markup nor what models say around answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .english import compounds

_FEWEST_WORDS = 3
_BEFORE_A_NAME = frozenset("al approx ca capt cf dr e.g eg gen i.e ie messrs mr mrs ms mt prof sgt st viz vs".split())
_BEFORE_A_NUMBER = frozenset("app ch eq fig figs no nos p pp pt ref sec vol vols".split())
_BEFORE_A_SMALL_LETTER = (_BEFORE_A_NAME | _BEFORE_A_NUMBER | {"etc", "min"}) - {"no"}
_BULLET = re.compile(r"^\s*(?:[-*+•‣▪◦–—·]+|\(?\d{1,3}[.):]|\(?[a-zA-Z][.)])\s+")
_MARKUP = re.compile(r"\*\*|__|^#{1,6}\s+|^>\s+|`", re.MULTILINE)
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[」』”]?")
_COUNT = re.compile(r"\s*\((\d+) of (\d+)(?: clips)?\)|,? in (\d+) of (\d+) clips?\b(?:, against \d+ % of [^.]*)?")
_TRAILING = re.compile(r", \w+ing\b")  # a participle after a comma: the count needs one as well
_SURE = r"(?:sure|certainly|of\ course|absolutely|okay|ok|great|thanks|thank\ you|hello|hi)"
_CHATTER = re.compile(
    rf"""
    ^{_SURE}(?:\s*[,.!:;—–]|$) | ^sure\ here\b
    | ^here(?:'s|’s|\ is|\ are)\b | ^(?:below|the\ following)\ (?:is|are)\b
    | ^(?:based\ on|according\ to|judging\ (?:by|from)|looking\ at)\b[^.]*:$
    | ^(?:in\ )?(?:summary|conclusion)\W*$ | ^answer\W*$
    | ^(?:the\ )?(?:main\ )?(?:commonalit(?:y|ies)|common\ (?:features|themes|elements|characteristics))[^.]*:$
    | \blet\ me\ know\b | \bfeel\ free\b | \bhop(?:e|ing)\ (?:this|that|it)\ helps\b
    | ^i\ hope\b | ^(?:if|do)\ you\b.*\b(?:need|want|like|have)\b | ^please\ (?:provide|share|note|let|specify)\b
    | \b(?:any|more|further)\ questions\b | \bhappy\ to\ help\b | \bas\ an\ ai\b
    | ^i(?:'m|’m|\ am)\ (?:sorry|unable)\b | ^i\ (?:cannot|can't|can’t|can\ not)\b | ^would\ you\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LEAD_IN = re.compile(
    rf"""^(?:
        {_SURE}\s*[,.!:;—–]+\s+
        | (?:here(?:'s|’s|\ is|\ are)|below\ (?:is|are)|the\ following\ (?:is|are))\b[^:]{{0,160}}:\s+
        | (?:based\ on|according\ to|judging\ (?:by|from)|looking\ at)\ [^,:]{{0,120}}[,:]\s+
        | (?:in\ (?:summary|conclusion)|to\ (?:summari[sz]e|sum\ up)|overall)\s*[,:]\s+
        | (?:summary|answer)\s*:\s+
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, without bullets and markup.

    A line ends a sentence unless the next begins in lower case. Points in abbreviations, initials and numbers end none.
    """
    return [sentence for block in _blocks(_MARKUP.sub("", text)) for sentence in _split(block)]


def join_sentences(parts: Iterable[str]) -> str:
    """Sentences as one text; those that end without a mark get a full stop."""
    return " ".join(part if _is_ended(part) else f"{part}." for part in parts)


def _is_ended(sentence: str) -> bool:
    return sentence.rstrip("\"'”’»)]")[-1:] in tuple(".!?…:;。！？")


def counted_sentence(clause: str, count: int, of: int, common: float | None = None) -> str:
    """A sentence that says of how many clips a clause holds: A dog barks in 4 of 5 clips. See `idea` and `share`.

    common  share of the layer's exemplars that it holds of as well, if that is to be said
    """
    comma = "," if _TRAILING.search(clause) else ""
    layer = "" if common is None else f", against {100 * common:.0f} % of the layer's exemplars"
    return f"{clause[:1].upper()}{clause[1:]}{comma} in {count} of {of} clips{layer}."


def idea(sentence: str) -> str:
    """A sentence without counts such as "in 4 of 5 clips" and (4 of 5), which say how often and not what."""
    return " ".join(_COUNT.sub("", sentence).split())


def share(sentence: str) -> float:
    """Of how many of the clips a sentence says that it holds, 0 to 1: the highest of its counts; 1 without one."""
    counts = [(int(first or count), int(second or of)) for first, second, count, of in _COUNT.findall(sentence)]
    return max((count / of for count, of in counts if of), default=1.0)


def telling_sentences(text: str) -> list[str]:
    """The sentences that say something: no address to the reader ("Sure, here are …", "Let me know …"), no fragments.

    A lead-in before something that is said ("Based on the descriptions, the clips are loud.") goes alone. Sentences
    of less than three words are left out unless all are so short.
    """
    bare = [_without_lead_in(sentence) for sentence in sentences(text)]
    telling = [sentence for sentence in bare if not _CHATTER.search(sentence) and compounds(sentence)]
    return [sentence for sentence in telling if len(sentence.split()) >= _FEWEST_WORDS] or telling


def _without_lead_in(sentence: str) -> str:
    before = None
    while sentence != before:
        before, sentence = sentence, _LEAD_IN.sub("", sentence)
    return sentence[:1].upper() + sentence[1:]


def _blocks(text: str) -> list[str]:
    """Runs of lines that belong together."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        item = _BULLET.match(line)
        stripped = (line[item.end() :] if item else line).strip()
        if item or not stripped[:1].islower():
            blocks.append([])
        blocks[-1].append(stripped)
    texts = (" ".join(" ".join(lines).split()) for lines in blocks)
    return [text for text in texts if text]


def _split(block: str) -> list[str]:
    parts, first = [], 0
    for end in _END.finditer(block):
        if end.group().startswith(".") and _goes_on(block[first : end.start()], end.group(), block[end.end() :]):
            continue
        parts.append(block[first : end.end()].strip())
        first = end.end()
    return [sentence for sentence in [*parts, block[first:].strip()] if sentence]


def _goes_on(before: str, mark: str, after: str) -> bool:
    """Whether a point is one of an abbreviation, an initial or an ellipsis, not the end of a sentence.

    A small letter after it tells nothing by itself: there are models that write no capitals.
    """
    word = before.rsplit(maxsplit=1)[-1].lstrip("(\"'“‘[") if before.split() else ""
    if (following := after.lstrip()[:1]).islower():
        return len(mark) > 1 or "." in word or word.lower() in _BEFORE_A_SMALL_LETTER
    if word.lower() in _BEFORE_A_NUMBER:
        return following.isdigit()
    initial = len(word) == 1 and word.isupper() and word != "I"
    return bool(following) and (initial or word.lower() in _BEFORE_A_NAME)
