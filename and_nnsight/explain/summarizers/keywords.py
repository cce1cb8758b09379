"""`keywords`: what captions say more often than chance has it, counted. No language model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from ..roles import Evidence, Failure, Summary
from ..text.log_odds import Corpus
from ..text.phrases import Phrases

MOST_SENTENCES = 5
_FEWEST_CAPTIONS = 2


class Keywords:
    """Says what a unit's captions share beyond chance: words and phrases, by weighted log-odds. No language model.

    One phrase a sentence, the most shared first, with the number of captions that have it in any form:
    `Telephone ring (5 of 5). Low-pitched (4 of 5).` Each is over-represented against the captions at the unit's other
    end and all captions (see `log_odds`), by more than is seen in 19 of 20 draws of random clips. A side of which
    nothing can be said is a Failure that says so.
    """

    deterministic: ClassVar[bool] = True  # what failed fails again: it is not tried anew

    def __init__(self, *, corpus: Sequence[str] | None = None) -> None:
        self._phrases = Phrases()
        self._corpus = None if corpus is None else Corpus(self._phrases, corpus)

    def summarize(self, evidence: Sequence[Evidence]) -> Iterator[Summary]:
        """One summary a unit. Without a corpus, the captions of all this evidence are the corpus."""
        corpus = self._corpus
        if corpus is None:
            heard = {heard.clip: heard.caption for unit in evidence for heard in unit.highly + unit.lowly}
            corpus = Corpus(self._phrases, list(heard.values()))
        for unit in evidence:
            highly, lowly = ([heard.caption for heard in side] for side in (unit.highly, unit.lowly))
            yield Summary(self._said(corpus, highly, lowly), self._said(corpus, lowly, highly))

    def _said(self, corpus: Corpus, captions: list[str], others: list[str]) -> str | Failure:
        if len(captions) < _FEWEST_CAPTIONS:
            return Failure(f"{len(captions)} of its clips have a caption: at least {_FEWEST_CAPTIONS} are needed")
        shared = corpus.shared(captions, others)[:MOST_SENTENCES]
        if not shared:
            return Failure(f"no word or phrase is in more of its {len(captions)} captions than chance has it")
        return " ".join(f"{self._spelt(one.key, captions)} ({len(one.having)} of {len(captions)})." for one in shared)

    def _spelt(self, key: int, captions: list[str]) -> str:
        """A phrase as most of the captions have it, with a capital."""
        spans = ((caption, self._phrases.spans(caption).get(key)) for caption in captions)
        forms = [" ".join(caption[span[0] : span[1]].split()) for caption, span in spans if span is not None]
        forms = [form[0].upper() + form[1:] for form in forms]
        counts = Counter(forms)
        return min(counts, key=lambda form: (-counts[form], len(form), form))
