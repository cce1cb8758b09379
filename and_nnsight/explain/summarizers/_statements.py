"""Which of the phrases that a unit's captions share are said, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..text.log_odds import Corpus, Shared
from ..text.phrases import parts

MOST = 3
"""Statements of one side of a unit."""
TELLING = 1.92
"""Gain in nats from where on a phrase tells a unit from its layer: a likelihood-ratio test at 5 %."""
_LEAST_OF_FIRST = 0.3  # of the first statement's gain: what a further one must have
_ALIKE = 0.5  # of the statement's gain: what a word that is said along with it must have
_COMMON = 0.5  # share of the layer's exemplars from where on a word is not said along with a rarer one
_PEER = 0.5  # of the highest z-score in a phrase: what its first and last word must reach


@dataclass(frozen=True)
class Statement:
    """Phrases that are told of the same captions.

    lead    the phrase that the statement is about
    keys    of the phrases that all of these captions have and that tell about as much, the lead among them
    having  the captions, by place
    common  share of the layer's exemplars that it holds of, where it does not tell the unit from these; else None
    """

    lead: Shared
    keys: tuple[int, ...]
    having: frozenset[int]
    common: float | None = None


def statements(
    found: Sequence[Shared],
    corpus: Corpus,
    of: int,
    *,
    site: str | None = None,
    strengths: Sequence[float] | None = None,
) -> list[Statement]:
    """What is said of captions, the most telling first: at most `MOST` statements.

    The first is beyond chance, and of what is, tells the unit best from its layer (the highest gain); what only some of
    the captions with another phrase have is not the first unless it is over-represented among all captions with that
    other. A further one is what raises most the gain of all that is said together (`Corpus.gain_together`), by
    `TELLING` at least. So two kinds of sound that the unit fires for are both told, and no word that is common to them;
    and where all five are speech, that three are Spanish is not told if a fourth of all speech is. Where nothing tells
    the unit from its layer, what its captions share most is said, and how common that is. Spoken words come last, and
    never alone.

    of  how many captions there are; `site` and `strengths` as in `Corpus.shared`
    """
    words = {one.key: one.z for one in found if len(parts(one.key)) == 1}
    whole = [one for one in found if _is_whole(one, words)]
    ordered = sorted(whole, key=lambda one: _order(one, corpus))
    told = [one for one in ordered if all(corpus.adds(one, other) for other in whole)]
    sounds = [one for one in told if one.beyond and not corpus.phrases.is_spoken(one.key)]
    if not sounds:
        return []
    lead, common = sounds[0], None
    if lead.gain < TELLING:
        lead = min(sounds, key=lambda one: (-len(one.having), -one.z, one.key))
        common = lead.common
    least = max(TELLING, _LEAST_OF_FIRST * lead.gain)
    heard = [one for one in ordered if one is not lead and one.gain >= least and not corpus.phrases.is_spoken(one.key)]
    chosen, gain = [lead], corpus.gain_together([lead], of, site=site, strengths=strengths)
    while heard and len(chosen) < MOST:
        gains = [corpus.gain_together([*chosen, one], of, site=site, strengths=strengths) for one in heard]
        said = frozenset().union(*(one.having for one in chosen))
        best = min(
            range(len(heard)), key=lambda place: (-round(gains[place], 6), len(heard[place].having & said), place)
        )
        if gains[best] - gain < TELLING:
            break
        gain = gains[best]
        chosen.append(heard.pop(best))
    spoken = [one for one in told if one.gain >= least and corpus.phrases.is_spoken(one.key)]
    chosen += spoken[: MOST - len(chosen)]
    return [_statement(lead, whole, common), *(_statement(one, whole) for one in chosen[1:])]


def _statement(lead: Shared, whole: Sequence[Shared], common: float | None = None) -> Statement:
    least = lead.gain - (1 - _ALIKE) * abs(lead.gain)
    alike = (one for one in whole if one.having >= lead.having and one.gain >= least)
    keys = tuple(one.key for one in alike if one.common <= max(_COMMON, lead.common))
    return Statement(lead, keys, lead.having, common)


def _is_whole(one: Shared, words: Mapping[int, float]) -> bool:
    """Whether nothing trails along in a phrase: it begins and ends with words that are over-represented themselves.

    Or none of its words is, only all of them together.
    """
    telling = [words[word] for word in parts(one.key) if word in words]
    edges: Collection[int] = parts(one.key)[:: max(1, len(parts(one.key)) - 1)]
    return not telling or all(words.get(edge, 0.0) >= _PEER * max(telling) for edge in edges)


def _order(one: Shared, corpus: Corpus) -> tuple[float, ...]:
    return (corpus.phrases.is_spoken(one.key), -round(one.gain, 6), -len(parts(one.key)), -one.z, one.key)
