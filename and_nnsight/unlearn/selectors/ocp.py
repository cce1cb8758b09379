"""`ocp`, open-concept pruning (the paper's Table 4): units whose exemplars' captions carry the concept.

The paper goes by the nouns of a unit's calibrated summary. A summary says in one sentence what five captions say, and
loses how many of them say it; so units are ranked by the captions themselves, and the summary decides between equals:

1. units of which at least three of the five highest clips have a caption that carries the concept (the paper's "K' of
   5"): these are what the method finds, where no number of units is asked for
2. where activations were kept, how far the mean of the clips whose captions carry it lies above that of all clips: five
   captions tell the units that are found apart, and all captions tell how much of the concept a unit carries
3. share of all stored exemplars whose caption carries it, each counting by its strength, then the share of the five
4. whether the calibrated summary carries it, where there are summaries
5. where no high exemplar carries it, the share of the lowest ones: these units follow all others, in case more are
   asked for

`ocp_exemplars` leaves out 2: the same by the stored exemplars alone, as where no activations were kept.

Only exemplars that are evidence count: decided, strong, and no copies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

import torch

from ...dissection.dissection import Dissection
from ...explain.records.description_rows import CalibratedRow
from ...explain.records.reading import has_table, read_table
from ..names import same_name
from ..phrases import Phrase, Stems, content_stems, name_stems, phrase_of
from ..unit_set import ChoiceError
from .captions import ExemplarCaptions
from .exemplar_shares import MOST, shares
from .keys import Keys, Ranked, Wanted, known_classes, site_keys

_EXEMPLARS = ("share of all stored exemplars by strength", "of the top 5", "calibrated summary", "lowest")


def by_captions(dissection: Dissection, wanted: Wanted, every_clip: bool = True) -> Ranked:
    """Rank every unit of which at least one stored exemplar has a caption that carries the concept; all, where kept.

    every_clip  whether the captions of clips that are no exemplars count, where activations were kept

    Raises DissectionError where there are no captions; ChoiceError where none carries the concept, and where no unit
    has such an exemplar.
    """
    captions = ExemplarCaptions(dissection)
    phrase, missing = concept_phrase(wanted, known_classes(dissection), captions.texts())
    carries = lru_cache(maxsize=None)(phrase.in_caption)
    summaries = _carrying_summaries(dissection, phrase)
    by_mean = every_clip and captions.kept
    keys: Keys = {}
    exemplified = 0
    for site, width in wanted.widths.items():
        high, low = (shares(dissection, site, captions.flags(site, side, carries), side) for side in ("top", "bottom"))
        summary = torch.tensor([float((site, unit) in summaries) for unit in range(width)])
        most = (high.few >= MOST).float()
        parts = [most, high.strong, high.few, summary, low.strong]
        if by_mean:
            parts.insert(1, captions.mean_above(site, carries))
        shown = ((high.all > 0) | (low.all > 0)).tolist()
        keys |= {unit: key for unit, key in site_keys(site, parts).items() if by_mean or shown[unit[1]]}
        exemplified += int((high.all > 0).sum())
    if not keys:
        raise ChoiceError(f"no unit of these sites has an exemplar whose caption carries {wanted.concept!r}")
    rank = ["three of the top 5", *["mean over clips with such a caption"] * by_mean, *_EXEMPLARS]
    settings = {
        "phrases": [" ".join(way) for way in phrase.wanted],
        "in_no_caption": sorted(missing),
        "captions": captions.captioner,
        "rank": ", ".join(rank),
        "with_an_exemplar": exemplified,
    }
    return Ranked(keys, settings, frozenset(unit for unit, key in keys.items() if key[0]))


def concept_phrase(wanted: Wanted, classes: Iterable[str], captions: Iterable[str]) -> tuple[Phrase, set[str]]:
    """What captions must carry, and the words of the name that are left out because no caption has them.

    Where a word of a name of several occurs in no caption at all ("speech" of speech_english, whose captions say "a
    voice speaks English"), the other words stand for the name. Raises ChoiceError where no caption carries it.
    """
    captions = list(captions)
    others = _other_classes(wanted.concept, list(classes))
    ways = [name_stems(wanted.concept if way is None else way) for way in wanted.words or (None,)]
    if not any(ways):
        raise ChoiceError(f"no word of {wanted.concept!r} could be a concept: say words= (--words)")
    phrase = phrase_of(ways, others)
    if any(phrase.in_caption(caption) for caption in captions):
        return phrase, set()
    known = {word for caption in captions for word in content_stems(caption)}
    missing = {word for way in ways for word in way if word not in known}
    rest = [tuple(word for word in way if word in known) for way in ways]
    phrase = phrase_of(rest, others)
    if not missing or not any(phrase.in_caption(caption) for caption in captions):
        raise ChoiceError(_nothing_said(wanted.concept, ways, known))
    return phrase, missing


def _other_classes(concept: str, classes: Collection[str]) -> list[str]:
    """The classes whose names a concept must be told from; none if it is no class itself: guitar is all guitars."""
    own = same_name(concept, classes)
    return [] if own is None else [name for name in classes if name != own]


def _nothing_said(concept: str, ways: list[Stems], known: set[str]) -> str:
    said = " or ".join(repr(" ".join(way)) for way in ways if way)
    there = sorted({word for way in ways for word in way if word in known})
    single = f" ({', '.join(there)} {'occurs' if len(there) == 1 else 'occur'}, not together)" if there else ""
    return f"no caption carries {said}, for {concept!r}{single}: say how captions put it with words= (--words)"


def _carrying_summaries(dissection: Dissection, phrase: Phrase) -> set[tuple[str, int]]:
    if not has_table(dissection, "calibrated"):
        return set()
    carries = lru_cache(maxsize=None)(phrase.in_caption)
    rows = read_table(dissection, CalibratedRow)
    return {(row.site, row.unit) for row in rows if row.calibrated and carries(row.calibrated)}
