"""Search: the units whose explanations and labels are nearest to a text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from .. import plugins
from ..dissection import Dissection, DissectionError
from ..exemplars import Exemplar
from .claims import explanations, label_source, open_concepts
from .concept_scoring import concept_text
from .embeddings import Embeddings, cosines
from .roles import TextEncoder
from .tables import Row, has_table, read_table
from .text.sentences import idea, share, telling_sentences
from .units import chosen_units
from .verdicts import Verdict, Verdicts

_TABLES = ("summaries", "calibrated", "concepts", "labels")
_DECIMALS = 5  # of a score: products of the same vectors differ in the last bits with the number of texts


@dataclass(frozen=True)
class Match:
    """A unit that was found.

    score        cosine of the text that was searched for and the nearest of the unit's own: the highest of `scores`
    source       where that one stands: explanation, concepts, label
    matched      that one
    scores       the highest cosine in each source that the unit has
    explanation  the unit's calibrated summary, or its summary if it has not been calibrated; None if it has none
    exemplars    its top clips
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
    """One thing that is said of a unit. `claim`: the source of the claim that it belongs to."""

    at: tuple[str, int]
    source: str
    text: str
    claim: str


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
    calibrated), a unit's open concepts together (without prepositions), and the first label by each method. A unit's
    score is the highest cosine among them. Of units with the same score come first those where what was matched is
    said of more clips (5 of 5), then those with the higher mean over all that is compared, then by site and index.

    text_encoder  plugin; `words` finds words, a sentence-transformers model meanings
    most          at most so many units
    sites         only these (names or globs)

    A unit is returned only if its score is above 0, and above what texts without a common word have by chance where
    the encoder says that (its attribute `chance`). Raises DissectionError if nothing has been explained or labelled
    yet, ValueError for an empty text, PluginError if the encoder cannot be used.
    """
    if not text.strip():
        raise ValueError("there is nothing to search for: the text is empty")
    if most < 1:
        raise ValueError(f"the number of units to find must be 1 or more, not {most}")
    wanted = {site for site, _ in chosen_units(found, sites)}
    tables = {name: read_table(found, name) for name in _TABLES if has_table(found, name)}
    if not tables:
        raise DissectionError(
            f"{found.folder} has no explanations to search yet: run `and-nnsight explain {found.folder}` first"
        )
    explained = _explanations(tables)
    said = [one for one in _everything(explained, tables) if one.at[0] in wanted]
    encoder, name = plugins.resolve("text encoder", text_encoder, device=device)
    near = _near(found, text, {idea(one.text) for one in said}, encoder, name, lasting=isinstance(text_encoder, str))
    by_unit: dict[tuple[str, int], list[tuple[float, _Said]]] = {}
    for one in said:
        by_unit.setdefault(one.at, []).append((near[idea(one.text)], one))
    places = {site: place for place, site in enumerate(found.sites)}
    verdicts = Verdicts.read(found)
    least = max(0.0, float(getattr(encoder, "chance", 0.0)))
    ranked = sorted((_order(scored), places[site], unit) for (site, unit), scored in by_unit.items())
    return [
        _match(found, (found.sites[place], unit), by_unit[found.sites[place], unit], explained, verdicts)
        for (score, *_), place, unit in ranked[:most]
        if -score > least
    ]


def _order(scored: list[tuple[float, _Said]]) -> tuple[float, float, float]:
    best = max(score for score, _ in scored)
    said_of = max(_said_of(one) for score, one in scored if score == best)
    return -best, -said_of, -sum(score for score, _ in scored) / len(scored)


def _said_of(one: _Said) -> float:
    """The share of a unit's clips of which something is said; 0 where that is not known."""
    return share(one.text) if one.source == "explanation" else 0.0


def _explanations(tables: Mapping[str, list[Row]]) -> dict[tuple[str, int], str]:
    return explanations(tables.get("summaries", ()), tables.get("calibrated", ()))


def _everything(explained: Mapping[tuple[str, int], str], tables: Mapping[str, list[Row]]) -> Iterator[_Said]:
    for at, text in explained.items():
        yield from (_Said(at, "explanation", sentence, "explanation") for sentence in telling_sentences(text))
    for at, text in open_concepts(tables.get("concepts", ())).items():
        yield _Said(at, "concepts", text, "concepts")
    first: dict[tuple[object, ...], Row] = {}
    for row in tables.get("labels", ()):
        if row["concept"] is not None:
            key = row["site"], row["unit"], label_source(row)
            if key not in first or row["rank"] < first[key]["rank"]:
                first[key] = row
    for (_, _, claim), row in first.items():
        yield _Said((row["site"], row["unit"]), "label", concept_text(row["concept"]), str(claim))


def _near(
    found: Dissection, text: str, texts: set[str], encoder: TextEncoder, name: str, *, lasting: bool
) -> dict[str, float]:
    """The cosine of each of the texts with one.

    Of encoders other than `words`, which is faster than a file, the vectors are kept in the folder.
    """
    ordered = sorted(texts)
    embeddings = Embeddings(encoder, name)
    query = embeddings([text])
    hashed = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
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
    scored: list[tuple[float, _Said]],
    explained: Mapping[tuple[str, int], str],
    verdicts: Verdicts,
) -> Match:
    scores: dict[str, float] = {}
    for score, one in scored:
        scores[one.source] = max(score, scores.get(one.source, score))
    best = max(score for score, _ in scored)
    nearest = max((one for score, one in scored if score == best), key=_said_of)
    unit = found.unit(*at)
    claimed = explained.get(at) if nearest.source == "explanation" else nearest.text
    shown = verdicts(*at, nearest.claim, claimed)
    return Match(*at, best, nearest.source, nearest.text, scores, explained.get(at), unit.top, shown)
