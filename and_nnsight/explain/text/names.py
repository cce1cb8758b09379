"""Names of kinds of sources, whose adjectives say what a thing is and not how it sounds: "acoustic grand piano".

A piano is acoustic as a horn is French. Names are the classes that a dataset has (its labels, the concepts of a run)
and a short list of instruments. No name is a class that names a sound and not a source ("dissonant cluster", "sad
music": there the adjective does say how it sounds); and no modifier of a name is a word of degree ("loud engine",
"high-pitched whistle") or one that says what the source does ("crackling fire").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .acoustic_adjectives import says_degree
from .english import GENERIC_WORDS, stem, words
from .tagging import Tagged

VERSION = 1
"""Goes up when the same adjective of the same text may be one of a name or not."""

INSTRUMENTS = tuple(
    name.strip()
    for name in """
    acoustic bass, acoustic grand piano, acoustic guitar, alto saxophone, baritone saxophone, bass clarinet, bass drum,
    bright acoustic piano, classical guitar, closed hi hat, digital piano, double bass, electric bass,
    electric grand piano, electric guitar, electric organ, electric piano, electric violin, electronic drum,
    electronic keyboard, electronic organ, english horn, french horn, fretless bass, honky tonk piano, open hi hat,
    overdriven guitar, pan flute, percussive organ, pizzicato strings, soprano saxophone, steel drums, steel guitar,
    tenor saxophone, tremolo strings, tubular bells, upright piano
    """.split(",")
)
"""Instruments with an adjective in their names: those of General MIDI, and a few of the same kind. Not those whose
adjective tells how long or loud they are ("short whistle")."""

_SOUNDS = frozenset(
    map(
        stem,
        """
        alarm band bang beat beep blast buzz chatter cheer chime chirp chord click cluster crackle crash creak cry echo
        gurgle harmonic harmony hiss hit hum knock laugh laughter line melody murmur music noise note overtone partial
        patter phrase pop pulse rap rattle rhythm ring roar rumble rustle scream screech shout siren sing song sound
        speech squeak strike sweep thud thump tick tone trill tremolo tune vibrato voice vocal wail whine whisper
        whoosh word yell
        """.split(),
    )
)
"""Stems of heads that name a sound, and no source of sounds."""
_ARTICLES = frozenset(("a", "an", "the"))
_LONGEST_NAME = 5
_SEPARATORS = re.compile(r"[_/]+")
_PARTS = re.compile(r"[,;()\[\]]")

Stems = tuple[str, ...]


class Names:
    """Finds the adjectives of a sentence that belong to a name, written in any number and with or without hyphens.

    names     of kinds, as datasets write them: `acoustic_grand_piano`, "Steel drums", "Male speech, man speaking". Of
              those, single words and names of sounds are no use. The instruments of this module are always among them
    captions  texts that tell what a lone adjective is a piece of: where it stands in names only, a summary's
              "Overdriven (3 of 5)." and "An overdriven sound." are pieces of names as well
    """

    def __init__(self, names: Iterable[str] = (), captions: Iterable[str] = ()) -> None:
        self._ends: set[Stems] = set()
        """What a name ends with, two words or more: a grand piano is named wherever an acoustic grand piano is."""
        self._cuts: set[Stems] = set()
        """Other stretches of names, two words or more: what is left of one where a phrase was cut."""
        for text in (*names, *INSTRUMENTS):
            for name in _names_of(text):
                self._add(name)
        self._bound = self._never_free(captions)

    def modifiers(self, sentence: Sequence[Tagged]) -> frozenset[int]:
        """The places of the adjectives that belong to names."""
        stems, places = _flat(sentence)
        own = {places[at] for at in self._within(stems, _phrase_ends(sentence, places))}
        return frozenset(
            place
            for place, (_, lemma, part) in enumerate(sentence)
            if part == "adjective"
            and not _descriptive(lemma)
            and (place in own or (stem(lemma) in self._bound and _cut_off(sentence, place)))
        )

    def _add(self, name: Stems) -> None:
        for first in range(len(name) - 1):
            self._ends.add(name[first:])
            self._cuts.update(name[first:last] for last in range(first + 2, len(name)))

    def _within(self, stems: Sequence[str], cut: Sequence[bool]) -> set[int]:
        """Places of stems within names, or within what is left of a name where a phrase ends."""
        places: set[int] = set()
        for first in range(len(stems)):
            for last in range(first + 2, min(first + _LONGEST_NAME, len(stems)) + 1):
                stretch = tuple(stems[first:last])
                if stretch in self._ends or (cut[last - 1] and stretch in self._cuts):
                    places.update(range(first, last))
        return places

    def _never_free(self, captions: Iterable[str]) -> frozenset[str]:
        """Stems that captions have within names, and nowhere else."""
        inside: set[str] = set()
        outside: set[str] = set()
        modifiers = {one for name in self._ends for one in name[:-1]}
        for caption in captions:
            stems = [stem(word) for word in words(caption)]
            if modifiers.isdisjoint(stems):
                continue
            within = self._within(stems, [False] * len(stems))
            inside.update(stems[place] for place in within)
            outside.update(one for place, one in enumerate(stems) if place not in within)
        return frozenset((inside - outside) & modifiers)


def class_names(labels: Iterable[str | None], concepts: Iterable[str] = ()) -> list[str]:
    """The distinct names in labels and concepts, in alphabetical order."""
    return sorted({name for name in (*labels, *concepts) if name})


def bound_names(names: Iterable[str] = ()) -> list[tuple[str, ...]]:
    """The names of sources, as words, whose words before the last mean nothing by themselves: French horn, pan flute.

    Not "loud engine", whose adjective says how it sounds.
    """
    sources = (name for text in (*names, *INSTRUMENTS) for name in _sources_in(text))
    return [name for name in dict.fromkeys(sources) if not any(map(_descriptive, name[:-1]))]


def _names_of(text: str) -> Iterable[Stems]:
    """What of a class's name is the name of a source, in stems."""
    return (tuple(map(stem, name)) for name in _sources_in(text))


def _sources_in(text: str) -> Iterable[tuple[str, ...]]:
    """What of a class's name is the name of a source, in words: two to five, the last of them no sound."""
    for part in _PARTS.split(_SEPARATORS.sub(" ", text)):
        name = tuple(words(part))
        if 2 <= len(name) <= _LONGEST_NAME and stem(name[-1]) not in _SOUNDS:
            yield name


def _descriptive(adjective: str) -> bool:
    """Whether an adjective says how something sounds in a name as well: how much of it, or what it does."""
    return says_degree(adjective) or adjective.endswith("ing")


def _flat(sentence: Sequence[Tagged]) -> tuple[list[str], list[int]]:
    """Stems of the parts of words (hi-hat is two), and which word each is of. Marks stay, and match nothing."""
    stems: list[str] = []
    places: list[int] = []
    for place, tagged in enumerate(sentence):
        for part in words(tagged.word) or [tagged.word]:
            stems.append(stem(part))
            places.append(place)
    return stems, places


def _phrase_ends(sentence: Sequence[Tagged], places: Sequence[int]) -> list[bool]:
    """For each stem, whether the words that it belongs with end at it."""
    last = [at + 1 == len(places) or places[at + 1] != place for at, place in enumerate(places)]
    return [here and _qualifies_nothing(sentence, place) for here, place in zip(last, places, strict=True)]


def _cut_off(sentence: Sequence[Tagged], place: int) -> bool:
    """Whether an adjective stands where a noun was cut off: "Overdriven.", "an acoustic sound"; not "is acoustic"."""
    has_verb = any(part == "verb" or lemma == "be" for _, lemma, part in sentence)
    after_article = place > 0 and sentence[place - 1].lemma in _ARTICLES
    return _qualifies_nothing(sentence, place) and (after_article or not has_verb)


def _qualifies_nothing(sentence: Sequence[Tagged], place: int) -> bool:
    """Whether no noun follows a word in its phrase, directly or after more adjectives, or none but "sound"."""
    for word, lemma, part in sentence[place + 1 :]:
        if part == "noun":
            return lemma in GENERIC_WORDS
        if part != "adjective" and word != "," and lemma != "and":
            return True
    return True
