"""Open concepts: the words of a unit's calibrated summary that say something (module C of the paper).

Adjectives that are denied, or that could be said of any clip, are left out; those that belong to the name of a source
("acoustic grand piano": `text.names`) are not acoustic. The others are put to a test, whether they describe sound at
all: by a chat model, asked once a distinct word over all the units, or by a list (`acoustic_adjectives`) where there is
no chat model. Nouns, verbs and prepositions are kept too, less stop words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter

from ... import plugins
from ...dissection.dissection import Dissection
from ...dissection.rows import Rows
from ...kernels.surroundings import plain_torch
from ...progress import step_progress
from ...run.options import RunOptions
from ..providers.batching import chunks_of
from ..records.captions import captions_of
from ..records.description_rows import CalibratedRow, ConceptRow
from ..records.reading import has_table, read_table, table_settings
from ..records.tables import Key, Table
from ..roles import ChatModel, ChatOptions
from ..text.names import VERSION as NAMES_VERSION
from ..text.names import Names, class_names
from ..text.negation import is_denied
from ..text.sentences import idea
from ..text.stop_words import ADJECTIVES, NOUNS, VERBS
from ..text.tagging import VERSION as TAGGING_VERSION
from ..text.tagging import Tagged, tag
from .acoustic_words import VERSION as TEST_VERSION
from .acoustic_words import judge_words

DEFAULT_OPTIONS = ChatOptions(max_tokens=16)

_STOP_WORDS = {"adjective": ADJECTIVES, "noun": NOUNS, "verb": VERBS, "preposition": frozenset[str]()}
_SHORTEST = {"adjective": 3, "noun": 2, "verb": 2, "preposition": 2}
_MODIFIER = "modifier"
_ROWS_AT_ONCE = 50_000

Concepts = Counter[tuple[str, str]]
"""How often each (word, part of speech) occurs. The adjectives that belong to names are of the part "modifier"."""


@plain_torch()
def find_concepts(
    dissection: Dissection,
    *,
    chat: str | ChatModel | None = None,
    options: ChatOptions = DEFAULT_OPTIONS,
    device: str | None = None,
    progress: bool = True,
) -> Rows[ConceptRow]:
    """Write the tables `concepts` and `words` over all calibrated summaries; returns the rows of `concepts`.

    dissection  with the table `calibrated`
    chat        the chat model that says whether an adjective describes sound: a plugin's name or an object; None: a
                list of acoustic adjectives with rules for compounds says so, offline
    options     how the chat model answers. Models that think before they answer need more tokens
    device      where a chat model that is given by name runs
    progress    show progress bars

    A row of `concepts` is a word of one unit: its base form in small letters, its part (adjective, noun, verb or
    preposition), how often the summary has it, and whether it is acoustic (adjectives only; never one that this summary
    has in names only, which is not put to the test). An adjective whose test failed (`words` says why) is in no row;
    the next call asks again. A unit without a summary has no rows.

    Raises DissectionError if nothing is calibrated yet, PluginError for a chat model that cannot be used.
    """
    return concepts_of_summaries(dissection, chat, options, RunOptions(device=device, progress=progress))


def concepts_of_summaries(
    dissection: Dissection, chat: str | ChatModel | None, options: ChatOptions, run: RunOptions
) -> Rows[ConceptRow]:
    """What `find_concepts` does."""
    summaries = [row for row in read_table(dissection, CalibratedRow) if row.kept]
    model, name = (None, None) if chat is None else _chat_model(chat, run)
    concepts = _concepts_by_sentence(summaries, names_in(dissection), run.progress)
    acoustic = judge_words(dissection, _adjectives(concepts.values()), model, options, run.progress)
    settings = {
        "calibrated": table_settings(dissection, "calibrated"),
        "chat": name,
        "options": None if model is None else vars(options),
        "version": [TAGGING_VERSION, TEST_VERSION, NAMES_VERSION],
    }
    rows = _rows(summaries, concepts, acoustic)
    with Table(dissection, ConceptRow, settings) as table:
        table.remove([row.key_values for row in table.rows() if row.key_values not in rows])
        due = (row for key, row in rows.items() if table.get(key) != row)
        for chunk in chunks_of(due, _ROWS_AT_ONCE):
            table.add(chunk)
    return Rows(rows.values(), ConceptRow)


def _chat_model(chat: str | ChatModel, run: RunOptions) -> tuple[ChatModel, str]:
    """The model and its name."""
    model, name = plugins.resolve("chat model", chat, device=run.device)
    return model, str(getattr(model, "name", None) or name)


def names_in(dissection: Dissection) -> Names:
    """The names of sources in a dissection: its clips' labels, its concepts, and what its captions say of them."""
    labels = {row.label for row in dissection.clips.values()}
    concepts = dissection.concepts.names if dissection.concepts is not None else ()
    captions = dict.fromkeys(captions_of(dissection).values()) if has_table(dissection, "captions") else ()
    return Names(class_names(labels, concepts), captions)


def concepts_in(sentence: Iterable[Tagged], names: Names) -> Concepts:
    """The words of one tagged sentence that can be concepts, before any test of adjectives."""
    words = list(sentence)
    modifiers = names.modifiers(words)
    concepts: Concepts = Counter()
    for place, (_, lemma, part) in enumerate(words):
        if part == "other" or lemma in _STOP_WORDS[part] or len(lemma) < _SHORTEST[part]:
            continue
        if part == "adjective" and is_denied(words, place):
            continue
        concepts[lemma, _MODIFIER if place in modifiers else part] += 1
    return concepts


def _concepts_by_sentence(summaries: Iterable[CalibratedRow], names: Names, progress: bool) -> dict[str, Concepts]:
    """The concepts of every distinct sentence: units share most of them."""
    sentences = list(dict.fromkeys(sentence for row in summaries for sentence in row.kept or ()))
    concepts: dict[str, Concepts] = {}
    with step_progress("tagging sentences", len(sentences), progress) as done:
        for sentence in sentences:
            concepts[sentence] = concepts_in(tag(idea(sentence)), names)
            done(1)
    return concepts


def _adjectives(concepts: Iterable[Concepts]) -> list[str]:
    """Those that stand outside names somewhere."""
    return sorted({word for counts in concepts for word, part in counts if part == "adjective"})


def _rows(
    summaries: Iterable[CalibratedRow], concepts: Mapping[str, Concepts], acoustic: Mapping[str, bool]
) -> dict[Key, ConceptRow]:
    """Every row by its key, in the table's order."""
    rows: dict[Key, ConceptRow] = {}
    for summary in sorted(summaries, key=attrgetter("site", "unit")):
        own: Concepts = Counter()
        for sentence in summary.kept or ():
            own.update(concepts[sentence])
        for row in _rows_of_unit(summary, own, acoustic):
            rows[row.key_values] = row
    return rows


def _rows_of_unit(summary: CalibratedRow, concepts: Concepts, acoustic: Mapping[str, bool]) -> Iterator[ConceptRow]:
    """The rows of one summary's concepts; none of an adjective without a verdict."""
    counts: Concepts = Counter()
    for (word, part), count in concepts.items():
        counts[word, "adjective" if part == _MODIFIER else part] += count
    for (word, part), count in sorted(counts.items()):
        if part != "adjective":
            yield ConceptRow(summary.site, summary.unit, word, part, count, None)
        elif (word, part) not in concepts:  # in names only
            yield ConceptRow(summary.site, summary.unit, word, part, count, False)
        elif word in acoustic:
            yield ConceptRow(summary.site, summary.unit, word, part, count, acoustic[word])
