"""Which of the phrases that a unit's captions share are said, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...text.log_odds import Corpus, Shared
from ...text.phrases import parts, without

MOST = 3
"""Statements of one side of a unit."""
TELLING = 1.92
"""Gain in nats from where on a phrase tells a unit from its layer: a likelihood-ratio test at 5 %."""
_LEAST_SHARE = 0.15  # of the captions that a further statement must be of
_LEAST_OF_FIRST = 0.15  # of the first statement's gain: what a further one must have
_ALIKE = 0.5  # of the statement's gain: what a word that is said along with it must have
_COMMON = 0.25  # share of the layer's exemplars from where on a word is not said along with a rarer one
_FAR = 5  # times as common as a phrase: a word that may follow from it
_IMPLIED = 0.9  # share of the corpus's captions with a phrase from where on a word follows from it
_PEER = 0.5  # of the highest z-score in a phrase: what its first and last word must reach


@dataclass(frozen=True)
class Statement:
    """Phrases that are told of the same captions.

    lead    the phrase that the statement is about
    words   keys of the words of what all of these captions have and what tells about as much, the lead's among them
    having  the captions, by place
    implied  keys of words that follow from the lead: a crash cymbal is hit
    common  share of the layer's exemplars that it holds of, where it does not tell the unit from these; else None
    """

    lead: Shared
    words: frozenset[int]
    having: frozenset[int]
    implied: frozenset[int] = frozenset()
    common: float | None = None


def statements(found: Sequence[Shared], corpus: Corpus, site: str | None = None) -> list[Statement]:
    """What is said of captions, the most telling first: at most `MOST` statements.

    The first is beyond chance, and of what is, tells the unit best from its layer (the highest gain); what only some of
    the captions with another phrase have is not the first unless it is over-represented among all captions with that
    other: where all five are speech, that three are Spanish is not, if a fourth of all speech is. Where nothing tells
    the unit from its layer, what its captions share most is said, and how common that is; nothing where all that they
    share is rarer among them than in the layer.

    Further ones are other kinds of sound that the unit fires for, so that two kinds are both told, and no word that is
    common to them (see `Corpus.gain_together`); then what does not follow from what is told (see `Corpus.gain_beyond`):
    that harps are notes is not told, that most clips are low is, if more of them are than of all harps and of the
    layer's other exemplars. Spoken words come last, and never alone.

    site  as in `Corpus.shared`
    """
    words = {one.key: one.z for one in found if len(parts(one.key)) == 1}
    whole = [one for one in found if _is_whole(one, words, corpus)]
    ordered = sorted(whole, key=lambda one: _order(one, one.gain, corpus))
    told = [one for one in ordered if all(corpus.adds(one, other) for other in whole)]
    sounds = [one for one in told if one.beyond and not corpus.phrases.is_spoken(one.key)]
    if not sounds:
        return []
    lead, common = sounds[0], None
    if lead.gain < TELLING:
        not_rarer = [one for one in sounds if one.gain >= 0]
        if not not_rarer:
            return []
        lead = min(not_rarer, key=lambda one: (-len(one.having), -one.z, one.key))
        common = lead.common
    least = max(TELLING, _LEAST_OF_FIRST * lead.gain)
    ordered, told = ([one for one in some if _is_of_many(one)] for some in (ordered, told))
    chosen = _with_other_kinds(lead, [one for one in ordered if one.gain >= least], corpus, site)
    while len(chosen) < MOST:
        said = [one.having for one in chosen]
        others = [one for one in told if one.having not in said or _adds_words(one, chosen, corpus)]
        gains = {one: corpus.gain_beyond(one, chosen) for one in others}
        left = [one for one, gain in gains.items() if gain >= least]
        if not left:
            break
        chosen.append(min(left, key=lambda one: _order(one, gains[one], corpus)))
    return [_statement(lead, whole, corpus, common), *(_statement(one, whole, corpus) for one in chosen[1:])]


def _is_of_many(one: Shared) -> bool:
    """Whether a further statement would be of enough captions: of sixteen, two are of one kind by chance."""
    return len(one.having) >= _LEAST_SHARE * len(one.weights)


def _adds_words(one: Shared, chosen: Sequence[Shared], corpus: Corpus) -> bool:
    """Whether a phrase is of spoken words, which no statement has yet: of the same clips they say something else."""
    return one not in chosen and corpus.phrases.is_spoken(one.key)


def _with_other_kinds(lead: Shared, ordered: Sequence[Shared], corpus: Corpus, site: str | None) -> list[Shared]:
    """The first statement and what raises most, by `TELLING` at least, the gain of all that is told together."""
    chosen, gain = [lead], corpus.gain_together([lead], site)
    left = [one for one in ordered if one is not lead and not corpus.phrases.is_spoken(one.key)]
    while left and len(chosen) < MOST:
        said = frozenset().union(*(one.having for one in chosen))
        gains = {one: corpus.gain_together([*chosen, one], site) for one in left}
        best = min(left, key=lambda one: (-round(gains[one], 6), len(one.having & said)))
        if gains[best] - gain < TELLING:
            break
        gain = gains[best]
        chosen.append(best)
        left.remove(best)
    return chosen


def _statement(lead: Shared, whole: Sequence[Shared], corpus: Corpus, common: float | None = None) -> Statement:
    least = lead.gain - (1 - _ALIKE) * abs(lead.gain)
    alike = (one for one in whole if one.having >= lead.having and one.gain >= least)
    keys = [one.key for one in alike if one.common <= max(_COMMON, lead.common)]
    own = frozenset(parts(lead.key))
    along = {word for key in keys for word in parts(key)} - own
    words = own | {word for word in along if corpus.rate(word) <= max(_COMMON, lead.common)}
    implied = _implied(lead, corpus)
    words -= {word for word in implied if corpus.rate(word) > _COMMON}
    return Statement(lead, words, lead.having, implied, common)


def _implied(lead: Shared, corpus: Corpus) -> frozenset[int]:
    """Words at the ends of a phrase that are far commoner than it and follow from the rest: a crash cymbal is hit."""
    found: set[int] = set()
    rest = lead.key
    while len(said := parts(rest)) > 1:
        far = [edge for edge in (said[0], said[-1]) if corpus.rate(edge) > _FAR * corpus.rate(lead.key)]
        follows = [edge for edge in far if corpus.rate_among(edge, without(rest, edge)) > _IMPLIED]
        if not follows:
            break
        found.add(follows[0])
        rest = without(rest, follows[0])
    return frozenset(found)


def _is_whole(one: Shared, words: Mapping[int, float], corpus: Corpus) -> bool:
    """Whether nothing trails along in a phrase: it begins and ends with words that are over-represented themselves.

    Or none of its words is, only all of them together. What begins a name is over-represented with the name.
    """
    said = parts(one.key)
    telling = [words[word] for word in said if word in words]
    edges = {said[-1]} if corpus.phrases.begins_a_name(one.key) else {said[0], said[-1]}
    return not telling or all(words.get(edge, 0.0) >= _PEER * max(telling) for edge in edges)


def _order(one: Shared, gain: float, corpus: Corpus) -> tuple[float, ...]:
    return (corpus.phrases.is_spoken(one.key), -round(gain, 6), -len(parts(one.key)), -one.z, one.key)
