"""What tiers are called, what stands for silence in them, and the pauses between their words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from .annotations import Annotation

WORDS, PHONES, SPEAKER, PAUSE = "words", "phones", "speaker", "pause"
SHORTEST_PAUSE = 0.1
"""Seconds: shorter gaps are articulation (a stop's closure) or an aligner's rounding."""

_NAMES = {
    **dict.fromkeys(("word", "words", "wrd", "ort", "ort-mau", "orthography"), WORDS),
    **dict.fromkeys(("phone", "phones", "phn", "phoneme", "phonemes", "mau", "segment", "segments"), PHONES),
}  # of the Montreal aligner, WebMAUS, TIMIT and others
_SILENCES = frozenset(("", "sil", "<sil>", "sp", "pau", "<p:>", "<eps>", "h#", "#"))
_SPEAKERS_TIER = re.compile(r"(?P<speaker>.*\S) - (?P<tier>words|phones)")  # as the Montreal aligner writes them


def in_known_tiers(annotations: Iterable[Annotation]) -> list[Annotation]:
    """Annotations in tiers of one name for words and one for phones, without labels that stand for silence.

    A tier such as `Anna - words` is one of words, and Anna is the speaker while one of them is spoken.
    """
    known: list[Annotation] = []
    for each in annotations:
        match = _SPEAKERS_TIER.fullmatch(each.tier)
        name = match["tier"] if match else each.tier
        tier = _NAMES.get(name.lower(), name)
        if tier in (WORDS, PHONES) and each.label.lower() in _SILENCES:
            continue
        known.append(Annotation(tier, each.label, each.start, each.end))
        if match and tier == WORDS:
            known.append(Annotation(SPEAKER, match["speaker"], each.start, each.end))
    return known


def with_pauses(by_clip: Mapping[int, list[Annotation]]) -> dict[int, list[Annotation]]:
    """With the pauses of every clip: where for 0.1 s or more nothing is spoken, before, between or after words.

    Spoken is what the tier of words says, in the whole collection, and where there is none that of phones. Without
    either there are no pauses.
    """
    tiers = {each.tier for annotations in by_clip.values() for each in annotations}
    spoken = next((tier for tier in (WORDS, PHONES) if tier in tiers), None)
    if spoken is None or PAUSE in tiers:
        return dict(by_clip)
    return {clip: [*each, *_pauses([one for one in each if one.tier == spoken])] for clip, each in by_clip.items()}


def _pauses(spoken: list[Annotation]) -> list[Annotation]:
    """The last has no end but the clip's."""
    pauses, silent_since = [], 0.0
    for each in sorted(spoken, key=lambda one: (one.start, one.end)):
        if each.start - silent_since >= SHORTEST_PAUSE:
            pauses.append(Annotation(PAUSE, PAUSE, silent_since, each.start))
        silent_since = max(silent_since, each.end)
    return [*pauses, Annotation(PAUSE, PAUSE, silent_since, math.inf)]
