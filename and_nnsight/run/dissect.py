"""Dissect a model: keep each unit's top-K, bottom-K and moments over a dataset, and compare units with concepts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..data.options import DataOptions
from ..data.workers import TaskMap
from ..dissection.dissection import Dissection
from ..kernels import POOLINGS
from ..model.devices import known_device, known_dtype
from ..model.readers.options import ReaderOptions
from ..model.restoring import eval_mode, preserves_model
from ..remote import Remote, as_settings
from ..speech.annotations import Annotations
from ..statistics.concept_scores import ConceptScores
from .annotations import annotations_line, open_annotations, refuse_without_seconds
from .concepts import open_scores
from .description import describe_run
from .exemplar_plan import UnitName
from .exemplars import keep_exemplars as keep
from .folder import TRUST, RunFolder
from .local import open_local
from .merge import place_of_run, whole_or_part
from .options import RunOptions
from .reading import Reading
from .reports import (
    report_lines,
    report_unused,
    warn_of_contents,
    warn_of_truncated,
    warn_of_values,
    warn_of_versions,
)
from .resources import check_resources
from .session import CollectionPlan, Session
from .shards import options_of_rank, shard_of
from .sounds import SoundChoice

_MOST_WORKERS = 512


@preserves_model
def dissect(
    model: Any,
    data: Any,
    sites: str | Iterable[str] = "default",
    k: int = 16,
    pool: str = "max",
    batch_size: int = 8,
    *,
    out: str | Path,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    caption_column: str | None = None,
    limit: int | None = None,
    num_workers: int | TaskMap = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    resume: bool | str = True,
    progress: bool = True,
    remote: bool | str | Remote = False,
    concepts: ConceptScores | str | Path | None = None,
    annotations: Annotations | str | Path | None = None,
    keep_activations: bool = False,
    keep_exemplars: int | Iterable[UnitName] | None = None,
    shard: str | None = None,
    part: str | None = None,
    prompt: str | None = None,
    tokens: str | None = None,
    answer: str | None = None,
) -> Dissection:
    """Run a dataset through a model and keep, for every unit of the sites, its K highest and K lowest clips.

    model         an AudioModel, a transformers module, or a hub id or local folder; with plugins also "name:argument",
                  and objects of other libraries such as a TransformerBridge. A module is left as it was found:
                  trainable, in its own mode, with its own hooks and buffers
    data          hub dataset id (streamed), `datasets` Dataset or IterableDataset, folder of audio, iterable of clips
    sites         names, globs, presets ("default", "paper", "all") or `module:PATH`
    k             clips kept at either end of each unit
    pool          how a clip's frames become one value: max, mean, cls, first or last
    out           folder of the dissection. The same call on the same folder resumes (or returns) it
    limit         at most this many clips of the stream
    num_workers   processes that decode and make features; 0: a thread of this one, a batch ahead of the model; or what
                  has others do it, as a plugin may (`and_nnsight.data.workers.TaskMap`)
    device        where a model given by name is loaded (default: a GPU if there is one); moves a given model
    dtype         dtype of the model, for example "bfloat16" (converts a given model in place); values are kept in
                  float32 whatever it is
    resume        False: refuse a folder that holds a dissection. "trust": continue (or return) it although the data
                  (a generator, a stream) or the model (edits, hooks, replaced functions) cannot be recognised, because
                  you know that it is the very same; without it such a run is refused
    concepts      scores of clips for concepts, or the file they were saved to: every unit is compared with each
                  concept over all clips while they come (`Dissection.concept_statistics`). Every clip needs scores
    annotations   words, phones, speakers or pauses with times, or where `read_annotations` finds them (a folder of
                  TextGrid or CTM files, "column:NAME", "whisper:CHECKPOINT"): every unit is compared with each concept
                  over all frames of the clips that are annotated (`Dissection.annotation_statistics`). Of concepts the
                  100 of the most clips, in 5 clips at least. Every site needs frames with seconds
    keep_activations  also write every clip's pooled activation of every unit to the folder, 4 bytes each
                  (`Dissection.activations`)
    keep_exemplars  also keep sounds and activations over time (`Dissection.exemplars`), without which a unit cannot be
                  heard: of so many exemplars at either end of every unit, or of all exemplars of the units given, as
                  (site, index) or "SITE:INDEX". For clips that cannot be read again (a stream, a generator, arrays in
                  memory); of others the function `keep_exemplars` does the same at any later time
    shard         "i/n": the i-th of n parts of the data, counted from 0, for n processes that share no more than `out`;
                  "torchrun": as torchrun says. Each is a run of its own in out/shards/i-of-n, interrupted and resumed
                  as any other; the last to be done merges all into `out`, equal file by file to a run that was not
                  split (see `merge`). Gives the whole once it is there, the dissection of the part before
    part          which part of a composite model (`AudioModel.parts` lists them), for example "language_model"; by
                  default the one that hears. It is in the manifest: runs of several parts are never mixed
    prompt        of a part that reads (a language model, a decoder): what is asked beside the sound
    tokens        which positions of its sequence are frames: "audio" (those of the sound, with seconds), "prompt" or
                  "answer"
    answer        where the answer comes from: "generated" greedily (default), or given: the clip's "caption" or "label"
    remote        True (nnsight's NDIF host), a server's URL, "local" (nnsight's dry run) or a `Remote` with settings:
                  the model runs there, named by its hub id; no weights are loaded here, and only each unit's best
                  clips come home. Interrupted, it resumes from the last job that came home

    Clips that cannot be read are set aside with their reason; what a folder holds and no clip is made of is counted by
    reason in the manifest (`Dissection.unused`), and said where it may be sound. Memory does not grow with the dataset.
    The result does not depend on where a run was interrupted; clips that would change each other's values by their
    lengths do not share a batch. Models with a fixed window (AST, Whisper, CLAP) hear a longer clip's beginning only;
    the manifest counts such clips.

    Raises DissectionError for a folder that holds something else, or if no clip could be used; SiteError for a
    pattern that names nothing or a site that does not fire; ConceptError for a clip without scores, or scores that were
    made for other data; AnnotationError for annotations that cannot be read, or are of other data; ModelError and
    ValueError for a model or data that cannot be opened, and where there is not the memory or the room on the disk.
    With `remote`, RemoteRunError for a server that does not answer, does not fit, wants a key, or fails; what came home
    is kept.
    """
    columns = DataOptions(split, audio_column, label_column, caption_column, limit)
    options = RunOptions(device, dtype, batch_size, num_workers, progress)
    _check(k, pool, resume, options)
    reads = ReaderOptions(prompt, tokens, answer)
    settings = as_settings(remote) if remote else None
    part_of_run, options = shard_of(shard), options_of_rank(shard, options)
    if settings is not None:
        _check_remote(options, (concepts, annotations), keep_activations, keep_exemplars, shard)
        _refuse_reading(reads)
    reading = Reading.of(data, columns)
    scores = open_scores(concepts, reading.source)
    annotated = open_annotations(annotations, data, reading.source, columns, progress)
    if settings is None:
        target = open_local(model, sites, pool, options, part, reads)
    else:
        from .remote import open_remote  # what talks to servers, only where one is meant

        target = open_remote(model, sites, pool, settings, part)
    if annotated is not None:
        refuse_without_seconds(target.sites)
    reading = reading.part(part_of_run, target.unit(batch_size))
    window = target.model.featuriser.window_seconds
    plan = CollectionPlan(
        target.sites, k, pool, target.statistics_device, window, scores, bool(keep_activations), annotations=annotated
    )
    if keep_exemplars is not None:
        rate = target.model.featuriser.sampling_rate
        plan = replace(plan, sounds=SoundChoice.of(keep_exemplars, plan.widths, k, rate))
    manifest = describe_run(target.describe(), target.dtype, reading, plan)
    place, manifest = place_of_run(Path(out).expanduser(), manifest, resume)
    folder = RunFolder(place, manifest, resume)
    report_unused(reading.source, options.progress)
    if not folder.complete:
        warn_of_versions(folder.begun_with, manifest.versions)
        if annotated is not None:
            report_lines([annotations_line(annotated)], options.progress)
        report_lines(check_resources(plan, folder.folder, reading.source.length), options.progress)
        target = target.negotiate()
    with folder, eval_mode(target.model.wrapped):
        if not folder.complete:
            session = Session(folder, plan)
            target.stream(reading.source, session, options)
            session.finish()
    dissection = whole_or_part(Path(out).expanduser(), Dissection.load(folder.folder))
    if plan.sounds is not None and dissection.manifest.shard is None:
        pairs = plan.sounds.pairs(plan.widths)
        keep(dissection, pairs, target.model, data, most=plan.sounds.most, **vars(options))
    warn_of_values(dissection)
    warn_of_contents(dissection)
    warn_of_truncated(dissection.manifest.truncated, window)
    return dissection


def _check(k: int, pool: str, resume: bool | str, options: RunOptions) -> None:
    """Raise ValueError for settings that no run can have."""
    workers = 0 if callable(options.num_workers) else options.num_workers
    whole_numbers = (("k", k, 1), ("batch_size", options.batch_size, 1), ("num_workers", workers, 0))
    for name, value, least in whole_numbers:
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if workers > _MOST_WORKERS:
        raise ValueError(f"num_workers is {workers:,}: no more than {_MOST_WORKERS} processes are started")
    if pool not in POOLINGS:
        raise ValueError(f"unknown pooling {pool!r}: one of {', '.join(POOLINGS)}")
    if not isinstance(resume, bool) and resume != TRUST:
        raise ValueError(f"resume must be True, False or {TRUST!r}, not {resume!r}")
    if options.device is not None:
        known_device(options.device)
    if options.dtype is not None:
        known_dtype(options.dtype)


def _refuse_reading(reads: ReaderOptions) -> None:
    """Raise ValueError for how a model reads: a server is given sound alone."""
    if reads.given:
        raise ValueError(
            f"{' and '.join(f'{name}=' for name in reads.given)}: a server is given sound, and no text beside it; run "
            "parts that read without remote="
        )


def _check_remote(
    options: RunOptions, compared: tuple[Any, ...], keep_activations: bool, keep_exemplars: Any, shard: Any
) -> None:
    """Raise ValueError for what a run on a server does not have."""
    if shard is not None:
        raise ValueError("a server's jobs are spread already: leave shard= out with remote=")
    if options.device is not None or options.dtype is not None:
        raise ValueError("device and dtype are the server's to choose: leave them out with remote=")
    if any(one is not None for one in compared) or keep_activations:
        raise ValueError(
            "only each unit's best clips come home from a server, and concepts=, annotations= and keep_activations= "
            "need every clip's values: run those without remote="
        )
    if keep_exemplars is not None:
        raise ValueError(
            "clips go up to a server one after another and are not kept: leave keep_exemplars= out with remote=, and "
            "call keep_exemplars afterwards, with data= where it cannot be read again"
        )
