"""A run on a server: clips go up in jobs; each unit's best clips come home and are merged in the stream's order."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..data import Source
from ..dissection.descriptions import AT_SERVER
from ..model.audio_model import AudioModel
from ..model.fingerprint import config_hash, extractor_hash
from ..model.inputs import further_inputs
from ..model.opening import open_servable
from ..model.remote_model import without_server_id
from ..model.resolving import resolve_sites
from ..progress import ClipProgress
from ..remote import LOCAL, Remote, RemoteRunError
from ..remote.answers import dtype_of, statistics_of
from ..remote.encoders import as_served, encoder_bytes, pack_encoders
from ..remote.jobs import JobQueue
from ..remote.payloads import Packer, Payload, make_payloads, needs_torchaudio
from ..remote.server import Job, installed, run_here, trusts
from ..remote.settings import at
from ..remote.shapes import FrameCounts, site_shapes
from ..remote.versions import check_model, check_versions
from ..sites.names import HEAD
from ..sites.site import Site, SiteError
from ..wording import agree, counted
from .folder import RunFolder
from .loop import prepared_batches
from .options import RunOptions
from .session import CollectionPlan, Session


@dataclass(frozen=True)
class RemoteTarget:
    """The model and its sites as a server has them, and how to run there.

    trusted   whether the server runs the job's code beside the model
    versions  what is installed there, of the packages that values depend on
    encoders  of dictionaries, as they go up with every job, by the names of sites
    """

    model: AudioModel
    sites: tuple[Site, ...]
    settings: Remote
    trusted: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    encoders: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> str | None:
        """Not known before a job is home."""
        return None

    @property
    def statistics_device(self) -> torch.device:
        """Where statistics are added up: what comes home is on the CPU."""
        return torch.device("cpu")

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the model. Its weights are the server's, and not seen here."""
        return {
            "id": self.model.repo_id or type(self.model.wrapped).__name__,
            "revision": self.model.revision,
            **({} if self.model.part is None else {"part": self.model.part.name}),
            "class": type(self.model.wrapped).__name__,
            "edits": self.model.edits,
            "config": config_hash(self.model.wrapped),
            "weights": AT_SERVER,
            "features": extractor_hash(self.model.featuriser.extractor),
        }

    def unit(self, batch_size: int) -> int:
        """Positions of the stream that are worked on as one."""
        return batch_size

    def negotiate(self) -> RemoteTarget:
        """The target with settings that fit its server. Sends no job.

        Raises RemoteRunError for a server that does not answer, does not fit, or wants a key.
        """
        if self.settings.url == LOCAL:
            self.model.dispatch()
            return replace(self, settings=at(self.settings, gather=self.settings.gather or "trace"))
        return _fitted(self)

    def stream(self, source: Source, session: Session, options: RunOptions) -> None:
        """Take every clip from the last checkpoint on into the session; a checkpoint after every job.

        Raises RemoteRunError if it cannot go on; what came home before is kept.
        """
        settings, featuriser = self.settings, self.model.featuriser
        with session.streaming() as start:
            packer = Packer(featuriser, settings.audio)
            prepared = prepared_batches(source, featuriser, packer, options, start)
            with closing(prepared), ClipProgress(source.length, start, options.progress) as bar:
                payloads = make_payloads(
                    prepared,
                    self.sites,
                    FrameCounts(self.model, self.sites),
                    most_clips=settings.clips_per_job,
                    most_bytes=settings.bytes_per_job,
                )
                jobs = _Jobs(self, session.plan, bar)
                try:
                    for payload, answer in jobs.run(payloads):
                        _take_home(payload, answer, session)
                        session.folder.manifest = replace(session.folder.manifest, remote=jobs.describe())
                        session.checkpoint()
                        bar.advance(payload.positions, len(payload.quarantined))
                except RemoteRunError as error:
                    clips = session.statistics.clips
                    raise RemoteRunError(
                        f"{error}; {counted(clips, 'clip')} {agree(clips, 'is', 'are')} kept in "
                        f"{session.folder.folder}, and the same call goes on from there"
                    ) from error


def open_remote(
    model: Any, sites: str | Iterable[str], pool: str, settings: Remote, part: str | None = None
) -> RemoteTarget:
    """The model without its weights, and its sites. Asks no server.

    Raises ModelError for a model that a server cannot have, SiteError for sites and for dictionaries that cannot
    go up.
    """
    local = settings.url == LOCAL
    audio_model = open_servable(model, local=local, part=part)
    patterns = [sites] if isinstance(sites, str) else list(sites)
    resolved = resolve_sites(audio_model, patterns, pool, shapes=site_shapes)
    encoders = pack_encoders(resolved, settings.most_dictionary_bytes)
    if not local:
        audio_model.check_servable()
        resolved = _of_the_checkpoint(audio_model, resolved, patterns)
    return RemoteTarget(audio_model, resolved, settings, trusted=local, encoders=encoders)


def _fitted(target: RemoteTarget) -> RemoteTarget:
    """The target with what its server is known to have, and settings to match; see `RemoteTarget.negotiate`."""
    model, settings = target.model, target.settings
    if settings.url is None and not settings.key:
        raise RemoteRunError(
            f"{settings.host} wants an API key: set NDIF_API_KEY, or run `nnsight login`; a server of your own is "
            "named by its URL"
        )
    there = installed(settings)
    check_versions(settings.shown, there)
    trusted = trusts(settings)
    check_model(settings.shown, there, _saved_from(model), trusted)
    trusted = bool(trusted)
    _check_part(model, settings.shown, trusted)
    gather = settings.gather or ("trace" if trusted else "cache")
    audio = settings.audio
    if "torchaudio" not in there and needs_torchaudio(model.featuriser.extractor):
        audio = "features"  # without it, the server would make other features
    versions = {name: there[name] for name in ("nnsight", "transformers", "torch", "torchaudio") if name in there}
    return replace(target, settings=at(settings, gather=gather, audio=audio), trusted=trusted, versions=versions)


def _check_part(model: AudioModel, host: str, trusted: bool) -> None:
    """Raise RemoteRunError for a part that a server's sandbox cannot run alone."""
    way = model.served_way()
    if way is not None and not trusted and not way.by_name:
        assert model.part is not None
        raise RemoteRunError(
            f"{host} runs jobs of this key in a sandbox, where nothing but a model's own methods is called, and "
            f"{model.class_here} has none that runs its part {model.part.name!r} on sound alone: use a trusted key, or "
            "a server of your own"
        )


def _saved_from(model: AudioModel) -> str | None:
    """The class that the checkpoint was saved from."""
    return (getattr(model.wrapped.config, "architectures", None) or [None])[0]


def _of_the_checkpoint(model: AudioModel, sites: tuple[Site, ...], patterns: Sequence[str]) -> tuple[Site, ...]:
    """Without the head that a server makes up, of random weights, for a checkpoint that was saved without one."""
    saved_from = _saved_from(model)
    if saved_from in (None, type(model.wrapped).__name__):
        return sites
    at_checkpoint = tuple(site for site in sites if site.name != HEAD)
    if not at_checkpoint or HEAD in patterns:
        raise SiteError(
            f"{model.repo_id} was saved as {saved_from}: a server makes up the {HEAD!r} of its "
            f"{type(model.wrapped).__name__}, of random weights"
        )
    return at_checkpoint


class _Jobs:
    """A run's jobs: payloads go up, or are run here in nnsight's dry run, and come back with their answers."""

    def __init__(self, target: RemoteTarget, plan: CollectionPlan, bar: ClipProgress) -> None:
        self.target, self.model, self.settings = target, target.model, target.settings
        featuriser = self.model.featuriser
        self.content = {
            "sites": [self.model.handle(as_served(site)) for site in target.sites],
            "encoders": dict(target.encoders),
            "extractor": without_server_id(featuriser.extractor),
            "rate": featuriser.sampling_rate,
            "options": featuriser.options,
            "extras": further_inputs(self.model.wrapped, remote=self.settings.url != LOCAL),
            "names": self.model.served_names(),
            "k": plan.k,
            "pooling": plan.pool,
            "gather": self.settings.gather,
            "stop": target.trusted,
        }
        self.queue: JobQueue[Payload] = JobQueue(self._launch, self.settings, tell=bar.tell)

    def run(self, payloads: Iterator[Payload]) -> Iterator[tuple[Payload, dict[str, Any]]]:
        """Every payload with its answer, in order. Raises RemoteRunError if it cannot go on."""
        return self._run_here(payloads) if self.settings.url == LOCAL else self.queue.run(payloads)

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the server and of what went over the wire."""
        return {
            "url": self.settings.shown,
            "gather": self.settings.gather,
            "audio": self.settings.audio,
            "versions": dict(self.target.versions),
            **self._dictionaries(),
            **self.queue.traffic.to_json(),
        }

    def _dictionaries(self) -> dict[str, int]:
        """How many bytes of dictionaries go up with every job, before they are compressed."""
        encoders = self.target.encoders
        return {"dictionary_bytes": encoder_bytes(encoders)} if encoders else {}

    def _launch(self, payload: Payload) -> Any:
        if not payload.groups:
            return _NoJob()
        job = Job(self.model, self.settings)
        job.launch(self.model, {**self.content, **payload.content})
        return job

    def _run_here(self, payloads: Iterator[Payload]) -> Iterator[tuple[Payload, dict[str, Any]]]:
        for payload in payloads:
            content = {**self.content, **payload.content}
            yield payload, run_here(self.model, content) if payload.groups else {}


class _NoJob:
    """A payload of which every clip was set aside: nothing to send."""

    status, meta, sent, received = None, None, 0, 0

    def ask(self) -> dict[str, Any]:
        """Nothing, at once."""
        return {}


def _take_home(payload: Payload, answer: Mapping[str, Any], session: Session) -> None:
    """A job's clips into the session. Raises RemoteRunError for an answer that is none."""
    plan = session.plan
    session.begin_batch(payload.clips)
    if payload.groups:
        ids = [clip.id for clip in payload.clips]
        statistics = statistics_of(answer, ids, plan.widths, plan.k, plan.pool, payload.frames, payload.left_out)
        _check_dtype(session.folder, dtype_of(answer))
        session.merge(statistics)
    session.end_batch(payload.end, payload.clips, payload.quarantined)


def _check_dtype(run: RunFolder, there: str) -> None:
    """Write down which dtype the server runs in; a run does not mix two."""
    known = run.manifest.dtype
    if known is None:
        run.settle_dtype(there)
        if there != "float32":
            warnings.warn(
                f"the server runs the model in {there}: activations are rounded there, and differ from a float32 run's",
                stacklevel=6,
            )
    elif known != there:
        raise RemoteRunError(
            f"the server runs the model in {there} now, and earlier clips were run in {known}: have the server run it "
            f"in {known}, or begin again in a new folder"
        )
