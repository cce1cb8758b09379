"""Open concepts: the words of a unit's calibrated summary that say something (module C of the paper).

Adjectives that are denied, or that could be said of any clip, are left out; those that belong to the name of a source
("acoustic grand piano": `text.names`) are not acoustic. The others are put to a test, whether they describe sound at
all: by a chat model, asked once a distinct word over all the units, or by a list (`acoustic_adjectives`) where there is
no chat model. Nouns, verbs and prepositions are kept too, less stop words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from operator import itemgetter

import pyarrow as arrow

from ... import plugins
from ...dissection.dissection import Dissection
from ...progress import step_progress
from ..records.tables import Key, Row, Table, has_table, read_table, table_settings
from ..roles import ChatModel, ChatOptions
from ..text.names import VERSION as NAMES_VERSION
from ..text.names import Names, class_names
from ..text.negation import denied
from ..text.sentences import idea
from ..text.stop_words import ADJECTIVES, NOUNS, VERBS
from ..text.tagging import VERSION as TAGGING_VERSION
from ..text.tagging import Tagged, tag
from .acoustic_words import VERSION as TEST_VERSION
from .acoustic_words import judge_words
from .captions import captions_of

SCHEMA = arrow.schema(
    [
        ("site", arrow.string()),
        ("unit", arrow.int64()),
        ("word", arrow.string()),
        ("part", arrow.string()),
        ("count", arrow.int64()),
        ("acoustic", arrow.bool_()),
    ]
)
DEFAULT_OPTIONS = ChatOptions(max_tokens=16)

_STOP_WORDS = {"adjective": ADJECTIVES, "noun": NOUNS, "verb": VERBS, "preposition": frozenset[str]()}
_SHORTEST = {"adjective": 3, "noun": 2, "verb": 2, "preposition": 2}
_KEY = ("site", "unit", "word", "part")
_MODIFIER = "modifier"
_ROWS_AT_ONCE = 50_000

Concepts = Counter[tuple[str, str]]
"""How often each (word, part of speech) occurs. The adjectives that belong to names are of the part "modifier"."""


def find_concepts(
    found: Dissection,
    *,
    chat: str | ChatModel | None = None,
    options: ChatOptions = DEFAULT_OPTIONS,
    device: str | None = None,
    progress: bool = True,
) -> list[Row]:
    """Write the tables `concepts` and `words` over all calibrated summaries; returns the rows of `concepts`.

    Args:
        found: the dissection, with the table `calibrated`.
        chat: the chat model that says whether an adjective describes sound: a plugin's name or an object.
            None: a list of acoustic adjectives with rules for compounds says so, offline.
        options: how the chat model answers. Models that think before they answer need more tokens.
        device: where a chat model that is given by name runs.
        progress: show progress bars.

    A row of `concepts` is a word of one unit: its base form in small letters, its part (adjective, noun, verb or
    preposition), how often the summary has it, and whether it is acoustic (adjectives only; never one that this summary
    has in names only, which is not put to the test). An adjective whose test failed (`words` says why) is in no row;
    the next call asks again. A unit without a summary has no rows.

    Raises DissectionError if nothing is calibrated yet, PluginError for a chat model that cannot be used.
    """
    summaries = [row for row in read_table(found, "calibrated") if row["kept"]]
    model, name = None, None
    if chat is not None:
        model, name = plugins.resolve("chat model", chat, device=device)
        name = str(getattr(model, "name", None) or name)
    said = _said_in(summaries, names_in(found), progress)
    adjectives = sorted({word for concepts in said.values() for word, part in concepts if part == "adjective"})
    acoustic = judge_words(found, adjectives, model, options, progress)
    settings = {
        "calibrated": table_settings(found, "calibrated"),
        "chat": name,
        "options": None if model is None else vars(options),
        "version": [TAGGING_VERSION, TEST_VERSION, NAMES_VERSION],
    }
    rows = _rows(summaries, said, acoustic)
    with Table(found, "concepts", SCHEMA, _KEY, settings) as table:
        table.remove([_key(row) for row in table.rows() if _key(row) not in rows])
        due = (row for key, row in rows.items() if table.get(key) != row)
        while some := list(islice(due, _ROWS_AT_ONCE)):
            table.add(some)
    return list(rows.values())


def names_in(found: Dissection) -> Names:
    """The names of sources in a dissection: its clips' labels, its concepts, and what its captions say of them."""
    labels = {row.get("label") for row in found.clips.values()}
    concepts = found.concepts.names if found.concepts is not None else ()
    captions = dict.fromkeys(captions_of(found).values()) if has_table(found, "captions") else ()
    return Names(class_names(labels, concepts), captions)


def concepts_in(sentence: Iterable[Tagged], names: Names) -> Concepts:
    """The words of one tagged sentence that can be concepts, before any test of adjectives."""
    words = list(sentence)
    modifiers = names.modifiers(words)
    found: Concepts = Counter()
    for place, (_, lemma, part) in enumerate(words):
        if part == "other" or lemma in _STOP_WORDS[part] or len(lemma) < _SHORTEST[part]:
            continue
        if part == "adjective" and denied(words, place):
            continue
        found[lemma, _MODIFIER if place in modifiers else part] += 1
    return found


def _said_in(summaries: Iterable[Row], names: Names, progress: bool) -> dict[str, Concepts]:
    """The concepts of every distinct sentence: units share most of them."""
    sentences = list(dict.fromkeys(sentence for row in summaries for sentence in row["kept"]))
    said: dict[str, Concepts] = {}
    with step_progress("tagging sentences", len(sentences), progress) as done:
        for sentence in sentences:
            said[sentence] = concepts_in(tag(idea(sentence)), names)
            done(1)
    return said


def _rows(summaries: Iterable[Row], said: dict[str, Concepts], acoustic: dict[str, bool]) -> dict[Key, Row]:
    """Every row by its key, in the table's order."""
    rows: dict[Key, Row] = {}
    for summary in sorted(summaries, key=itemgetter("site", "unit")):
        counts: Concepts = Counter()
        free: set[str] = set()
        for sentence in summary["kept"]:
            for (word, part), count in said[sentence].items():
                counts[word, "adjective" if part == _MODIFIER else part] += count
                free.update([word] if part == "adjective" else ())
        for (word, part), count in sorted(counts.items()):
            judged = None
            if part == "adjective":
                judged = acoustic.get(word) if word in free else False
                if judged is None:
                    continue
            key = (summary["site"], summary["unit"], word, part)
            rows[key] = {**dict(zip(_KEY, key, strict=True)), "count": count, "acoustic": judged}
    return rows


def _key(row: Row) -> Key:
    return row["site"], row["unit"], row["word"], row["part"]
