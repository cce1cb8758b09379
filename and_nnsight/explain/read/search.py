"""Search: the units whose explanations and labels are nearest to a text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from ... import plugins
from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.exemplars import Exemplar
from ...dissection.table_row import TableRow
from ...storage import short_hash
from ...wording import command
from ..evaluate.claims import explanations, open_concepts
from ..evaluate.verdicts import Verdict, Verdicts
from ..labels.concept_scores import concept_text
from ..providers.embeddings import Embeddings, cosines
from ..records.claim_rows import LabelRow
from ..records.description_rows import CalibratedRow, ConceptRow, SummaryRow
from ..records.reading import has_table, rows_of_every_unit
from ..records.unit_selection import chosen_units
from ..roles import TextEncoder
from ..text.sentences import idea, share, telling_sentences

_TABLES: tuple[type[TableRow], ...] = (SummaryRow, CalibratedRow, ConceptRow, LabelRow)
_DECIMALS = 5  # of a score: products of the same vectors differ in the last bits with the number of texts


@dataclass(frozen=True)
class Match:
    """A unit that was found.

    score        cosine of the text that was searched for and what is nearest of what is said of the unit; of a label
                 times its strength (see `search`)
    source       where that one stands: explanation, concepts, label
    matched      that one
    scores       the highest such score in each source that the unit has
    explanation  the unit's calibrated summary, or its summary if it has not been calibrated; None if it has none
    exemplars    its top clips, those that are evidence (see `and_nnsight.dissection.exemplars`)
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


class _Said(NamedTuple):
    """One thing that is said of a unit. `claim`: the source of the claim that it belongs to. `strength`: of a label."""

    at: tuple[str, int]
    source: str
    text: str
    claim: str
    strength: float = 1.0


class _Hit(NamedTuple):
    """One thing that is said of a unit, and its score.

    near   it is nearer than chance
    fails  on held-out clips it does not hold
    """

    said: _Said
    score: float
    near: bool
    fails: bool


def search(
    found: Dissection,
    text: str,
    *,
    text_encoder: str | TextEncoder = "words",
    most: int = 10,
    sites: str | Iterable[str] | None = None,
    device: str | None = None,
) -> list[Match]:
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
    wanted = {site for site, _ in chosen_units(found, sites)}
    summaries, calibrated = rows_of_every_unit(found, SummaryRow), rows_of_every_unit(found, CalibratedRow)
    concepts, labels = rows_of_every_unit(found, ConceptRow), rows_of_every_unit(found, LabelRow)
    if not (summaries or calibrated or concepts or labels or any(has_table(found, row.table) for row in _TABLES)):
        raise DissectionError(
            f"{found.folder} has no explanations to search yet: run `{command('explain', found.folder)}` first"
        )
    explained = explanations(summaries, calibrated)
    said = [one for one in _everything(explained, concepts, labels) if one.at[0] in wanted]
    encoder, name = plugins.resolve("text encoder", text_encoder, device=device)
    near = _near(found, text, {idea(one.text) for one in said}, encoder, name, lasting=isinstance(text_encoder, str))
    verdicts, least = Verdicts.read(found), max(0.0, float(getattr(encoder, "chance", 0.0)))
    telling = {site: found.evidence(site, "top").telling.any(0) for site in {one.at[0] for one in said}}
    by_unit: dict[tuple[str, int], list[_Hit]] = {}
    for one in said:
        cosine = near[idea(one.text)]
        claimed = explained.get(one.at) if one.source == "explanation" else one.text
        fails = cosine > least and _fails(verdicts(*one.at, one.claim, claimed))
        hit = _Hit(one, round(cosine * one.strength, _DECIMALS), cosine > least, fails)
        by_unit.setdefault(one.at, []).append(hit)
    within = [at for at, hits in by_unit.items() if any(hit.near for hit in hits) and bool(telling[at[0]][at[1]])]
    places = {site: place for place, site in enumerate(found.sites)}
    ranked = sorted(within, key=lambda at: (_order(by_unit[at]), places[at[0]], at[1]))
    return [_match(found, at, by_unit[at], explained, verdicts) for at in ranked[:most]]


def _fails(verdict: Verdict | None) -> bool:
    """Whether a claim was put to the test and does not tell its unit's clips; one that could not be judged may."""
    return verdict is not None and verdict.failure is None and not verdict.predicts


def _best(hits: list[_Hit]) -> _Hit:
    near = [hit for hit in hits if hit.near]
    return max(near, key=lambda hit: (not hit.fails, hit.score, _said_of(hit.said)))


def _order(hits: list[_Hit]) -> tuple[bool, float, float, float]:
    best = _best(hits)
    return best.fails, -best.score, -_said_of(best.said), -sum(hit.score for hit in hits) / len(hits)


def _said_of(one: _Said) -> float:
    """The share of a unit's clips of which something is said; 0 where that is not known."""
    return share(one.text) if one.source == "explanation" else 0.0


def _everything(
    explained: Mapping[tuple[str, int], str], concepts: Iterable[ConceptRow], labels: Iterable[LabelRow]
) -> Iterator[_Said]:
    for at, text in explained.items():
        yield from (_Said(at, "explanation", sentence, "explanation") for sentence in telling_sentences(text))
    for at, text in open_concepts(concepts).items():
        yield _Said(at, "concepts", text, "concepts")
    for row, strength in _first_labels(labels):
        yield _Said((row.site, row.unit), "label", concept_text(row.concept or ""), row.source, strength)


def _first_labels(rows: Iterable[LabelRow]) -> Iterator[tuple[LabelRow, float]]:
    """The first label of each unit by each way of labelling, and its strength (see `search`)."""
    ways: dict[str, dict[tuple[str, int], list[LabelRow]]] = {}
    for row in rows:
        if row.concept is not None:
            ways.setdefault(row.source, {}).setdefault((row.site, row.unit), []).append(row)
    for of_units in ways.values():
        ranked = [sorted(of_unit, key=lambda row: row.rank) for of_unit in of_units.values()]
        shares = [_shares([of_unit[0].score for of_unit in ranked]), _shares([_margin(each) for each in ranked])]
        for of_unit, *known in zip(ranked, *shares, strict=True):
            told = [share for share in known if share is not None]
            yield of_unit[0], sum(told) / len(told) if told else 1.0


def _margin(ranked: list[LabelRow]) -> float | None:
    """How far a unit's first label is above the next concept that is not in it; None where no more are known."""
    first, within = ranked[0].score, ranked[0].members or ()
    others = [row.score for row in ranked[1:] if row.concept not in within]
    if first is None or not others or others[0] is None:
        return None
    return first - others[0]


def _shares(values: list[float | None]) -> list[float | None]:
    """For each value which share of them is no higher; None for those that are not known."""
    known = sorted(value for value in values if value is not None)
    return [None if value is None else bisect_right(known, value) / len(known) for value in values]


def _near(
    found: Dissection, text: str, texts: set[str], encoder: TextEncoder, name: str, *, lasting: bool
) -> dict[str, float]:
    """The cosine of each of the texts with one.

    Of encoders other than `words`, which is faster than a file, the vectors are kept in the folder.
    """
    ordered = sorted(texts)
    embeddings = Embeddings(encoder, name)
    query = embeddings([text])
    hashed = short_hash(name, 6)
    path = found.folder / "explanations" / f"embeddings-{hashed}.safetensors"
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
    found: Dissection,
    at: tuple[str, int],
    hits: list[_Hit],
    explained: Mapping[tuple[str, int], str],
    verdicts: Verdicts,
) -> Match:
    scores: dict[str, float] = {}
    for said, score, *_ in hits:
        scores[said.source] = max(score, scores.get(said.source, score))
    nearest, best, *_ = _best(hits)
    claimed = explained.get(at) if nearest.source == "explanation" else nearest.text
    exemplars = tuple(exemplar for exemplar in found.unit(*at).top if exemplar.telling)
    shown = verdicts(*at, nearest.claim, claimed)
    return Match(*at, best, nearest.source, nearest.text, scores, explained.get(at), exemplars, shown)
