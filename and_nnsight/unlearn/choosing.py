"""Which units go with a concept: by the words that explain them, by their labels, by correlation, or by chance.

Every method ranks the units that it finds, so that a count or a share of all units makes methods comparable at equal
size:

ocp          how many of the concept's words the unit's explanation has, then the share they make up of its nouns
db, tab, labels   the score of the label
icl          the place of the label among the unit's labels, then its score
correlation  the correlation itself, which orders all units: without a count or a share there is no choice

Units that tie are put in an order drawn by the seed, not in the model's: early layers must not come first by default.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
import pyarrow as arrow

from ..dissection import Dissection, DissectionError
from ..explain.tables import has_table, read_table, undamaged
from ..storage import read_parquet
from .choice import RANDOM, ChoiceError, UnitChoice, matched
from .words import concept_words, has_word

LABELS = ("db", "tab", "labels", "icl")
HEAD = "unembed.hook_out"
METHODS = ("ocp", *LABELS, "correlation", RANDOM)
_STATISTICS = ("pearson", "cos", "cos_cubed", "auprc")


class Ranking(NamedTuple):
    """The units that a method finds, best first, and what it went by."""

    units: list[tuple[str, int]]
    settings: dict[str, Any]


def choose(
    found: Dissection,
    concept: str,
    *,
    method: str = "ocp",
    count: int | None = None,
    share: float | None = None,
    sites: str | Iterable[str] | None = None,
    top: int = 3,
    like: UnitChoice | None = None,
    seed: int = 0,
    words: Iterable[str] | None = None,
    similarity: str | None = None,
    encoder: str | None = None,
) -> UnitChoice:
    """The units that go with a concept.

    method  ocp: a noun of the unit's calibrated summary is, as a whole word in its base form, one of the concept's.
            db, tab, labels, icl: the concept is among the unit's `top` labels by that method, alone or in a union.
            correlation: those whose activation goes most with the concept's scores over all clips. random: by chance,
            as many of every site as `like` has
    count   exactly so many units, the best of the method's ranking; or
    share   this share of all units of the sites, above 0 and at most 1. Without either, all that the method finds
    sites   names or globs of dissected sites; None: all but the class logits, without which any class is unlearned
    seed    orders units that tie, and draws those of random
    words   ocp: the words to look for in place of those of the concept's name
    similarity  labels: by which similarity they were made, where there are several; correlation: pearson (default),
            cos, cos_cubed or auprc
    encoder labels: by which encoder they were made, where there are several

    Raises ValueError for a method that does not exist and for settings that go against each other; DissectionError
    where a step has yet to be run, naming the command; ChoiceError where no unit goes with the concept, or fewer than
    were asked for.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    if count is not None and share is not None:
        raise ValueError("give a count or a share, not both")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, it is {count}")
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, it is {share}")
    widths = site_widths(found, sites)
    wanted = count if share is None else max(1, round(share * sum(widths.values())))
    if method == RANDOM:
        return _at_random(found, concept, widths, like, wanted, seed)
    if like is not None:
        raise ValueError(f"like= is for random, not for {method}")
    if method == "correlation" and wanted is None:
        raise ValueError("correlation orders all units: give a count or a share of them")
    ranking = ranked(
        found, concept, method=method, sites=sites, top=top, seed=seed, words=words, similarity=similarity,
        encoder=encoder,
    )  # fmt: skip
    if wanted is not None and wanted > len(ranking.units):
        raise ChoiceError(
            f"{method} finds {len(ranking.units)} units for {concept!r}, and {wanted} were asked for: ask for fewer"
        )
    chosen = UnitChoice.of(ranking.units[:wanted], method, concept)
    settings = {**ranking.settings, "found": len(ranking.units), "of": sum(widths.values()), **_origin(found)}
    return UnitChoice(chosen.units, method, concept, settings)


def ranked(
    found: Dissection,
    concept: str,
    *,
    method: str = "ocp",
    sites: str | Iterable[str] | None = None,
    top: int = 3,
    seed: int = 0,
    words: Iterable[str] | None = None,
    similarity: str | None = None,
    encoder: str | None = None,
) -> Ranking:
    """All units that a method finds for a concept, best first. Arguments and errors as for `choose`."""
    widths = site_widths(found, sites)
    if method == "ocp":
        keys, settings = _by_words(found, concept, widths, words)
    elif method in LABELS:
        keys, settings = _by_labels(found, concept, widths, method, top, similarity, encoder)
    elif method == "correlation":
        keys, settings = _by_correlation(found, concept, widths, similarity or "pearson")
    else:
        raise ValueError(f"{method!r} ranks no units: one of {', '.join(METHODS[:-1])} does")
    order = _drawn_order(widths, seed)
    units = sorted(keys, key=lambda unit: (tuple(-part for part in keys[unit]), order[unit[0]][unit[1]]))
    return Ranking(units, {**settings, "sites": list(widths), "seed": seed})


def site_widths(found: Dissection, sites: str | Iterable[str] | None = None) -> dict[str, int]:
    """The units of the sites that match; None: of all but the class logits.

    Raises DissectionError for a pattern that matches none, and where nothing is left.
    """
    if sites is None:
        inside = {site: width for site, width in found.widths().items() if site != HEAD}
        if not inside:
            raise DissectionError(f"{found.folder} is of the class logits alone: dissect sites within the model")
        return inside
    patterns = [sites] if isinstance(sites, str) else list(sites)
    for pattern in patterns:
        if not any(fnmatchcase(site, pattern) for site in found.sites):
            raise DissectionError(f"no dissected site matches {pattern!r}; there are: {', '.join(found.sites)}")
    chosen = {site: width for site, width in found.widths().items() if any(fnmatchcase(site, p) for p in patterns)}
    if not chosen:
        raise DissectionError("no site was asked for: name at least one, or leave sites out")
    return chosen


Keys = dict[tuple[str, int], tuple[float, ...]]
"""What each unit that a method finds is ranked by, highest first."""


def _by_words(
    found: Dissection, concept: str, widths: Mapping[str, int], words: Iterable[str] | None
) -> tuple[Keys, dict[str, Any]]:
    if not has_table(found, "concepts"):
        read_table(found, "concepts")  # which says what to run
    wanted = concept_words(concept if words is None else words)
    if not wanted:
        raise ChoiceError(f"no word of {concept!r} could be a concept: say words= (--words)")
    rows = _columns(found, "concepts", ("site", "unit", "word", "count"), [("part", "=", "noun")])
    distinct: dict[str, frozenset[str]] = {}
    mentions: dict[tuple[str, int], list[int]] = {}
    hit: dict[tuple[str, int], set[str]] = {}
    for site, unit, word, count in zip(*rows, strict=True):
        if word not in distinct:
            distinct[word] = has_word(word, wanted)
        if site in widths:
            both = mentions.setdefault((site, unit), [0, 0])
            both[0] += count
            if distinct[word]:
                both[1] += count
                hit.setdefault((site, unit), set()).update(distinct[word])
    if not hit:
        near = [name for word in sorted(wanted) for name in get_close_matches(word, distinct, n=3)]
        hint = f"; near ones are: {', '.join(dict.fromkeys(near))}" if near else ""
        raise ChoiceError(
            f"no unit's explanation has a noun among {', '.join(sorted(wanted))}, the words of {concept!r}{hint}"
        )
    keys: Keys = {unit: (float(len(said)), mentions[unit][1] / mentions[unit][0]) for unit, said in hit.items()}
    return keys, {"words": sorted(wanted), "rank": "words of the concept, then their share of the nouns"}


def _by_labels(
    found: Dissection,
    concept: str,
    widths: Mapping[str, int],
    method: str,
    top: int,
    similarity: str | None,
    encoder: str | None,
) -> tuple[Keys, dict[str, Any]]:
    if top < 1:
        raise ValueError(f"top must be at least 1, it is {top}")
    command = f"and-nnsight label {found.folder} --method {method} --concepts FILE"
    if not has_table(found, "labels"):
        raise DissectionError(f"{found.folder} has no labels yet: run `{command}` first")
    names = ("site", "unit", "concept", "rank", "score", "members", "similarity", "concepts", "encoder")
    columns = _columns(found, "labels", names, [("method", "=", method)])
    rows = [row for each in zip(*columns, strict=True) for row in _singly(each)]
    rows = [row for row in rows if similarity in (None, row[5]) and encoder in (None, row[7]) and row[2] is not None]
    if not rows:
        asked = ", ".join(part for part in (similarity, encoder) if part)
        raise DissectionError(
            f"{found.folder} has no labels by {method}{f' with {asked}' if asked else ''} yet: run `{command}` first"
        )
    known = {row[2] for row in rows}
    name = _named(concept, known)
    if name is None:
        raise ChoiceError(
            f"{concept!r} is none of the concepts that units were labelled with by {method}{_near(concept, known)}"
        )
    kinds = sorted({row[5:] for row in rows if row[2] == name}, key=str)
    if len(kinds) > 1:
        said = "; ".join(" ".join(f"{part}" for part in kind if part) for kind in kinds)
        raise ChoiceError(
            f"there are labels by {method} of several kinds ({said}: similarity, list of concepts, encoder): say "
            "similarity= or encoder= (--similarity, --encoder)"
        )
    keys: Keys = {}
    for site, unit, said, rank, score, *kind in sorted(rows, key=lambda row: row[3]):  # its own row after its union's
        if said == name and rank < top and site in widths and tuple(kind) == kinds[0]:
            keys[site, unit] = (-rank, score) if method == "icl" else (score,)
    if not keys:
        raise ChoiceError(f"{name!r} is among the top {top} labels by {method} of no unit of these sites")
    rank = "place among the unit's labels, then score" if method == "icl" else "score of the label"
    return keys, dict(zip(("similarity", "concepts", "encoder"), kinds[0], strict=True)) | {"top": top, "rank": rank}


def _singly(row: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """A label's row without its members; of a union also a row for each of them, with an equal share of the score.

    A unit that goes with several concepts alike goes with each, and less than one that goes with it alone.
    """
    (site, unit, concept, rank, score), members, kind = row[:5], row[5], row[6:]
    yield site, unit, concept, rank, score, *kind
    for member in members or ():
        yield site, unit, member, rank, score / len(members), *kind


def _by_correlation(
    found: Dissection, concept: str, widths: Mapping[str, int], statistic: str
) -> tuple[Keys, dict[str, Any]]:
    if statistic not in _STATISTICS:
        raise ValueError(f"unknown similarity {statistic!r} for correlation: one of {', '.join(_STATISTICS)}")
    scores = found.concepts
    if scores is None:
        found.concept_statistics(next(iter(widths)))  # which says what to run
    assert scores is not None
    name = _named(concept, scores.names)
    if name is None:
        raise ChoiceError(f"{concept!r} is none of the concepts of this run{_near(concept, scores.names)}")
    column = scores.names.index(name)
    keys: Keys = {}
    for site in widths:
        values = getattr(found.concept_statistics(site), statistic)[:, column].tolist()
        keys |= {(site, unit): (value,) for unit, value in enumerate(values) if value == value}
    if not keys:
        raise ChoiceError(f"no unit has a {statistic} with {name!r}: its scores do not allow one")
    return keys, {"similarity": statistic, "scores": scores.method, "rank": statistic}


def _at_random(
    found: Dissection,
    concept: str,
    widths: Mapping[str, int],
    like: UnitChoice | None,
    wanted: int | None,
    seed: int,
) -> UnitChoice:
    if (like is None) == (wanted is None):
        raise ValueError("random units: give like= (a choice to match at every site), or a count or a share")
    if like is not None:
        return matched(like, widths, seed)
    assert wanted is not None
    every = [(site, unit) for site, width in widths.items() for unit in range(width)]
    if wanted > len(every):
        raise ChoiceError(f"there are {len(every)} units, and {wanted} were asked for")
    drawn = np.random.default_rng(seed).choice(len(every), wanted, replace=False)
    chosen = UnitChoice.of((every[int(place)] for place in drawn), RANDOM, concept)
    return UnitChoice(chosen.units, RANDOM, concept, {"seed": seed, "sites": list(widths), **_origin(found)})


def _drawn_order(widths: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """A place for every unit in an order drawn by the seed."""
    drawn = np.random.default_rng(seed).permutation(sum(widths.values()))
    ends = np.cumsum(list(widths.values()))
    return dict(zip(widths, np.split(drawn, ends[:-1]), strict=True))


def _columns(
    found: Dissection, name: str, columns: tuple[str, ...], filters: list[tuple[str, str, Any]]
) -> list[list[Any]]:
    """Columns of an explanation table, of the rows that the filters leave."""
    path = found.folder / "explanations" / f"{name}.parquet"
    with undamaged(path):
        table: arrow.Table = read_parquet(path, filters=filters, columns=list(columns))
        return [table[column].to_pylist() for column in columns]


def _named(concept: str, names: Collection[str]) -> str | None:
    """The name in a list that is meant: the same, or the same but for capitals and underscores."""
    if concept in names:
        return concept
    alike = [name for name in names if plain_name(name) == plain_name(concept)]
    return alike[0] if len(alike) == 1 else None


def plain_name(name: str) -> str:
    """A concept's or class's name without what differs between ways to write it."""
    return " ".join(name.replace("_", " ").split()).casefold()


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=5, cutoff=0.4)
    return f"; near names: {', '.join(near)}" if near else ""


def _origin(found: Dissection) -> dict[str, Any]:
    """Which clips the units were found by, so that they are not measured by the same."""
    dataset = found.manifest.get("dataset") or {}
    return {"dataset": {name: dataset.get(name) for name in ("name", "split", "fingerprint", "limit")}}
