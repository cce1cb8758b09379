"""Which concept of a list each unit goes with: `explanations/labels.parquet`, a row a unit and rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import torch

from ... import plugins
from ...dissection.dissection import Dissection
from ...dissection.rows import Rows
from ...kernels.surroundings import plain_torch
from ...progress import step_progress
from ...run.options import RunOptions
from ...statistics.concept_scores import ConceptScores
from ...storage import json_hash
from ..records.claim_rows import LabelRow
from ..records.tables import ColumnTable
from ..records.unit_selection import chosen_units
from ..roles import AudioTextEncoder, ChatModel, ChatOptions, TextEncoder
from .concept_lists import UNION, read_concepts
from .concept_scores import DEFAULT_SOFTMAX, METHODS, Captions, fits, score_concepts, selected
from .in_context import InContext, choose
from .scored_clips import ScoredClips
from .unions import Union, near_concepts
from .unions import unions as find_unions
from .unit_similarity import SIMILARITIES, STREAMED, TOP_ONLY, SiteSimilarity, unit_similarity
from .unit_vectors import LINEAR

DEFAULT_SIMILARITY = {"db": "cos_cubed", "tab": "soft_wpmi", "labels": "cos_cubed"}
CHOSEN = "chosen"


@plain_torch()
def label(
    dissection: Dissection,
    concepts: str | Path | Iterable[str] | ConceptScores,
    *,
    method: str = "db",
    similarity: str | None = None,
    top: int = 5,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    text_encoder: str | TextEncoder = "words",
    audio_text_encoder: str | AudioTextEncoder | None = None,
    softmax: float | None = DEFAULT_SOFTMAX,
    captions: Captions | None = None,
    unions: bool = True,
    chat: str | ChatModel | None = None,
    options: ChatOptions | None = None,
    data: Any = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Rows[LabelRow]:
    """Say which concepts each unit goes with best, write them to the table `labels`, and return the rows written.

    concepts   the list (see `read_concepts`; "labels": the dissection's own labels), or scores of clips made before
    method     db: captions against concepts; tab: sounds against concepts; labels: labels that are concepts; icl: a
               chat model chooses by the unit's summary. Of ready-made scores it is theirs
    similarity cos, cos_cubed, rank_reorder, wpmi, soft_wpmi, pearson, auprc; None: cos_cubed, with tab soft_wpmi. See
               `similarities` and `unit_similarity`; not for icl
    top        how many concepts a unit gets, rank 0 first
    text_encoder, audio_text_encoder, softmax, captions   how clips are scored: see `score_concepts`
    unions     whether near concepts may be one label, the first, where a unit goes with all of them and no one stands
               out (see `unions`; similarities cos, cos_cubed, pearson). Near are names that `text_encoder` says are
    chat, options   the chat model of icl, and how it is to answer
    data       what was dissected, for tab, where clips are in no file

    Rows: site, unit, method, similarity, concepts (short hash of the list), rank, concept, members, score, basis,
    encoder, answer and request (icl), failure. `basis` says what the score was computed from: every clip's activation,
    or the unit's K extreme clips; "top-K only" marks variants of a similarity that would need more. A union has its
    concepts in `members`, the one that goes with the unit best first, and joined by " | " in `concept`. A unit of which
    nothing can be said has one row with the reason.

    Rows of the same units, method, similarity, list and encoder that were there before are replaced; all others stay.

    Raises ValueError for a method or similarity that does not exist or concepts that cannot be read; DissectionError
    where the run or the folder lacks what is needed; PluginError for a plugin that cannot be used.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, it is {top}")
    if method not in (*METHODS, "icl"):
        raise ValueError(f"unknown method {method!r}: one of {', '.join((*METHODS, 'icl'))}")
    by_site = _by_site(dissection, sites, units)
    run = RunOptions(device=device, batch_size=batch_size, progress=progress)
    if isinstance(concepts, ConceptScores):
        scores = concepts
    elif method == "icl":
        if similarity is not None:
            raise ValueError("icl has no similarity: the chat model chooses")
        names = read_concepts(concepts, _own_labels(dissection))
        return _label_in_context(dissection, by_site, names, InContext(chat, options, text_encoder, top), run)
    else:
        scoring = _Scoring(method, text_encoder, audio_text_encoder, softmax, captions, data)
        scores = _scores(dissection, read_concepts(concepts, _own_labels(dissection)), scoring, run)
    similarity = similarity or DEFAULT_SIMILARITY.get(scores.method, "cos_cubed")
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}: one of {', '.join(SIMILARITIES)}")
    near = None
    if unions and similarity in LINEAR:
        near = near_concepts(scores, *plugins.resolve("text encoder", text_encoder, device=device))
    with (
        ColumnTable(dissection, LabelRow, asdict(LabelKind.of(scores, similarity))) as table,
        step_progress("labelling", len(by_site), progress) as done,
    ):
        scored = ScoredClips.of(dissection, scores, device)
        for site, of_site in by_site.items():
            compared = unit_similarity(dissection, site, scores, similarity, device=device, scored=scored)
            values = compared.values
            united = {} if near is None else find_unions(dissection, site, scores, similarity, values, near, scored)
            table.replace(_site_table(site, of_site, compared, scores, similarity, top, united), {site: of_site})
            done(1)
    return Rows(LabelRow.of_arrow(table.rows()), LabelRow)


@dataclass(frozen=True)
class LabelKind:
    """What tells the labels of one call from those of another. `concepts`: a short hash of the list."""

    method: str
    similarity: str
    concepts: str
    encoder: str | None

    @classmethod
    def of(cls, scores: ConceptScores, similarity: str) -> LabelKind:
        """Of labels by scores of clips."""
        return cls(scores.method, similarity, _hash(scores.names), scores.settings.get("encoder"))


@dataclass(frozen=True)
class _Scoring:
    """How clips are scored for concepts: see `score_concepts`."""

    method: str
    text_encoder: str | TextEncoder
    audio_text_encoder: str | AudioTextEncoder | None
    softmax: float | None
    captions: Captions | None
    data: Any

    @property
    def encoder(self) -> str | None:
        """The name of what compares clips with concepts; None with labels."""
        encoder = {"db": self.text_encoder, "tab": self.audio_text_encoder}.get(self.method)
        return encoder if isinstance(encoder, str) or encoder is None else str(getattr(encoder, "name", ""))


def _label_in_context(
    dissection: Dissection, by_site: dict[str, list[int]], names: Sequence[str], how: InContext, run: RunOptions
) -> Rows[LabelRow]:
    rows = choose(dissection, by_site, names, how, (CHOSEN, _hash(names)), run)
    kind = LabelKind("icl", CHOSEN, _hash(names), rows[0].encoder if rows else None)
    with ColumnTable(dissection, LabelRow, asdict(kind)) as table:
        table.replace(LabelRow.to_arrow(rows), by_site)
    return Rows(rows, LabelRow)


def _own_labels(dissection: Dissection) -> dict[int, str | None]:
    return {clip: row.label for clip, row in dissection.clips.items()}


def _by_site(
    dissection: Dissection, sites: str | Iterable[str] | None, units: Iterable[int] | None
) -> dict[str, list[int]]:
    by_site: dict[str, list[int]] = {}
    for site, unit in chosen_units(dissection, sites, units):
        by_site.setdefault(site, []).append(unit)
    return by_site


def _scores(dissection: Dissection, names: Sequence[str], how: _Scoring, run: RunOptions) -> ConceptScores:
    """Those that the run compared its units with, if they are scored alike; else new ones."""
    streamed = dissection.concepts
    if streamed is not None and how.captions is None and fits(streamed, how.method, names, how.encoder, how.softmax):
        return selected(streamed, names)
    return score_concepts(
        dissection, names, how.method, text_encoder=how.text_encoder, audio_text_encoder=how.audio_text_encoder,
        softmax=how.softmax, captions=how.captions, audio=how.data, batch_size=run.batch_size, device=run.device,
        progress=run.progress,
    )  # fmt: skip


def _site_table(
    site: str,
    units: Sequence[int],
    compared: SiteSimilarity,
    scores: ConceptScores,
    similarity: str,
    top: int,
    united: Mapping[int, Union],
) -> arrow.Table:
    """The rows of a site's units, made column by column: a site has thousands of them."""
    values = compared.values[list(units)]
    ranked = values.nan_to_num(-torch.inf, torch.inf, -torch.inf).sort(dim=1, descending=True, stable=True)
    best, which = ranked.values[:, :top].numpy(), ranked.indices[:, :top].numpy()
    union = len(scores.names)  # where a union stands among the names
    for place, unit in enumerate(units):
        if unit in united:  # it comes first, and the others after it
            best[place], which[place] = np.roll(best[place], 1), np.roll(which[place], 1)
            best[place, 0], which[place, 0] = united[unit].score, union
    failure = np.array([compared.failure[unit] for unit in units], dtype=object)
    failed = np.array([reason is not None for reason in failure], dtype=bool)
    wanted = np.where(failed[:, None], np.arange(best.shape[1]) == 0, np.isfinite(best))
    row, rank = np.nonzero(wanted)
    names = np.array([*scores.names, None], dtype=object)
    basis = np.array([compared.basis[unit] for unit in units], dtype=object)[row]
    columns = {
        "site": np.full(len(row), site, dtype=object),
        "unit": np.array(units, dtype=np.int64)[row],
        "method": np.full(len(row), scores.method, dtype=object),
        "similarity": np.full(len(row), similarity, dtype=object),
        "concepts": np.full(len(row), _hash(scores.names), dtype=object),
        "rank": rank,
        "concept": names[which[row, rank]],
        "members": np.full(len(row), None, dtype=object),
        "score": best[row, rank],
        "basis": basis,
        "encoder": np.full(len(row), scores.settings.get("encoder"), dtype=object),
        "answer": np.full(len(row), None, dtype=object),
        "request": np.full(len(row), None, dtype=object),
        "failure": failure[row],
    }
    columns["concept"][failed[row]], columns["score"][failed[row]] = None, np.nan
    for place in ((which[row, rank] == union) & ~failed[row]).nonzero()[0].tolist():
        members = [scores.names[member] for member in united[units[int(row[place])]].members]
        columns["concept"][place], columns["members"][place] = UNION.join(members), members
        if basis[place] == STREAMED:  # which holds of single concepts
            basis[place] = TOP_ONLY
    schema = LabelRow.schema()
    return arrow.table(
        {name: arrow.array(columns[name], schema.field(name).type, from_pandas=True) for name in schema.names}
    )


def _hash(names: Sequence[str]) -> str:
    return json_hash(list(names), 4)
