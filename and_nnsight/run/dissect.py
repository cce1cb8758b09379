"""The run: stream clips through a model, keep each unit's top-K, bottom-K and moments, compare units with concepts."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import UNKNOWN, Batch, Clip, Source, batches, open_source
from ..dissection.descriptions import ConceptsDescription, DatasetDescription, ModelDescription, SiteDescription
from ..dissection.dissection import Dissection
from ..dissection.files import activation_file
from ..dissection.manifest import Manifest
from ..kernels import POOLINGS
from ..model.adapter import ListenedModel
from ..model.audio_model import AudioModel
from ..model.devices import device_of, dtype_of, known_device, known_dtype
from ..model.features import Group
from ..model.fingerprint import describe_model, package_versions
from ..model.opening import as_model, known_sites, moved
from ..model.restoring import evaluating, leaves_the_model_as_found
from ..model.trace import run_trace
from ..progress import ClipProgress
from ..remote import Remote, as_settings
from ..sites.site import Site
from ..statistics.concept_scores import ConceptError, ConceptScores
from ..statistics.concepts import ConceptAccumulator
from ..statistics.units import UnitStatistics
from ..wording import agree, counted
from .collector import BatchCollector
from .folder import TRUST, RunFolder
from .remote import meet, open_target, stream_remote
from .resources import disk_for_activations, memory_for_concepts, memory_for_exemplars

CHECKPOINT_SECONDS = 20.0
_MOST_WORKERS = 512
CHECKPOINT_ROWS = 8_192  # clips whose rows wait in memory


@leaves_the_model_as_found
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
    num_workers: int = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    resume: bool | str = True,
    progress: bool = True,
    remote: bool | str | Remote = False,
    concepts: ConceptScores | str | Path | None = None,
    keep_activations: bool = False,
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
    num_workers   processes that decode and make features; 0: in this one
    device        where a model given by name is loaded (default: a GPU if there is one); moves a given model
    dtype         dtype of the model, for example "bfloat16" (converts a given model in place); values are kept in
                  float32 whatever it is
    resume        False: refuse a folder that holds a dissection. "trust": continue (or return) it although the data
                  (a generator, a stream) or the model (edits, hooks, replaced forwards) cannot be recognised, because
                  you know that it is the very same; without it such a run is refused
    concepts      scores of clips for concepts, or the file they were saved to: every unit is compared with each
                  concept over all clips while they come (`Dissection.concept_statistics`). Every clip needs scores
    keep_activations  also write every clip's pooled activation of every unit to the folder, 4 bytes each
                  (`Dissection.activations`)
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
    made for other data; ModelError and ValueError for a model or data that cannot be opened, and where there is not
    the memory or the room on the disk. With `remote`, RemoteRunError for a server that does not answer, does not fit,
    wants a key, or fails; what came home is kept.
    """
    _check(k, pool, batch_size, num_workers)
    if not isinstance(resume, bool) and resume != TRUST:
        raise ValueError(f"resume must be True, False or {TRUST!r}, not {resume!r}")
    if device is not None:
        known_device(device)
    if dtype is not None:
        known_dtype(dtype)
    settings = as_settings(remote) if remote else None
    if settings is not None:
        _check_remote(device, dtype, concepts, keep_activations)
    columns = {"audio_column": audio_column, "label_column": label_column, "caption_column": caption_column}
    source = open_source(data, split=split, limit=limit, **columns)
    scores = _concept_scores(concepts, source)
    target = None if settings is None else open_target(model, sites, pool, settings)
    audio_model = as_model(model, device, dtype) if target is None else target.model
    chosen = known_sites(audio_model, sites, pool) if target is None else target.sites
    widths = {site.name: site.width for site in chosen}
    described = _describe_model(audio_model) if target is None else target.describe()
    manifest = Manifest(
        sites=tuple(map(SiteDescription.of, chosen)),
        model=ModelDescription.from_json(described),
        dataset=DatasetDescription.of(source, limit, columns),
        k=k,
        pool=pool,
        dtype=None if target else str(dtype_of(audio_model.wrapped)).removeprefix("torch."),
        concepts=None if scores is None else ConceptsDescription.of(scores),
        keep_activations=bool(keep_activations),
        versions=package_versions(),
    )
    out = Path(out).expanduser()
    run = RunFolder(out, manifest, resume, _unrecognisable(source, described))
    _say_unused(source, progress)
    where = torch.device("cpu") if target is not None else _statistics_device(audio_model)
    if not run.complete:
        _demand(run, scores, source.length, where, progress)
        target = None if target is None else meet(target)
    with run, evaluating(audio_model.wrapped):
        if not run.complete:
            taken = _Taken(widths, k, pool, where, scores, keep_activations)
            if target is None:
                _stream(audio_model, source, chosen, taken, run, batch_size, num_workers, progress)
            else:
                stream_remote(target, source, taken.statistics, run, batch_size, num_workers, progress)
            run.finish(taken.statistics, taken.concepts)
    found = Dissection.load(out)
    if odd := {site: found[site].nonfinite for site in found.sites if found[site].nonfinite}:
        count = sum(odd.values())
        warnings.warn(
            f"{counted(count, 'activation')} at {counted(len(odd), 'site')}, {next(iter(odd))} first, "
            f"{agree(count, 'was', 'were')} NaN or infinite",
            stacklevel=2,
        )
    if found.silent or found.copies:
        warnings.warn(_said_of_contents(found), stacklevel=2)
    if run.truncated:
        heard = audio_model.featuriser.window_seconds
        warnings.warn(
            f"{counted(run.truncated, 'clip')} {agree(run.truncated, 'is', 'are')} longer than the {heard:g} s that "
            f"the model hears: {agree(run.truncated, 'its beginning', 'their beginnings')} counted",
            stacklevel=2,
        )
    return found


def _said_of_contents(found: Dissection) -> str:
    copies = agree(len(found.copies), "byte-identical copy of an earlier one", "byte-identical copies of earlier ones")
    counts = [(len(found.silent), "silent"), (len(found.copies), copies)]
    said = " and ".join(f"{count:,} {what}" for count, what in counts if count)
    return f"of {counted(len(found.clips), 'clip')}, {said}: as evidence of what a unit responds to, copies count once"


def _check_remote(device: Any, dtype: Any, concepts: Any, keep_activations: bool) -> None:
    """Raise ValueError for what a run on a server does not have."""
    if device is not None or dtype is not None:
        raise ValueError("device and dtype are the server's to choose: leave them out with remote=")
    if concepts is not None or keep_activations:
        raise ValueError(
            "only each unit's best clips come home from a server, and concepts= and keep_activations= need every "
            "clip's values: run those without remote="
        )


def _describe_model(model: AudioModel | ListenedModel) -> dict[str, Any]:
    return model.describe() if isinstance(model, ListenedModel) else describe_model(model)


def _unrecognisable(source: Source, model: Mapping[str, Any]) -> list[str]:
    """What of a run cannot be told from another when it comes again, in words."""
    data = source.fingerprint == UNKNOWN
    changed = bool(model.get("edits"))
    return [
        *([f"data that cannot be recognised ({source.name}: a generator, a stream or the like)"] if data else []),
        *(["a model with edits, hooks or replaced forwards, which cannot be recognised"] if changed else []),
    ]


def _say_unused(source: Source, show: bool) -> None:
    """What the data holds beside its clips: a warning where it may be sound, a line for the rest."""
    for unused in source.unused:
        if unused.sound:
            warnings.warn(f"{source.name}: {unused}", stacklevel=3)
        elif show:
            print(f"{source.name}: {unused}", file=sys.stderr)


def _concept_scores(concepts: ConceptScores | str | Path | None, source: Source) -> ConceptScores | None:
    if concepts is None:
        return None
    scores = concepts if isinstance(concepts, ConceptScores) else ConceptScores.load(concepts)
    made_for = scores.settings.get("dataset", UNKNOWN)
    if UNKNOWN not in (made_for, source.fingerprint) and made_for != source.fingerprint:
        raise ConceptError(
            f"the concept scores were made for other data (fingerprint {made_for}) than {source.name} "
            f"({source.fingerprint}): make them for this data"
        )
    return scores


def _demand(run: RunFolder, scores: ConceptScores | None, clips: int | None, device: torch.device, show: bool) -> None:
    """Say what the run will take; ValueError if there clearly is not enough."""
    said: list[str | None] = []
    widths = run.manifest.widths
    units = sum(widths.values())
    said.append(memory_for_exemplars(run.manifest.k, units, device))
    if scores is not None:
        needed = ConceptAccumulator.bytes_needed(units, scores)
        said.append(memory_for_concepts(needed, units, len(scores.names), device))
    if run.activations is not None:
        files = [activation_file(run.folder, site) for site in widths]
        already = sum(path.stat().st_size for path in files if path.exists())
        said.append(disk_for_activations(None if clips is None else 4 * units * clips, already, units, run.folder))
    for line in said:
        if show and line:
            print(line, file=sys.stderr)


class _Taken:
    """What a run takes of its batches: the statistics and, if asked for, how units go with concepts; the values."""

    def __init__(
        self,
        widths: Mapping[str, int],
        k: int,
        pool: str,
        device: torch.device,
        scores: ConceptScores | None,
        keep_values: bool,
    ) -> None:
        wanted = scores is not None or keep_values
        observe = self._observe if wanted else None
        self.statistics = UnitStatistics(widths, k=k, pooling=pool, device=device, observe=observe)
        self.concepts = None if scores is None else ConceptAccumulator(self.statistics.units, scores, device=device)
        self._clips: list[Tensor] = []
        self._values: list[Tensor] = []

    def _observe(self, clips: Tensor, values: Tensor) -> None:
        self._clips.append(clips)
        self._values.append(values)

    def scores_of(self, clips: Sequence[Clip]) -> Tensor | None:
        """The scores of a batch's clips. Raises ConceptError, naming it, if one has none."""
        return None if self.concepts is None else self.concepts.scores.rows([clip.id for clip in clips])

    def end_batch(self, run: RunFolder, scores: Tensor | None) -> None:
        """Take in the pooled values of a whole batch, in the order of the stream."""
        if not self._values:
            return
        values = torch.cat(self._values)
        if len(self._values) > 1:  # clips of one length run together
            values = values[torch.cat(self._clips).argsort()]
        self._clips, self._values = [], []
        if self.concepts is not None and scores is not None:
            self.concepts.update(values, scores)
        run.keep(values)


def _stream(
    model: AudioModel | ListenedModel,
    source: Source,
    sites: tuple[Site, ...],
    taken: _Taken,
    run: RunFolder,
    batch_size: int,
    num_workers: int,
    show: bool,
) -> None:
    """Take every clip from the last checkpoint on into the statistics, with a checkpoint now and then."""
    featuriser = model.featuriser
    start = run.restore(taken.statistics, taken.concepts)
    collector = BatchCollector(taken.statistics)
    prepared = batches(
        source,
        sampling_rate=featuriser.sampling_rate,
        featurise=featuriser.groups,
        batch_size=batch_size,
        num_workers=num_workers,
        start=start,
        minimum_samples=featuriser.minimum_samples,
        window_samples=featuriser.window_samples,
    )
    last_checkpoint, pause = time.monotonic(), CHECKPOINT_SECONDS
    whole = True  # whether all that is kept ends at the same batch: only then may it be written
    with closing(prepared), ClipProgress(source.length, start, show) as bar:
        try:
            for batch in prepared:
                scores = taken.scores_of(batch.clips)
                for group in batch.inputs or ():
                    _run_group(model, sites, collector, batch, group)
                    whole = False
                    collector.end()
                window = featuriser.window_seconds
                cut = sum(1 for clip in batch.clips if window is not None and clip.seconds > window)
                whole = False
                taken.end_batch(run, scores)
                run.saw(batch.position + batch.size, batch.clips, batch.quarantined, cut)
                whole = True
                bar.advance(batch.size, len(batch.quarantined))
                if time.monotonic() - last_checkpoint > pause or run.pending > CHECKPOINT_ROWS:
                    began = time.monotonic()
                    run.checkpoint(taken.statistics, taken.concepts)
                    last_checkpoint = time.monotonic()
                    # Many concepts take seconds to write: no more than about a twentieth of the time may go into that.
                    pause = CHECKPOINT_SECONDS * max(1.0, last_checkpoint - began)
        except BaseException:
            if whole:
                run.checkpoint(taken.statistics, taken.concepts)
            raise


def _run_group(
    model: AudioModel | ListenedModel,
    sites: tuple[Site, ...],
    collector: BatchCollector,
    batch: Batch[tuple[Group, ...]],
    group: Group,
) -> None:
    clips = [batch.clips[row] for row in group.rows]
    device = device_of(model.wrapped)
    collector.begin([clip.id for clip in clips], [clip.seconds for clip in clips], device)
    listen = model.listen if isinstance(model, ListenedModel) else partial(run_trace, model)
    listen(sites, moved(group.features, device), collector.take)


def _check(k: int, pool: str, batch_size: int, num_workers: int) -> None:
    for name, value, least in (("k", k, 1), ("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if num_workers > _MOST_WORKERS:
        raise ValueError(f"num_workers is {num_workers:,}: no more than {_MOST_WORKERS} processes are started")
    if pool not in POOLINGS:
        raise ValueError(f"unknown pooling {pool!r}: one of {', '.join(POOLINGS)}")


def _statistics_device(model: AudioModel | ListenedModel) -> torch.device:
    """The model's device; the CPU where it has no float64 (Apple's GPUs)."""
    device = device_of(model.wrapped)
    return torch.device("cpu") if device.type == "mps" else device
