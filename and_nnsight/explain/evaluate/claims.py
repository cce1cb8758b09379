"""What is claimed of each unit, as texts that can be put to a test: its explanation, its open concepts, its labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.next_step import run_first
from ..labels.concept_lists import concept_text
from ..records.claim_rows import LabelRow
from ..records.description_rows import CalibratedRow, ConceptRow, SummaryRow
from ..records.reading import has_table, read_table
from ..text.sentences import idea, share, telling_sentences

SOURCES = ("explanation", "concepts", "label")
_NEEDS = {
    "explanation": ("summaries", "explain"), "concepts": ("concepts", "explain"), "label": ("labels", "label"),
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One thing that is said of a unit. `source`: explanation, concepts, or that of the label."""

    site: str
    unit: int
    source: str
    text: str

    @cached_property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """Its statements and the weight of each: the share of the clips that it was said of (3 of 5)."""
        if self.source != "explanation":
            return ((self.text, 1.0),)
        weights: dict[str, float] = {}
        for sentence in telling_sentences(self.text):
            weights[idea(sentence)] = max(share(sentence), weights.get(idea(sentence), 0.0))
        return tuple(weights.items())

    @property
    def gist(self) -> frozenset[str]:
        """What tells it from another claim, however many clips each statement was said of."""
        return frozenset(text.casefold().rstrip(".!? ") for text, _ in self.parts)


def claims(dissection: Dissection, sources: Sequence[str] | None = None) -> list[Claim]:
    """Everything that is claimed of the units; of labels the first by each method, similarity, list and encoder.

    sources  of explanation, concepts and label; None: explanation and label, as far as there are any

    Raises ValueError for another source, DissectionError where there is nothing, with the command that makes it.
    """
    unknown = [source for source in sources or () if source not in SOURCES]
    if unknown:
        raise ValueError(f"unknown source {unknown[0]!r}: one of {', '.join(SOURCES)}")
    wanted = sources or _sources_there(dissection)
    _require_tables(dissection, wanted or ("explanation",))
    readers = {"explanation": _read_explanations, "concepts": _read_concepts, "label": _read_labels}
    return [claim for source, read in readers.items() if source in wanted for claim in read(dissection)]


def _sources_there(dissection: Dissection) -> list[str]:
    return [name for name in ("explanation", "label") if has_table(dissection, _NEEDS[name][0])]


def _read_explanations(dissection: Dissection) -> list[Claim]:
    calibrated = read_table(dissection, CalibratedRow) if has_table(dissection, "calibrated") else []
    return _claims("explanation", explanations(read_table(dissection, SummaryRow), calibrated))


def _read_concepts(dissection: Dissection) -> list[Claim]:
    return _claims("concepts", open_concepts(read_table(dissection, ConceptRow)))


def _read_labels(dissection: Dissection) -> list[Claim]:
    return list(labels(read_table(dissection, LabelRow)))


def _require_tables(dissection: Dissection, sources: Iterable[str]) -> None:
    for source in sources:
        table, step = _NEEDS[source]
        if not has_table(dissection, table):
            raise DissectionError(f"{dissection.place} has no {table} yet: {run_first(dissection, step)}")


def _claims(source: str, texts: Mapping[tuple[str, int], str]) -> list[Claim]:
    return [Claim(site, unit, source, text) for (site, unit), text in texts.items()]


def explanations(summaries: Iterable[SummaryRow], calibrated: Iterable[CalibratedRow]) -> dict[tuple[str, int], str]:
    """What is said of each unit: its calibrated summary, its summary where that was not calibrated."""
    texts = {(row.site, row.unit): row.highly for row in summaries}
    texts.update({(row.site, row.unit): row.calibrated for row in calibrated})
    return {at: text for at, text in texts.items() if text}


def open_concepts(rows: Iterable[ConceptRow]) -> dict[tuple[str, int], str]:
    """Each unit's open concepts as one text, without prepositions."""
    words: dict[tuple[str, int], dict[str, None]] = {}
    for row in rows:
        if row.part != "preposition":
            words.setdefault((row.site, row.unit), {})[row.word] = None
    return {at: ", ".join(of_unit) for at, of_unit in words.items()}


def labels(rows: Iterable[LabelRow]) -> Iterator[Claim]:
    """The first label of each unit by each way of labelling."""
    for row in rows:
        if row.rank == 0 and row.concept is not None:
            yield Claim(row.site, row.unit, row.source, concept_text(row.concept))


def pool_hash(claimed: Mapping[int, Claim]) -> str:
    """Short hash of all that one source claims of a site's units, which is what shuffled claims are drawn from."""
    digest = hashlib.blake2b(digest_size=8)
    for unit in sorted(claimed):
        digest.update(f"{unit}\0{claimed[unit].text}\0".encode("utf-8", "replace"))
    return digest.hexdigest()
