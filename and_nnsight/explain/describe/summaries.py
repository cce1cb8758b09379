"""Summaries of each unit's highly and lowly clips: `explanations/summaries.parquet`, one row a unit."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from ... import plugins
from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.next_step import run_first
from ...dissection.rows import Rows
from ...kernels.surroundings import plain_torch
from ...run.options import RunOptions
from ...storage import json_hash
from ..providers.requests import cached_chat
from ..records.captions import captions_of
from ..records.description_rows import SummaryRow
from ..records.reading import table_settings
from ..records.tables import Table
from ..records.unit_selection import chosen_units
from ..roles import ChatModel, ChatOptions, Summarizer
from ..text.names import class_names
from .background import Background, background_of, layer_weights
from .evidence import FEW, EvidenceOrReason, gather, usual_k
from .options import ExemplarOptions, SummaryOptions
from .summarizers.keywords import TRAITS_TOO, Keywords
from .summarizing import write_summaries
from .traits import measured_traits


@plain_torch()
def summarize(
    dissection: Dissection,
    summarizer: str | Summarizer | None = None,
    *,
    chat: str | ChatModel | None = None,
    options: ChatOptions | None = None,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    k: int | None = None,
    excerpt: float | None = None,
    spread: bool = False,
    data: Any = None,
    device: Any = None,
    progress: bool = True,
) -> Rows[SummaryRow]:
    """Say in words what the highest and what the lowest clips of units have in common; all rows of the table.

    summarizer  plugin; None: `llm` if a chat model is given, else `keywords`. It is offered `chat`, `options`,
                `corpus` (the captions of the background: see `background`), `layers` (of each site, how many of its
                units have the clip of each of these captions as an exemplar), `names` (the dataset's labels), `device`
                and `seed` by name, and takes what it wants of them
    chat        plugin; every request to it is recorded in the table `requests`, and identical ones are sent once
    options     how the chat model is to answer; None: the defaults of `ChatOptions`
    sites, units  which units (names and globs; indices); None: all
    k           exemplars at either end; None: 5, as in the paper, but for `keywords` all that are stored (at most 16)
                where the captions are the dataset's own (see `evidence.usual_k`)
    excerpt     seconds around the moment at which a unit fires, as the clips were captioned; None: whole clips
    spread      take the k from all stored exemplars, evenly, not the most extreme (see `evidence.chosen_exemplars`)
    data        what was dissected, for `keywords:traits`, which also tells how clips sound (loud, starting abruptly …),
                where the clips are in no file

    Units that have a row made from the same clips are left as they are, but for failures, which are tried again. Of a
    summarizer that says of itself that it is `deterministic` (the same evidence and corpus give the same summary)
    failures are left as well, and everything is made anew where there are other captions in the corpus. Rows are: site,
    unit, highly and lowly (text; None where there is none), failure (which side, and why), highly_clips, lowly_clips,
    contrast_clips (ids of the clips whose captions were read; the last for summarizers that say `wants_contrast`),
    requests (ids in the table `requests`), corpus (its hash, where the summarizer is deterministic).

    Raises PluginError for a plugin that cannot be used, DissectionError for sites or units that do not exist and where
    there are no captions yet.
    """
    exemplars = ExemplarOptions.of(sites, units, k, excerpt, spread)
    summary = SummaryOptions(summarizer, chat, options or ChatOptions())
    return summarize_units(dissection, summary, exemplars, RunOptions(device=device, progress=progress), data)


def summarize_units(
    dissection: Dissection, summary: SummaryOptions, exemplars: ExemplarOptions, run: RunOptions, data: Any = None
) -> Rows[SummaryRow]:
    """What `summarize` does."""
    if exemplars.k is not None and exemplars.k < 1:
        raise ValueError(f"k must be at least 1, it is {exemplars.k}")
    units = chosen_units(dissection, exemplars.sites, exemplars.units)
    captions = captions_of(dissection)
    captions_settings = table_settings(dissection, "captions")
    k = _k(dissection, summary, exemplars, str(captions_settings.get("captioner", "")))
    excerpt, spread = exemplars.excerpt, exemplars.spread
    settings: dict[str, Any] = {"k": k, "excerpt": excerpt, "spread": spread, "captions": captions_settings}
    with ExitStack() as stack:
        background = background_of(dissection)
        offer = _offer(dissection, background, replace(exemplars, k=k))
        offer |= {"device": run.device, "seed": summary.options.seed}
        if summary.plugin == f"keywords:{TRAITS_TOO}":
            offer["traits"] = measured_traits(dissection, units, data, run.progress)
        if summary.chat is not None:
            model, _ = plugins.resolve("chat model", summary.chat, device=run.device)
            chat = stack.enter_context(cached_chat(dissection, model))
            offer |= {"chat": chat, "options": summary.options}
            settings |= {"chat": chat.name, "options": asdict(summary.options)}
        plugin, name = plugins.resolve("summarizer", summary.plugin, **offer)
        settings |= {"summarizer": name, **dict(getattr(plugin, "settings", {}))}
        with Table(dissection, SummaryRow, settings) as table:
            corpus = _corpus_hash(dissection, plugin, background)
            contrast = bool(getattr(plugin, "wants_contrast", False))
            gathered = gather(dissection, units, captions, k=k, excerpt=excerpt, spread=spread, contrast=contrast)
            lacking = (one for one in gathered if _lacks(table, one, corpus))
            write_summaries(table, plugin, lacking, corpus, len(units), run.progress)
            return table.rows()


def counts_words(summarizer: str | Summarizer) -> bool:
    """Whether a summarizer is `keywords`: more exemplars cost it nothing."""
    return isinstance(summarizer, Keywords) or (isinstance(summarizer, str) and summarizer.split(":")[0] == "keywords")


def _k(dissection: Dissection, summary: SummaryOptions, exemplars: ExemplarOptions, captioner: str) -> int:
    if exemplars.k is not None:
        return exemplars.k
    return usual_k(dissection, captioner, spread=exemplars.spread) if counts_words(summary.plugin) else FEW


def _offer(dissection: Dissection, background: Background, exemplars: ExemplarOptions) -> dict[str, Any]:
    """What a summarizer may want to know of the dissection, by the names of its parameters."""
    k = FEW if exemplars.k is None else exemplars.k
    return {
        "corpus": list(background.captions),
        "layers": layer_weights(dissection, background.clips, k, spread=exemplars.spread),
        "names": class_names(clip.label for clip in dissection.clips.values()),
    }


def _corpus_hash(dissection: Dissection, plugin: Any, background: Background) -> str | None:
    """The hash of the corpus for a deterministic summarizer, else None.

    Raises DissectionError where `keywords` has no corpus.
    """
    if isinstance(plugin, Keywords) and not background.captions:
        raise DissectionError(
            f"{dissection.place} has no captions of a sample of its clips to hold words against: "
            f"{run_first(dissection, 'explain', '--step', 'captions')}"
        )
    return json_hash(sorted(background.captions)) if getattr(plugin, "deterministic", False) else None


def _lacks(table: Table[SummaryRow], gathered: EvidenceOrReason, corpus: str | None) -> bool:
    """Whether there is no row, a failed one that may come out otherwise, or one from before some caption came."""
    evidence = gathered.evidence
    row = table.get((evidence.site, evidence.unit))
    if row is None or row.corpus != corpus or (row.failure is not None and corpus is None):
        return True
    sides = (
        (row.highly_clips, evidence.highly),
        (row.lowly_clips, evidence.lowly),
        (row.contrast_clips, evidence.contrast),
    )
    return any(list(clips or ()) != [exemplar.clip for exemplar in side] for clips, side in sides)
