"""Summaries of each unit's highly and lowly clips: `explanations/summaries.parquet`, one row a unit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from typing import Any

import pyarrow as arrow

from ... import plugins
from ...dissection.dissection import Dissection, DissectionError
from ...progress import step_progress
from ...wording import command
from ..providers.answers import aligned
from ..providers.requests import remembered
from ..records.tables import Row, Table, table_settings
from ..records.unit_selection import chosen_units
from ..roles import LONGEST_SUMMARY, ChatModel, ChatOptions, Failure, Summarizer, Summary
from ..text.names import class_names
from .background import layer_weights
from .captions import background_of, captions_of
from .evidence import FEW, Gathered, gather, usual_k
from .summarizers.keywords import TRAITS_TOO, Keywords
from .traits import measured_traits

SCHEMA = arrow.schema(
    [
        ("site", arrow.string()),
        ("unit", arrow.int64()),
        ("highly", arrow.string()),
        ("lowly", arrow.string()),
        ("failure", arrow.string()),
        ("highly_clips", arrow.list_(arrow.int64())),
        ("lowly_clips", arrow.list_(arrow.int64())),
        ("contrast_clips", arrow.list_(arrow.int64())),
        ("requests", arrow.list_(arrow.string())),
        ("corpus", arrow.string()),  # hash of the corpus, where the summarizer is deterministic
    ]
)
KEY = ("site", "unit")
_BATCH = 256  # units handed to a summarizer at once: enough that batches of a chat model are of like length
_WRITE_SECONDS = 1.0  # rows wait so long at most: a table is synced to disk at each writing
_LONGEST_REASON = 500


def summarize(
    found: Dissection,
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
) -> list[Row]:
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
    spread      take the k from all stored exemplars, evenly, not the most extreme (see `evidence.chosen_places`)
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
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1, it is {k}")
    options = options or ChatOptions()
    chosen = chosen_units(found, sites, units)
    captions = captions_of(found)
    wanted = summarizer if summarizer is not None else "keywords" if chat is None else "llm"
    made = table_settings(found, "captions")
    if k is None:
        k = usual_k(found, str(made.get("captioner", "")), spread=spread) if counts_words(wanted) else FEW
    settings: dict[str, Any] = {"k": k, "excerpt": excerpt, "spread": spread, "captions": made}
    with ExitStack() as stack:
        background = background_of(found)
        corpus = list(background.captions)
        offered: dict[str, Any] = {"corpus": corpus, "device": device, "seed": options.seed}
        offered["layers"] = layer_weights(found, background.clips, k, spread=spread)
        offered["names"] = class_names(clip["label"] for clip in found.clips.values())
        if wanted == f"keywords:{TRAITS_TOO}":
            offered["traits"] = measured_traits(found, chosen, data, progress)
        if chat is not None:
            model, _ = plugins.resolve("chat model", chat, device=device)
            recorded = stack.enter_context(remembered(found, model))
            offered |= {"chat": recorded, "options": options}
            settings |= {"chat": recorded.name, "options": asdict(options)}
        plugin, name = plugins.resolve("summarizer", wanted, **offered)
        settings |= {"summarizer": name, **dict(getattr(plugin, "settings", {}))}
        with Table(found, "summaries", SCHEMA, KEY, settings) as table:
            hashed = _hash(corpus) if getattr(plugin, "deterministic", False) else None
            if isinstance(plugin, Keywords) and not corpus:
                raise DissectionError(
                    f"{found.folder} has no captions of a sample of its clips to hold words against: run "
                    f"`{command('explain', found.folder, '--step', 'captions')}` first"
                )
            wanted_contrast = bool(getattr(plugin, "wants_contrast", False))
            gathered = gather(found, chosen, captions, k=k, excerpt=excerpt, contrast=wanted_contrast, spread=spread)
            lacking = (one for one in gathered if _lacks(table, one, hashed))
            _write(table, plugin, lacking, hashed, len(chosen), progress)
            return table.rows()


def counts_words(summarizer: str | Summarizer) -> bool:
    """Whether a summarizer is `keywords`: more exemplars cost it nothing."""
    return isinstance(summarizer, Keywords) or (isinstance(summarizer, str) and summarizer.split(":")[0] == "keywords")


def _hash(corpus: Iterable[str]) -> str:
    return hashlib.blake2b(json.dumps(sorted(corpus)).encode(), digest_size=8).hexdigest()


def _lacks(table: Table, gathered: Gathered, corpus: str | None) -> bool:
    """Whether there is no row, a failed one that may come out otherwise, or one from before some caption came."""
    evidence = gathered.evidence
    row = table.get((evidence.site, evidence.unit))
    if row is None or row.get("corpus") != corpus or (row["failure"] is not None and corpus is None):
        return True
    sides = {"highly": evidence.highly, "lowly": evidence.lowly, "contrast": evidence.contrast}
    return any(list(row[f"{name}_clips"]) != [heard.clip for heard in side] for name, side in sides.items())


def _write(table: Table, plugin: Any, lacking: Iterator[Gathered], corpus: str | None, total: int, show: bool) -> None:
    """Summarize batch by batch; whatever stops it, every summary that came is written."""
    pending: list[Row] = []
    written = time.monotonic()
    with step_progress("summaries", total, show) as advance:
        try:
            while batch := list(islice(lacking, _BATCH)):
                for row in _rows(plugin, batch):
                    pending.append({**row, "corpus": corpus})
                    advance(1)
                    if time.monotonic() - written > _WRITE_SECONDS:
                        table.add(pending)
                        pending, written = [], time.monotonic()
        finally:
            table.add(pending)


def _rows(plugin: Any, batch: Sequence[Gathered]) -> Iterator[Row]:
    """The rows of units as they come; of those without highly captions nothing is asked."""
    asked = [gathered for gathered in batch if gathered.evidence.highly]
    unasked = Failure("not summarized, as the highly clips cannot be")
    yield from (_row(gathered, Summary(unasked, unasked)) for gathered in batch if not gathered.evidence.highly)
    for place, answer in aligned(plugin.summarize, [gathered.evidence for gathered in asked]):
        yield _row(asked[place], answer)


def _row(gathered: Gathered, answer: Any) -> Row:
    evidence = gathered.evidence
    highly, lowly, requests = _read(answer)
    if gathered.lowly is not None:
        lowly = Failure(gathered.lowly)
    if gathered.highly is not None:
        highly = Failure(gathered.highly)
    reasons = [
        f"{side}: {said.reason[:_LONGEST_REASON]}"
        for side, said in (("highly", highly), ("lowly", lowly))
        if isinstance(said, Failure)
    ]
    return {
        "site": evidence.site,
        "unit": evidence.unit,
        "highly": None if isinstance(highly, Failure) else highly,
        "lowly": None if isinstance(lowly, Failure) else lowly,
        "failure": "; ".join(reasons) or None,
        "highly_clips": [heard.clip for heard in evidence.highly],
        "lowly_clips": [heard.clip for heard in evidence.lowly],
        "contrast_clips": [heard.clip for heard in evidence.contrast],
        "requests": requests,
    }


def _read(answer: Any) -> tuple[str | Failure, str | Failure, list[str]]:
    """Both sides of a summarizer's answer and the ids of its requests, whatever it is."""
    if not isinstance(answer, Summary | Failure):
        answer = Failure(f"the summarizer answered with {type(answer).__name__}, not a Summary")
    if isinstance(answer, Failure):
        return answer, answer, []
    return _text(answer.highly), _text(answer.lowly), [str(request) for request in answer.requests]


def _text(said: Any) -> str | Failure:
    if isinstance(said, Failure):
        return said
    if not isinstance(said, str):
        return Failure(f"the summarizer answered with {type(said).__name__}, not text")
    if len(said) > LONGEST_SUMMARY:
        return Failure(f"the summary is a flood of {len(said):,} characters")
    return said.strip() or Failure("the summary is empty")
