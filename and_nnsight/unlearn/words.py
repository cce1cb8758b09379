"""The words of a concept's name, to be found among the words of an explanation: whole words in their base form."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..explain.text.stop_words import NOUNS
from ..explain.text.tagging import tag

_NO_WORDS = ("other", "preposition")


def concept_words(concept: str | Iterable[str]) -> frozenset[str]:
    """The words of a name (`sea_waves`: sea, wave), or base forms of a list of words; stop words are left out.

    A word that may be of several parts of speech ("crying") is there as it stands and in its base form.
    """
    if isinstance(concept, str):
        tagged = tag(" ".join(concept.replace("_", " ").split()))
    else:
        tagged = [word for text in concept for word in tag(text)]
    kept = [word for word in tagged if word.part not in _NO_WORDS and word.lemma not in NOUNS]
    return frozenset(form for word in kept for form in (word.word.casefold(), word.lemma))


def has_word(word: str, wanted: Collection[str]) -> frozenset[str]:
    """Which of the wanted words a word of an explanation is: it, or a part of a hyphenated one; never a substring."""
    return frozenset(part for part in (word, *word.split("-")) if part in wanted)
