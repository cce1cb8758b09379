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
from itertools import chain

import torch

from ...dissection.dissection import Dissection
from ...explain.records.description_rows import CalibratedRow
from ...explain.records.reading import has_table, read_table
from ..names import same_name
from ..phrases import Phrase, Stems, content_stems, name_stems, phrase_of
from ..unit_set import ChoiceError
from .captions import ExemplarCaptions
from .exemplar_shares import MOST, Shares, shares
from .keys import ConceptQuery, Keys, RankedUnits, known_classes, site_keys

_EXEMPLARS = ("share of all stored exemplars by strength", "of the top 5", "calibrated summary", "lowest")


def by_captions(dissection: Dissection, query: ConceptQuery, every_clip: bool = True) -> RankedUnits:
    """Rank every unit of which at least one stored exemplar has a caption that carries the concept; all, where kept.

    every_clip  whether the captions of clips that are no exemplars count, where activations were kept

    Raises DissectionError where there are no captions; ChoiceError where none carries the concept, and where no unit
    has such an exemplar.
    """
    captions = ExemplarCaptions(dissection)
    phrase, missing = concept_phrase(query, known_classes(dissection), captions.texts())
    carriers = _Carriers(dissection, captions, phrase, by_mean=every_clip and captions.has_activations)
    keys: Keys = {}
    for site, width in query.widths.items():
        keys |= carriers.keys(site, width)
    if not keys:
        raise ChoiceError(f"no unit of these sites has an exemplar whose caption carries {query.concept!r}")
    settings = {
        "phrases": [" ".join(way) for way in phrase.ways],
        "in_no_caption": sorted(missing),
        "captions": captions.captioner,
        "rank": carriers.rank,
        "with_an_exemplar": carriers.exemplified,
    }
    return RankedUnits(keys, settings, frozenset(unit for unit, key in keys.items() if key[0]))


class _Carriers:
    """The units whose exemplars' captions carry a phrase.

    by_mean      whether units are also ranked by the clips that are no exemplars
    exemplified  how many units of the sites asked for so far have such an exemplar among their highest
    """

    def __init__(self, dissection: Dissection, captions: ExemplarCaptions, phrase: Phrase, by_mean: bool) -> None:
        self._dissection, self._captions, self._by_mean = dissection, captions, by_mean
        self._carries = lru_cache(maxsize=None)(phrase.in_caption)
        self._summaries = _carrying_summaries(dissection, phrase)
        self.exemplified = 0

    def keys(self, site: str, width: int) -> Keys:
        """What a site's units are ranked by: all, or those with such an exemplar at either end."""
        high, low = self._shares(site, "top"), self._shares(site, "bottom")
        self.exemplified += int((high.all > 0).sum())
        summary = torch.tensor([float((site, unit) in self._summaries) for unit in range(width)])
        most = (high.few >= MOST).float()
        if self._by_mean:
            mean = self._captions.mean_above(site, self._carries)
            return site_keys(site, [most, mean, high.strong, high.few, summary, low.strong])
        shown = ((high.all > 0) | (low.all > 0)).tolist()
        keys = site_keys(site, [most, high.strong, high.few, summary, low.strong])
        return {unit: key for unit, key in keys.items() if shown[unit[1]]}

    @property
    def rank(self) -> str:
        """What the parts of a key are."""
        every_clip = ("mean over clips with such a caption",) if self._by_mean else ()
        return ", ".join(("three of the top 5", *every_clip, *_EXEMPLARS))

    def _shares(self, site: str, side: str) -> Shares:
        return shares(self._dissection, site, self._captions.flags(site, side, self._carries), side)


def concept_phrase(query: ConceptQuery, classes: Iterable[str], captions: Iterable[str]) -> tuple[Phrase, set[str]]:
    """What captions must carry, and the words of the name that are left out because no caption has them.

    Where a word of a name of several occurs in no caption at all ("speech" of speech_english, whose captions say "a
    voice speaks English"), the other words stand for the name. Raises ChoiceError where no caption carries it.
    """
    captions = list(captions)
    others = _other_classes(query.concept, list(classes))
    ways = _ways(query)
    phrase = phrase_of(ways, others)
    if phrase.in_any(captions):
        return phrase, set()
    known = set(chain.from_iterable(map(content_stems, captions)))
    missing = set(chain.from_iterable(ways)) - known
    phrase = phrase_of([tuple(word for word in way if word in known) for way in ways], others)
    if not missing or not phrase.in_any(captions):
        raise ChoiceError(_no_caption(query.concept, ways, known))
    return phrase, missing


def _ways(query: ConceptQuery) -> list[Stems]:
    """The stems of every way to say the concept. Raises ChoiceError where none has a word that could be one."""
    ways = [name_stems(way) for way in query.words or (query.concept,)]
    if not any(ways):
        raise ChoiceError(f"no word of {query.concept!r} could be a concept: say words= (--words)")
    return ways


def _other_classes(concept: str, classes: Collection[str]) -> list[str]:
    """The classes whose names a concept must be told from; none if it is no class itself: guitar is all guitars."""
    own = same_name(concept, classes)
    return [] if own is None else [name for name in classes if name != own]


def _no_caption(concept: str, ways: list[Stems], known: set[str]) -> str:
    """That no caption carries a concept, and which of its words occur singly."""
    phrases = " or ".join(repr(" ".join(way)) for way in ways if way)
    occurring = sorted(set(chain.from_iterable(ways)) & known)
    verb = "occurs" if len(occurring) == 1 else "occur"
    single = f" ({', '.join(occurring)} {verb}, not together)" if occurring else ""
    return f"no caption carries {phrases}, for {concept!r}{single}: say how captions put it with words= (--words)"


def _carrying_summaries(dissection: Dissection, phrase: Phrase) -> set[tuple[str, int]]:
    if not has_table(dissection, "calibrated"):
        return set()
    carries = lru_cache(maxsize=None)(phrase.in_caption)
    rows = read_table(dissection, CalibratedRow)
    return {(row.site, row.unit) for row in rows if row.calibrated and carries(row.calibrated)}
