"""`keywords`: what a unit's captions say more often than chance and its layer do, in sentences. No language model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ....wording import agree, counted
from ...acoustics.traits import as_clause, not_spoken_of
from ...roles import CaptionedExemplar, Evidence, Failure, Summary
from ...text.clauses import clause
from ...text.corpus import Corpus
from ...text.names import bound_names
from ...text.phrases import Phrases
from ...text.sentences import counted_sentence
from ..traits import SharedTraits, Traits
from ._statements import Statement, statements

_FEWEST_CAPTIONS = 2
TRAITS_TOO = "traits"


class Keywords:
    """Says what a unit's captions share beyond chance, and tells it from the units of its layer. No language model.

    One to three sentences, the most telling first, with the number of captions that each holds of: `A telephone rings,
    starting abruptly, in 4 of 5 clips.` What is said is over-represented against the captions at the unit's other end
    and all captions (see `text.corpus`), the first sentence by more than is seen in 19 of 20 draws of random clips.
    What the exemplars of the layer's other units have more rarely comes first; where nothing tells a unit from its
    layer, the sentence says so: `…in 5 of 5 clips, against 78 % of the layer's exemplars.` Words that are spoken in the
    clips are told last, and only if clips share them that are described otherwise. `keywords:traits` tells as well how
    the clips sound, measured (see `traits`), where their captions do not tell the unit from its layer. A side of which
    nothing can be said is a Failure that says so.
    """

    deterministic: ClassVar[bool] = True  # what failed fails again: it is not tried anew

    def __init__(
        self,
        form: str = "",
        *,
        corpus: Sequence[str] | None = None,
        layers: Mapping[str, Sequence[float]] | None = None,
        traits: Traits | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Count the words of a corpus.

        form    "traits", or nothing
        corpus  the captions that chance draws from; None: those of the evidence that is summarized
        layers  of a site, a weight for every caption of the corpus: the share it has in the exemplars of all units
        traits  how clips sound, beside what their captions say; None: the captions alone are gone by
        names   of kinds of sources, beside those of instruments: a word before the last one of a name is part of it

        Raises ValueError for another form.
        """
        if form not in ("", TRAITS_TOO):
            raise ValueError(f"unknown form {form!r} of keywords: {TRAITS_TOO}, or none")
        self._phrases = Phrases(bound_names(names))
        self._corpus = None if corpus is None else Corpus(self._phrases, corpus, layers)
        self._traits = traits

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a summary depends on beside the captions: how the background's clips sound, if that was measured."""
        return {"traits": None if self._traits is None else self._traits.hash}

    def summarize(self, evidence: Sequence[Evidence]) -> Iterator[Summary]:
        """One summary a unit. Without a corpus, the captions of all this evidence are the corpus."""
        corpus = self._corpus
        if corpus is None:
            captions = {exemplar.clip: exemplar.caption for unit in evidence for exemplar in unit.highly + unit.lowly}
            corpus = Corpus(self._phrases, list(captions.values()))
        for unit in evidence:
            highly = self._summary(corpus, unit.highly, unit.lowly, unit.site, self._shared_traits(unit, "top"))
            lowly = self._summary(corpus, unit.lowly, unit.highly, None, self._shared_traits(unit, "bottom"))
            yield Summary(highly, lowly)

    def _shared_traits(self, unit: Evidence, side: str) -> SharedTraits | None:
        return None if self._traits is None else self._traits.shared(unit.site, unit.unit, side)

    def _summary(
        self,
        corpus: Corpus,
        side: Sequence[CaptionedExemplar],
        other: Sequence[CaptionedExemplar],
        site: str | None,
        traits: SharedTraits | None,
    ) -> str | Failure:
        captions, others = [exemplar.caption for exemplar in side], [exemplar.caption for exemplar in other]
        if len(captions) < _FEWEST_CAPTIONS:
            have = agree(len(captions), "has", "have")
            return Failure(
                f"{len(captions)} of the clips that are evidence {have} a caption: "
                f"at least {_FEWEST_CAPTIONS} are needed"
            )
        strengths = [exemplar.strength for exemplar in side]
        shared = corpus.shared(captions, others, site=site, strengths=strengths)
        in_order = statements(shared, corpus, site)
        sentences = [self._sentence(statement, captions) for statement in in_order]
        tells_apart = bool(in_order) and in_order[0].common is None
        if traits is not None and not tells_apart:  # else a trait would only hide what the sound is
            sentences += _of_traits(traits, sentences)
        if not sentences:
            return Failure(
                f"no word or phrase is in more of its {counted(len(captions), 'caption')} than chance, or its layer, "
                "has it"
            )
        return " ".join(dict.fromkeys(sentences))

    def _sentence(self, statement: Statement, captions: Sequence[str]) -> str:
        having = [captions[place] for place in sorted(statement.having)]
        if self._phrases.is_spoken(statement.lead.key):
            words = self._spelling(statement.lead.key, having)
            text = f"the words “{words}” are spoken" if " " in words else f"the word “{words}” is spoken"
        else:
            stems, implied = self._stems(statement.words), self._stems(statement.implied)
            text = clause(having, stems, implied) or self._spelling(statement.lead.key, having)
        return counted_sentence(text, len(having), len(captions), statement.common)

    def _stems(self, keys: Iterable[int]) -> frozenset[str]:
        return frozenset(word for key in keys for word in self._phrases.words(key))

    def _spelling(self, key: int, captions: Sequence[str]) -> str:
        """A phrase as most of the captions have it."""
        spans = ((caption, self._phrases.spans(caption)[key]) for caption in captions)
        forms = Counter(" ".join(caption[start:end].split()) for caption, (start, end) in spans)
        return min(forms, key=lambda form: (-forms[form], len(form), form))


def _of_traits(traits: SharedTraits, sentences: Sequence[str]) -> list[str]:
    """A sentence of the traits that other sentences say nothing about; none where there are none."""
    names = not_spoken_of(traits.names, " ".join(sentences))
    return [counted_sentence(as_clause(names), traits.count, traits.of)] if names else []
