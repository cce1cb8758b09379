"""What goes up to a server: a job's clips, each group in the smallest form that loses nothing."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..audio.pcm import as_pcm16, rounded_to_pcm16
from ..data import Batch, Clip, Quarantined
from ..model.features import Features, Featuriser, probe_features
from ..sites.site import Site, frame_mask
from .shapes import FrameCounts

Audio = Literal["exact", "int16", "features"]


@dataclass(frozen=True)
class Packed:
    """Rows of a batch that run together, as they go up: samples with their lengths, or features."""

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    content: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes, before they are compressed."""
        arrays = [self.content["samples"]] if "samples" in self.content else self.content["features"].values()
        return sum(len(array[2]) for array in arrays)


@dataclass(frozen=True)
class Packer:
    """Waveforms to what goes up. Picklable: it runs in worker processes.

    audio  "exact": samples as int16 where that loses nothing, else as float32, or the model's inputs, whichever is the
           least; "int16": samples rounded to 16 bits; "features": always the model's inputs
    """

    featuriser: Featuriser
    audio: Audio = "exact"

    def __call__(self, waveforms: Sequence[np.ndarray]) -> tuple[Packed, ...]:
        """The groups of a batch. Raises AudioError as the featuriser does."""
        return tuple(
            self._packed(rows, [waveforms[row] for row in rows]) for rows in self.featuriser.together(waveforms)
        )

    def _packed(self, rows: tuple[int, ...], waveforms: Sequence[np.ndarray]) -> Packed:
        window = self.featuriser.window_samples
        clips = [np.ascontiguousarray(waveform[:window], np.float32) for waveform in waveforms]
        lengths = tuple(map(len, clips))
        samples = np.concatenate(clips)
        if self.audio == "features":
            return Packed(rows, lengths, _of(self.featuriser(clips)))
        rounded = rounded_to_pcm16(samples) if self.audio == "int16" else as_pcm16(samples)
        sent = torch.from_numpy(samples if rounded is None else rounded)
        if self.audio == "exact" and sent.nbytes > self._least_feature_bytes(lengths):
            features = self.featuriser(clips)
            if sum(tensor.nbytes for tensor in features.values()) < sent.nbytes:
                return Packed(rows, lengths, _of(features))
        return Packed(rows, lengths, {"samples": as_bytes(sent), "lengths": list(lengths)})

    def _least_feature_bytes(self, lengths: Sequence[int]) -> int:
        """What features take at least: known beforehand where every clip is heard in one window."""
        if self.featuriser.window_samples is None:
            return 0
        return len(lengths) * _window_bytes(self.featuriser)


@lru_cache(maxsize=4)
def _window_bytes(featuriser: Featuriser) -> int:
    return sum(tensor.nbytes for tensor in probe_features(featuriser).values())


def _of(features: Features) -> dict[str, Any]:
    return {"features": {name: as_bytes(tensor) for name, tensor in features.items()}}


def as_bytes(tensor: Tensor) -> tuple[str, list[int], bytes]:
    """A tensor as its dtype's name, its shape and its bytes."""
    content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return str(tensor.dtype).removeprefix("torch."), list(tensor.shape), content


def needs_torchaudio(extractor: Any) -> bool:
    """Whether a feature extractor gives other values where torchaudio is not installed (AST's)."""
    module = sys.modules[type(extractor).__module__]
    return hasattr(module, "is_speech_available") and "torchaudio" in inspect.getsource(module)


@dataclass
class Payload:
    """A job's clips: the batches they came in, and the groups that go up, with rows counted through the job."""

    batches: list[Batch[tuple[Packed, ...]]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    @property
    def clips(self) -> list[Clip]:
        """The job's clips, by row."""
        return [clip for batch in self.batches for clip in batch.clips]

    @property
    def quarantined(self) -> list[Quarantined]:
        """Clips of these batches that were set aside."""
        return [clip for batch in self.batches for clip in batch.quarantined]

    @property
    def left_out(self) -> list[int]:
        """Stream positions of the clips that were set aside."""
        return [clip.clip for clip in self.quarantined]

    @property
    def content(self) -> dict[str, Any]:
        """What goes up of it: the groups, and where in the stream each row is."""
        positions = [clip.id for clip in self.clips]
        return {"groups": self.groups, "positions": positions, "left_out": self.left_out}

    @property
    def end(self) -> int:
        """The stream position after the job."""
        return self.batches[-1].position + self.batches[-1].size

    @property
    def positions(self) -> int:
        """How many positions of the stream the job covers."""
        return sum(batch.size for batch in self.batches)

    @property
    def frames(self) -> list[int]:
        """How many frames each site has at most."""
        counts = [[group["masks"][index][1][1] for index in group["mask_of_site"]] for group in self.groups]
        return [max(of_site) for of_site in zip(*counts, strict=True)]


def make_payloads(
    batches: Iterable[Batch[tuple[Packed, ...]]],
    sites: Sequence[Site],
    frames: FrameCounts,
    *,
    most_clips: int,
    most_bytes: int,
) -> Iterator[Payload]:
    """Batches as jobs of at most so many clips (or one batch) and about so many bytes.

    Clips that were set aside count too: a long run of them must not wait for a job to fill up.
    """
    payload = Payload()
    for batch in batches:
        size = sum(group.size for group in batch.inputs or ())
        full = payload.positions + batch.size > most_clips or payload.size + size > most_bytes
        if payload.batches and full:
            yield payload
            payload = Payload()
        _add(payload, batch, size, sites, frames)
    if payload.batches:
        yield payload


def _add(
    payload: Payload, batch: Batch[tuple[Packed, ...]], size: int, sites: Sequence[Site], frames: FrameCounts
) -> None:
    """Put a batch of so many bytes into a job, its rows behind those that are there."""
    before = len(payload.clips)
    payload.batches.append(batch)
    payload.size += size
    for group in batch.inputs or ():
        seconds = [batch.clips[row].seconds for row in group.rows]
        masks, mask_of_site = _masks(sites, seconds, frames(group.lengths))
        rows = [before + row for row in group.rows]
        payload.groups.append({"rows": rows, "masks": masks, "mask_of_site": mask_of_site, **group.content})


def _masks(
    sites: Sequence[Site], seconds: Sequence[float], frames: dict[str, int]
) -> tuple[list[tuple[int, list[int], bytes]], list[int]]:
    """The different frame masks of the sites, and which of them is each site's."""
    different: dict[Any, int] = {}
    packed: list[tuple[int, list[int], bytes]] = []
    for site in sites:
        key = (site.geometry, frames[site.name])
        if key in different:
            continue
        different[key] = len(packed)
        mask = frame_mask(site, seconds, frames[site.name])
        if (mask == mask[:1]).all():
            mask = mask[:1]
        packed.append((len(seconds), list(mask.shape), mask.numpy().tobytes()))
    return packed, [different[site.geometry, frames[site.name]] for site in sites]
