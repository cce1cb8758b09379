"""Search: the units whose explanations and labels are nearest to a text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ... import plugins
from ...dissection.dissection import Dissection
from ...dissection.exemplars import Exemplar
from ...plugins import Viewed
from ...storage import short_hash
from ...wording import Brief, counted
from ..evaluate.verdicts import Verdict, Verdicts
from ..providers.embeddings import Embeddings, cosines
from ..records.unit_selection import chosen_units
from ..roles import TextEncoder
from ..text.sentences import idea
from .statements import Statement, Statements

if TYPE_CHECKING:
    import pandas

_DECIMALS = 5  # of a score: products of the same vectors differ in the last bits with the number of texts


@dataclass(frozen=True)
class Match(Brief):
    """A unit that goes with a text.

    score        cosine of the text and the nearest statement about the unit; of a label times its strength (see
                 `search`)
    source       where that statement stands: explanation, concepts, label
    matched      that statement
    scores       the highest such score in each source that the unit has
    explanation  the unit's calibrated summary, or its summary if it has not been calibrated; None if it has none
    exemplars    its top clips, those that are evidence (see `and_nnsight.dissection.evidence`)
    verdict      how what was matched did on held-out clips; None if it has not been scored
    """

    site: str
    unit: int
    score: float
    source: str
    matched: str
    scores: Mapping[str, float]
    explanation: str | None
    exemplars: tuple[Exemplar, ...]
    verdict: Verdict | None = None


class Matches(list[Match], Viewed):
    """Units that go with a text, nearest first."""

    def to_pandas(self) -> pandas.DataFrame:
        """A row a unit. Raises ImportError where pandas is not installed."""
        import pandas

        columns = ["site", "unit", "score", "source", "matched", "explanation"]
        return pandas.DataFrame([[getattr(one, name) for name in columns] for one in self], columns=columns)

    def __repr__(self) -> str:
        first = f", the first unit {self[0].unit} of {self[0].site}: {self[0].matched[:80]!r}" if self else ""
        return f"Matches({counted(len(self), 'unit')}{first})"


class _Hit(NamedTuple):
    """One statement about a unit, and its score.

    near   it is nearer than chance
    fails  on held-out clips it does not hold
    """

    statement: Statement
    score: float
    near: bool
    fails: bool


def search(
    dissection: Dissection,
    text: str,
    *,
    text_encoder: str | TextEncoder = "words",
    most: int = 10,
    sites: str | Iterable[str] | None = None,
    device: str | None = None,
) -> Matches:
    """The units whose explanations or labels are nearest to a text, nearest first.

    Compared are, each by itself: every sentence of the calibrated summary (of the summary, where a unit has not been
    calibrated), a unit's open concepts together (without prepositions), and the first label by each method. What is
    compared scores its cosine with the text; of a label that is weighted by the label's strength, from 0 to 1: the mean
    of the shares of the first labels by the same method, similarity, list and encoder whose score is no higher and
    whose margin to the next concept is no wider. So a label that barely is one comes after an explanation that says
    half of what is looked for.

    A unit is ranked by what scores highest. Units of which all that is near has been put to the test on held-out clips
    and does not predict them (see `score`) come after all others; what has not been scored is neither praised nor
    punished. Of units with the same score come first those where what was matched is said of more clips (5 of 5), then
    those with the higher mean over all that is compared, then by site and index.

    text_encoder  plugin; `words` finds words, a sentence-transformers model meanings
    most          at most so many units
    sites         only these (names or globs)

    A unit is returned only if some clip is evidence of what it responds to, and if a cosine is above 0, and above what
    texts without a common word have by chance where the encoder says that (its attribute `chance`). Raises
    DissectionError if nothing has been explained or labelled yet, ValueError for an empty text, PluginError if the
    encoder cannot be used.
    """
    if not text.strip():
        raise ValueError("there is nothing to search for: the text is empty")
    if most < 1:
        raise ValueError(f"the number of units to find must be 1 or more, not {most}")
    wanted = {site for site, _ in chosen_units(dissection, sites)}
    statements = Statements.read(dissection)
    compared = [one for one in statements.every() if one.at[0] in wanted]
    texts, lasting = {idea(one.text) for one in compared}, isinstance(text_encoder, str)
    with _plain_torch():
        encoder, name = plugins.resolve("text encoder", text_encoder, device=device)
        cosine_of = _near(dissection, text, texts, encoder, name, lasting=lasting)
    verdicts, least = Verdicts.read(dissection), max(0.0, float(getattr(encoder, "chance", 0.0)))
    by_unit: dict[tuple[str, int], list[_Hit]] = {}
    for one in compared:
        cosine = cosine_of[idea(one.text)]
        fails = cosine > least and _fails(verdicts(*one.at, one.claim, statements.claim_text(one)))
        hit = _Hit(one, round(cosine * one.strength, _DECIMALS), cosine > least, fails)
        by_unit.setdefault(one.at, []).append(hit)
    ranked = _ranked(dissection, by_unit)
    return Matches(_match(dissection, at, by_unit[at], statements, verdicts) for at in ranked[:most])


def _plain_torch() -> AbstractContextManager[None]:
    """`plain_torch`; nothing where torch has not been imported, of which nobody can have set anything."""
    if "torch" not in sys.modules:
        return nullcontext()
    from ...kernels.surroundings import plain_torch

    return plain_torch()


def _ranked(dissection: Dissection, by_unit: Mapping[tuple[str, int], list[_Hit]]) -> list[tuple[str, int]]:
    """The units of which something is near, best first."""
    near = [at for at, hits in by_unit.items() if any(hit.near for hit in hits)]
    places = {site: place for place, site in enumerate(dissection.sites)}
    return sorted(_with_evidence(dissection, near), key=lambda at: (_order(by_unit[at]), places[at[0]], at[1]))


def _with_evidence(dissection: Dissection, units: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The units of which some clip is evidence of what they respond to."""
    telling = {site: dissection.evidence_arrays(site, "top").counts() for site in {site for site, _ in units}}
    return [(site, unit) for site, unit in units if telling[site][unit] > 0]


def _fails(verdict: Verdict | None) -> bool:
    """Whether a claim was put to the test and does not tell its unit's clips; one that could not be judged may."""
    return verdict is not None and verdict.failure is None and not verdict.predicts


def _best(hits: list[_Hit]) -> _Hit:
    near = [hit for hit in hits if hit.near]
    return max(near, key=lambda hit: (not hit.fails, hit.score, hit.statement.share))


def _order(hits: list[_Hit]) -> tuple[bool, float, float, float]:
    best = _best(hits)
    return best.fails, -best.score, -best.statement.share, -sum(hit.score for hit in hits) / len(hits)


def _near(
    dissection: Dissection, text: str, texts: set[str], encoder: TextEncoder, name: str, *, lasting: bool
) -> dict[str, float]:
    """The cosine of each of the texts with one.

    Of encoders other than `words`, which is faster than a file, the vectors are kept in the folder.
    """
    ordered = sorted(texts)
    embeddings = Embeddings(encoder, name)
    query = embeddings([text])
    hashed = short_hash(name, 6)
    path = dissection.folder / "explanations" / f"embeddings-{hashed}.safetensors"
    lasting = lasting and name != "words"
    if lasting:
        embeddings.read(path, ordered)
    before = embeddings.encoded
    vectors = embeddings(ordered)
    if lasting and embeddings.encoded > before:
        with suppress(OSError):  # a folder that may only be read
            embeddings.write(path)
    if not ordered:
        return {}
    return dict(zip(ordered, cosines(vectors, query)[:, 0].astype(float).round(_DECIMALS).tolist(), strict=True))


def _match(
    dissection: Dissection, at: tuple[str, int], hits: list[_Hit], statements: Statements, verdicts: Verdicts
) -> Match:
    scores: dict[str, float] = {}
    for statement, score, *_ in hits:
        scores[statement.source] = max(score, scores.get(statement.source, score))
    nearest, best, *_ = _best(hits)
    exemplars = tuple(exemplar for exemplar in dissection.unit(*at).top if exemplar.telling)
    verdict = verdicts(*at, nearest.claim, statements.claim_text(nearest))
    return Match(*at, best, nearest.source, nearest.text, scores, statements.explanations.get(at), exemplars, verdict)
