"""Which of the phrases that a unit's captions share make a statement, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...text.corpus import Corpus
from ...text.phrases import parts, without
from ...text.shared_phrase import SharedPhrase

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
_GREATER = 0.5  # of the weights of captions: more is most
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

    lead: SharedPhrase
    words: frozenset[int]
    having: frozenset[int]
    implied: frozenset[int] = frozenset()
    common: float | None = None


def statements(shared: Sequence[SharedPhrase], corpus: Corpus, site: str | None = None) -> list[Statement]:
    """What is to be said of captions, the most telling first: at most `MOST` statements.

    The first is beyond chance, and of what is, tells the unit best from its layer (the highest gain); what only some of
    the captions with another phrase have is not the first unless it is over-represented among all captions with that
    other: where all five are speech, that three are Spanish is not, if a fourth of all speech is. Where nothing tells
    the unit from its layer, what its captions share most is said, and how common that is; nothing where all that they
    share is rarer among them than in the layer.

    Further ones are other kinds of sound that the unit fires for, so that two kinds are both told, and no word that is
    common to them (see `PhraseGains.together`); then what does not follow from what is told (see `PhraseGains.beyond`):
    that harps are notes is not told, that most clips are low is, if more of them are than of all harps and of the
    layer's other exemplars. Spoken words come last, and never alone. Where all of this is of the lesser part of what
    the unit fires for, what most of the rest shares is told at the end, common in the layer as it is: of a unit that
    fires most for voices, as all of its layer do, "a crash cymbal" alone would be a wrong picture.

    site  as in `Corpus.shared`
    """
    whole = _whole_phrases(shared, corpus)
    telling = [one for one in whole if all(corpus.gains.adds(one, other) for other in whole)]
    lead = _lead(telling, corpus)
    if lead is None:
        return []
    least = max(TELLING, _LEAST_OF_FIRST * lead.phrase.gain)
    kinds = _with_other_kinds(lead.phrase, whole, least, corpus, site)
    _, *further = _with_further(kinds, telling, least, corpus)
    made = [_statement(lead.phrase, whole, corpus, lead.common), *(_statement(one, whole, corpus) for one in further)]
    rest = _of_the_rest([one.having for one in made], telling, corpus)
    return made if rest is None else [*made[: MOST - 1], _statement(rest, whole, corpus, rest.common)]


@dataclass(frozen=True)
class _Lead:
    """The phrase of the first statement; its share of the layer's exemplars where it does not tell the unit apart."""

    phrase: SharedPhrase
    common: float | None


def _whole_phrases(shared: Sequence[SharedPhrase], corpus: Corpus) -> list[SharedPhrase]:
    """The phrases that nothing trails along in, the most telling first."""
    words = {one.key: one.z for one in shared if len(parts(one.key)) == 1}
    whole = (one for one in shared if _is_whole(one, words, corpus))
    return sorted(whole, key=lambda one: _order(one, one.gain, corpus))


def _lead(telling: Sequence[SharedPhrase], corpus: Corpus) -> _Lead | None:
    sounds = [one for one in telling if one.beyond and not corpus.phrases.is_spoken(one.key)]
    if not sounds:
        return None
    if sounds[0].gain >= TELLING:
        return _Lead(sounds[0], None)
    lead = _most_shared(sounds)
    return None if lead is None else _Lead(lead, lead.common)


def _most_shared(sounds: Sequence[SharedPhrase]) -> SharedPhrase | None:
    """What most of the captions have, of what is not rarer among them than in the layer; None: all of it is."""
    not_rarer = [one for one in sounds if one.gain >= 0]
    return min(not_rarer, key=lambda one: (-len(one.having), -one.z, one.key), default=None)


def _is_of_many(phrase: SharedPhrase) -> bool:
    """Whether a further statement would be of enough captions: of sixteen, two are of one kind by chance."""
    return len(phrase.having) >= _LEAST_SHARE * len(phrase.weights)


def _is_of_many_sounds(phrase: SharedPhrase, corpus: Corpus) -> bool:
    return _is_of_many(phrase) and not corpus.phrases.is_spoken(phrase.key)


def _with_other_kinds(
    lead: SharedPhrase, whole: Sequence[SharedPhrase], least: float, corpus: Corpus, site: str | None
) -> list[SharedPhrase]:
    """The lead and what raises most, by `TELLING` at least, the gain of all that is told together."""
    leads, gain = [lead], corpus.gains.together([lead], site)
    left = [one for one in whole if one is not lead and one.gain >= least and _is_of_many_sounds(one, corpus)]
    while left and len(leads) < MOST:
        covered = frozenset[int]().union(*(one.having for one in leads))
        gains = {one: corpus.gains.together([*leads, one], site) for one in left}
        best = min(left, key=lambda one: (-round(gains[one], 6), len(one.having & covered)))
        if gains[best] - gain < TELLING:
            break
        gain = gains[best]
        leads.append(best)
        left.remove(best)
    return leads


def _with_further(
    leads: Sequence[SharedPhrase], telling: Sequence[SharedPhrase], least: float, corpus: Corpus
) -> list[SharedPhrase]:
    """The leads and what does not follow from them, by a gain of `least` at least."""
    leads = list(leads)
    while len(leads) < MOST:
        others = [one for one in telling if _is_of_many(one) and _is_of_others(one, leads, corpus)]
        gains = {one: corpus.gains.beyond(one, leads) for one in others}
        left = [one for one, gain in gains.items() if gain >= least]
        if not left:
            break
        leads.append(min(left, key=lambda one: _order(one, gains[one], corpus)))
    return leads


def _of_the_rest(
    told: Sequence[frozenset[int]], telling: Sequence[SharedPhrase], corpus: Corpus
) -> SharedPhrase | None:
    """What most captions share of those that nothing is told of, where these are the greater part by their weights."""
    sounds = [one for one in telling if one.beyond and not corpus.phrases.is_spoken(one.key)]
    if not sounds:
        return None
    weights = sounds[0].weights
    rest = frozenset(range(len(weights))) - frozenset[int]().union(*told)

    def share(places: frozenset[int]) -> float:
        return sum(weights[place] for place in places & rest)

    if share(rest) <= _GREATER:
        return None
    of_most = [one for one in sounds if share(one.having) > _GREATER * share(rest)]
    return min(of_most, key=lambda one: (-share(one.having), -one.z, one.key), default=None)


def _is_of_others(phrase: SharedPhrase, leads: Sequence[SharedPhrase], corpus: Corpus) -> bool:
    """Whether a phrase is of other captions than every lead; of the same ones spoken words still say something else."""
    if all(phrase.having != lead.having for lead in leads):
        return True
    return phrase not in leads and corpus.phrases.is_spoken(phrase.key)


def _statement(
    lead: SharedPhrase, whole: Sequence[SharedPhrase], corpus: Corpus, common: float | None = None
) -> Statement:
    implied = _implied(lead, corpus)
    words = frozenset(parts(lead.key)) | _words_along(lead, whole, corpus)
    words -= {word for word in implied if corpus.index.rate(word) > _COMMON}
    return Statement(lead, words, lead.having, implied, common)


def _words_along(lead: SharedPhrase, whole: Sequence[SharedPhrase], corpus: Corpus) -> frozenset[int]:
    """The words that all captions with the lead have and that tell about as much, but for common ones."""
    least = lead.gain - (1 - _ALIKE) * abs(lead.gain)
    commonest = max(_COMMON, lead.common)
    alike = (one for one in whole if one.having >= lead.having and one.gain >= least and one.common <= commonest)
    words = {word for one in alike for word in parts(one.key)}
    return frozenset(word for word in words if corpus.index.rate(word) <= commonest)


def _implied(lead: SharedPhrase, corpus: Corpus) -> frozenset[int]:
    """Words at the ends of a phrase that are far commoner than it and follow from the rest: a crash cymbal is hit."""
    implied: set[int] = set()
    rest = lead.key
    while len(words := parts(rest)) > 1:
        edge = next((edge for edge in (words[0], words[-1]) if _follows(edge, rest, lead, corpus)), None)
        if edge is None:
            break
        implied.add(edge)
        rest = without(rest, edge)
    return frozenset(implied)


def _follows(edge: int, phrase: int, lead: SharedPhrase, corpus: Corpus) -> bool:
    is_far_commoner = corpus.index.rate(edge) > _FAR * corpus.index.rate(lead.key)
    return is_far_commoner and corpus.index.rate_among(edge, without(phrase, edge)) > _IMPLIED


def _is_whole(phrase: SharedPhrase, words: Mapping[int, float], corpus: Corpus) -> bool:
    """Whether nothing trails along in a phrase: it begins and ends with words that are over-represented themselves.

    Or none of its words is, only all of them together. What begins a name is over-represented with the name.
    """
    own = parts(phrase.key)
    telling = [words[word] for word in own if word in words]
    edges = {own[-1]} if corpus.phrases.begins_a_name(phrase.key) else {own[0], own[-1]}
    return not telling or all(words.get(edge, 0.0) >= _PEER * max(telling) for edge in edges)


def _order(phrase: SharedPhrase, gain: float, corpus: Corpus) -> tuple[float, ...]:
    return (corpus.phrases.is_spoken(phrase.key), -round(gain, 6), -len(parts(phrase.key)), -phrase.z, phrase.key)
