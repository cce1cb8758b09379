"""A run on a server: clips go up in jobs; each unit's best clips come home and are merged in the stream's order."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..data import Source, batches
from ..dissection.descriptions import AT_SERVER
from ..model.adapter import ListenedModel
from ..model.audio_model import AudioModel
from ..model.checkpoint import ModelError
from ..model.fingerprint import config_hash, extractor_hash
from ..model.opening import known_sites
from ..model.remote_model import untagged
from ..progress import ClipProgress
from ..remote import LOCAL, Remote, RemoteRunError
from ..remote.answers import dtype_of, statistics_of
from ..remote.jobs import JobQueue
from ..remote.payloads import Packer, Parcel, needs_torchaudio, parcels
from ..remote.server import Job, installed, one_line, run_here, trusts
from ..remote.settings import at
from ..remote.shapes import FrameCounts, site_shapes
from ..remote.versions import check_model, check_versions
from ..sites.site import HEAD, Site, SiteError
from ..statistics.units import UnitStatistics
from ..wording import agree, counted
from .folder import RunFolder


class RemoteTarget(NamedTuple):
    """The model and its sites as a server has them, and how to run there."""

    model: AudioModel
    sites: tuple[Site, ...]
    settings: Remote
    trusted: bool
    versions: Mapping[str, str] = MappingProxyType({})

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the model. Its weights are the server's, and not seen here."""
        return {
            "id": self.model.repo_id or type(self.model.wrapped).__name__,
            "revision": self.model.revision,
            "class": type(self.model.wrapped).__name__,
            "edits": len(self.model._edits),
            "config": config_hash(self.model.wrapped),
            "weights": AT_SERVER,
            "features": extractor_hash(self.model.featuriser.extractor),
        }


def open_target(model: Any, sites: str | Iterable[str], pool: str, settings: Remote) -> RemoteTarget:
    """The model without its weights, and its sites. Asks no server.

    Raises ModelError for a model that a server cannot have, SiteError for sites.
    """
    audio_model = _without_weights(model, settings)
    patterns = [sites] if isinstance(sites, str) else list(sites)
    chosen = known_sites(audio_model, patterns, pool, run=site_shapes)
    if settings.url != LOCAL:
        audio_model.check_servable()
        chosen = _of_the_checkpoint(audio_model, chosen, patterns)
    return RemoteTarget(audio_model, chosen, settings, trusted=settings.url == LOCAL)


def meet(target: RemoteTarget) -> RemoteTarget:
    """The target with settings that fit its server. Sends no job.

    Raises RemoteRunError for a server that does not answer, does not fit, or wants a key.
    """
    model, settings = target.model, target.settings
    if settings.url == LOCAL:
        model.dispatch()
        return target._replace(settings=at(settings, gather=settings.gather or "trace"))
    if settings.url is None and not settings.key:
        raise RemoteRunError(
            f"{settings.host} wants an API key: set NDIF_API_KEY, or run `nnsight login`; a server of your own is "
            "named by its URL"
        )
    there = installed(settings)
    check_versions(settings.shown, there)
    trusted = trusts(settings)
    check_model(settings.shown, there, (getattr(model.wrapped.config, "architectures", None) or [None])[0], trusted)
    trusted = bool(trusted)
    gather = settings.gather or ("trace" if trusted else "cache")
    audio = settings.audio
    if "torchaudio" not in there and needs_torchaudio(model.featuriser.extractor):
        audio = "features"  # without it, the server would make other features
    versions = {name: there[name] for name in ("nnsight", "transformers", "torch", "torchaudio") if name in there}
    return target._replace(settings=at(settings, gather=gather, audio=audio), trusted=trusted, versions=versions)


def _without_weights(model: Any, settings: Remote) -> AudioModel:
    if isinstance(model, AudioModel):
        return model
    if isinstance(model, ListenedModel) or not isinstance(model, (str, Path)):
        raise ModelError(
            f"a {type(model).__name__} cannot run on a server: give a hub id, or an AudioModel that was opened by one"
        )
    opened = AudioModel(str(model))
    if settings.url == LOCAL or opened.served_class() == type(opened.wrapped).__name__:
        return opened
    try:
        return AudioModel(str(model), task=opened.task)  # the class that the server has, so that paths are its paths
    except Exception as error:  # transformers' pipelines raise anything
        raise ModelError(f"no server can load {model} for the task {opened.task!r}: {one_line(error)}") from error


def _of_the_checkpoint(model: AudioModel, sites: tuple[Site, ...], patterns: Sequence[str]) -> tuple[Site, ...]:
    """Without the head that a server makes up, of random weights, for a checkpoint that was saved without one."""
    saved_from = (getattr(model.wrapped.config, "architectures", None) or [None])[0]
    if saved_from in (None, type(model.wrapped).__name__):
        return sites
    kept = tuple(site for site in sites if site.name != HEAD)
    if not kept or HEAD in patterns:
        raise SiteError(
            f"{model.repo_id} was saved as {saved_from}: a server makes up the {HEAD!r} of its "
            f"{type(model.wrapped).__name__}, of random weights"
        )
    return kept


def stream_remote(
    target: RemoteTarget,
    source: Source,
    statistics: UnitStatistics,
    run: RunFolder,
    batch_size: int,
    num_workers: int,
    show: bool,
) -> None:
    """Take every clip from the last checkpoint on into the statistics; a checkpoint after every job.

    Raises RemoteRunError if it cannot go on; what came home before is kept.
    """
    model, settings = target.model, target.settings
    heard = model.featuriser
    start = run.restore(statistics)
    widths = {site.name: site.width for site in target.sites}
    prepared = batches(
        source,
        sampling_rate=heard.sampling_rate,
        featurise=Packer(heard, settings.audio),
        batch_size=batch_size,
        num_workers=num_workers,
        start=start,
        minimum_samples=heard.minimum_samples,
        window_samples=heard.window_samples,
    )
    frames = FrameCounts(model, target.sites)
    jobs = parcels(prepared, target.sites, frames, most_clips=settings.clips_per_job, most_bytes=settings.bytes_per_job)
    content = {
        "sites": [model.handle(site) for site in target.sites],
        "extractor": untagged(heard.extractor),
        "rate": heard.sampling_rate,
        "options": heard.options,
        "extras": model.further_inputs(remote=settings.url != LOCAL),
        "k": statistics.k,
        "pooling": statistics.pooling,
        "gather": settings.gather,
        "stop": target.trusted,
    }
    described = {
        "url": settings.shown,
        "gather": settings.gather,
        "audio": settings.audio,
        "versions": dict(target.versions),
    }
    with closing(prepared), ClipProgress(source.length, start, show) as bar:
        queue: JobQueue[Parcel] = JobQueue(
            lambda parcel: _launched(model, settings, content, parcel), settings, tell=bar.tell
        )
        pairs = _here(model, content, jobs) if settings.url == LOCAL else queue.run(jobs)
        try:
            for parcel, answer in pairs:
                if parcel.groups:
                    ids = [clip.id for clip in parcel.clips]
                    came = statistics_of(answer, ids, widths, statistics.k, statistics.pooling, parcel.frames)
                    _check_dtype(run, dtype_of(answer))
                    statistics.merge(came)
                cut = sum(
                    heard.window_seconds is not None and clip.seconds > heard.window_seconds for clip in parcel.clips
                )
                run.saw(parcel.end, parcel.clips, parcel.quarantined, cut)
                run.manifest = replace(run.manifest, remote=described | queue.traffic.to_json())
                run.checkpoint(statistics)
                bar.advance(parcel.positions, len(parcel.quarantined))
        except RemoteRunError as error:
            raise RemoteRunError(
                f"{error}; {counted(statistics.clips, 'clip')} {agree(statistics.clips, 'is', 'are')} kept in "
                f"{run.folder}, and the same call goes on from there"
            ) from error


def _launched(model: AudioModel, settings: Remote, content: Mapping[str, Any], parcel: Parcel) -> Any:
    if not parcel.groups:
        return _Empty()
    job = Job(model, settings)
    job.launch(model, {**content, "groups": parcel.groups})
    return job


class _Empty:
    """A parcel of which every clip was set aside: nothing to send."""

    status, meta, sent, received = None, None, 0, 0

    def ask(self) -> dict[str, Any]:
        """Nothing, at once."""
        return {}


def _here(
    model: AudioModel, content: Mapping[str, Any], jobs: Iterator[Parcel]
) -> Iterator[tuple[Parcel, dict[str, Any]]]:
    for parcel in jobs:
        yield parcel, run_here(model, {**content, "groups": parcel.groups}) if parcel.groups else {}


def _check_dtype(run: RunFolder, there: str) -> None:
    """Write down which dtype the server runs in; a run does not mix two."""
    known = run.manifest.dtype
    if known is None:
        run.settle_dtype(there)
        if there != "float32":
            warnings.warn(
                f"the server runs the model in {there}: activations are rounded there, and differ from a float32 run's",
                stacklevel=4,
            )
    elif known != there:
        raise RemoteRunError(
            f"the server runs the model in {there} now, and earlier clips were run in {known}: have the server run it "
            f"in {known}, or begin again in a new folder"
        )
