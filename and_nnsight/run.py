"""The run: stream clips through a model and keep each unit's top-K, bottom-K and moments."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .collect.batch import BatchCollector
from .collect.trace import run_trace
from .dissection import FORMAT_VERSION, Dissection
from .features import Group
from .fingerprint import describe_model, package_versions
from .kernels import POOLINGS
from .model import AudioModel
from .preparation import as_model, evaluating, known_sites, moved
from .progress import ClipProgress
from .run_folder import RunFolder
from .sites import Site
from .stats import UnitStatistics
from .stream import UNKNOWN, Batch, Source, batches, open_source

CHECKPOINT_SECONDS = 20.0
CHECKPOINT_ROWS = 8_192  # clips whose rows wait in memory


def dissect(
    model: str | nn.Module | AudioModel,
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
    num_workers: int = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    resume: bool = True,
    progress: bool = True,
    remote: bool | str = False,
) -> Dissection:
    """Run a dataset through a model and keep, for every unit of the sites, its K highest and K lowest clips.

    model         an AudioModel, a transformers module, or a hub id or local folder
    data          hub dataset id (streamed), `datasets` Dataset or IterableDataset, folder of audio, iterable of clips
    sites         names, globs, presets ("default", "paper", "all") or `module:PATH`
    k             clips kept at either end of each unit
    pool          how a clip's frames become one value: max, mean, cls, first or last
    out           folder of the dissection. The same call on the same folder resumes (or returns) it
    limit         at most this many clips of the stream
    num_workers   processes that decode and make features; 0: in this one
    device        where a model given by name is loaded (default: a GPU if there is one); moves a given model
    dtype         dtype of the model, for example "bfloat16" (converts a given model in place); values are kept in
                  float32 whatever it is
    resume        False: refuse a folder that holds a dissection

    Clips that cannot be read are set aside with their reason. Memory does not grow with the dataset. The result does
    not depend on where a run was interrupted; clips that would change each other's values by their lengths do not
    share a batch. Models with a fixed window (AST, Whisper, CLAP) hear a longer clip's beginning only; the manifest
    counts such clips.

    Raises DissectionError for a folder that holds something else, or if no clip could be used; SiteError for a
    pattern that names nothing or a site that does not fire; ModelError and ValueError for a model or data that cannot
    be opened.
    """
    if remote:
        raise ValueError("this version runs locally only: leave remote=False")
    _check(k, pool, batch_size, num_workers)
    columns = {"audio_column": audio_column, "label_column": label_column, "caption_column": caption_column}
    source = open_source(data, split=split, limit=limit, **columns)
    audio_model = as_model(model, device, dtype)
    chosen = known_sites(audio_model, sites, pool)
    widths = {site.name: site.width for site in chosen}
    manifest = {
        "format_version": FORMAT_VERSION,
        "versions": package_versions(),
        "model": describe_model(audio_model),
        "dataset": _describe_source(source) | {"limit": limit} | columns,
        "sites": [_describe_site(site) for site in chosen],
        "k": k,
        "pool": pool,
        "dtype": str(next(audio_model.wrapped.parameters()).dtype).removeprefix("torch."),
    }
    out = Path(out).expanduser()
    with RunFolder(out, manifest, resume) as run, evaluating(audio_model.wrapped):
        if run.continues:
            _warn_of_what_cannot_be_recognised(out, source, audio_model)
        if not run.complete:
            where = _statistics_device(audio_model)
            statistics = UnitStatistics(widths, k=k, pooling=pool, device=where)
            _stream(audio_model, source, chosen, statistics, run, batch_size, num_workers, progress)
            run.finish(statistics)
    found = Dissection.load(out)
    if odd := {site: found[site].nonfinite for site in found.sites if found[site].nonfinite}:
        warnings.warn(
            f"{sum(odd.values())} activations at {len(odd)} sites, {next(iter(odd))} first, were NaN or infinite",
            stacklevel=2,
        )
    if run.truncated:
        heard = audio_model.featuriser.window_seconds
        warnings.warn(
            f"{run.truncated} clips are longer than the {heard:g} s that the model hears: their beginnings counted",
            stacklevel=2,
        )
    return found


def _warn_of_what_cannot_be_recognised(out: Path, source: Source, model: AudioModel) -> None:
    unknown = [
        *(["data that cannot be recognised (a generator or a stream)"] if source.fingerprint == UNKNOWN else []),
        *(["a model with edits, which cannot be recognised"] if model._edits else []),
    ]
    if unknown:
        warnings.warn(f"{out} holds a dissection of {' and '.join(unknown)}: taking it to be this one", stacklevel=3)


def _stream(
    model: AudioModel,
    source: Source,
    sites: tuple[Site, ...],
    statistics: UnitStatistics,
    run: RunFolder,
    batch_size: int,
    num_workers: int,
    show: bool,
) -> None:
    """Take every clip from the last checkpoint on into the statistics, with a checkpoint now and then."""
    collector = BatchCollector(statistics)
    featuriser = model.featuriser
    start = run.restore(statistics)
    prepared = batches(
        source,
        sampling_rate=featuriser.sampling_rate,
        featurise=featuriser.groups,
        batch_size=batch_size,
        num_workers=num_workers,
        start=start,
        minimum_samples=featuriser.minimum_samples,
    )
    last_checkpoint = time.monotonic()
    whole = True  # whether the statistics and the rows end at the same batch: only then may they be written
    with closing(prepared), ClipProgress(source.length, start, show) as bar:
        try:
            for batch in prepared:
                for group in batch.inputs or ():
                    _run_group(model, sites, collector, batch, group)
                    whole = False
                    collector.end()
                window = featuriser.window_seconds
                cut = sum(1 for clip in batch.clips if window is not None and clip.seconds > window)
                whole = False
                run.saw(batch.position + batch.size, batch.clips, batch.quarantined, cut)
                whole = True
                bar.advance(batch.size, len(batch.quarantined))
                if time.monotonic() - last_checkpoint > CHECKPOINT_SECONDS or run.pending > CHECKPOINT_ROWS:
                    run.checkpoint(statistics)
                    last_checkpoint = time.monotonic()
        except BaseException:
            if whole:
                run.checkpoint(statistics)
            raise


def _run_group(
    model: AudioModel,
    sites: tuple[Site, ...],
    collector: BatchCollector,
    batch: Batch[tuple[Group, ...]],
    group: Group,
) -> None:
    clips = [batch.clips[row] for row in group.rows]
    device = next(model.wrapped.parameters()).device
    collector.begin([clip.id for clip in clips], [clip.seconds for clip in clips], device)
    run_trace(model, sites, moved(group.features, device), collector.take)


def _check(k: int, pool: str, batch_size: int, num_workers: int) -> None:
    for name, value, least in (("k", k, 1), ("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if pool not in POOLINGS:
        raise ValueError(f"unknown pooling {pool!r}: one of {', '.join(POOLINGS)}")


def _statistics_device(model: AudioModel) -> torch.device:
    """The model's device; the CPU where it has no float64 (Apple's GPUs)."""
    device = next(model.wrapped.parameters()).device
    return torch.device("cpu") if device.type == "mps" else device


def _describe_site(site: Site) -> dict[str, Any]:
    return {
        "name": site.name,
        "path": site.path,
        "side": site.side,
        "width": site.width,
        "layer": site.layer,
        "frames": site.geometry.to_json(),
    }


def _describe_source(source: Source) -> dict[str, Any]:
    return {name: getattr(source, name) for name in ("kind", "name", "split", "fingerprint")}
