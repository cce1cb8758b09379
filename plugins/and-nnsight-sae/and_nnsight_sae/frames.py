"""A site's frames over a dataset, written down once: those to train on, and those of the clips that are held out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from and_nnsight.data import Clip
from and_nnsight.model.device_features import featuriser_on
from and_nnsight.model.devices import to_device
from and_nnsight.model.features import Features
from and_nnsight.model.restoring import eval_mode
from and_nnsight.run.local import LocalTarget
from and_nnsight.run.look_ahead import GroupedBatch, LookAhead
from and_nnsight.run.loop import run_batches
from and_nnsight.run.options import RunOptions
from and_nnsight.run.reading import Reading
from and_nnsight.sites.site import Site, clip_frame_unit, frame_mask
from and_nnsight.storage import make_folder, undamaged, write_json
from and_nnsight.wording import counted
from torch import Tensor

from .errors import TrainingError
from .sample import FrameSample
from .split import HeldOut

TRAIN, HELD_OUT = "train", "held_out"
_FILE = "frames.json"
_CHECKPOINT_SECONDS = 20.0
_HELD_OUT_BOUND = 0.25  # of the bound of the frames to train on


class FrameStore:
    """The frames of a site in a folder, in two samples; `frames.json` says of what, and how far it is.

    description  what the frames hang on: the same there and here, or it is another store
    split        which clips are held out
    """

    def __init__(
        self, folder: Path, width: int, most_bytes: int, split: HeldOut, description: Mapping[str, Any]
    ) -> None:
        """Raises TrainingError for a folder that holds other frames, or damaged ones."""
        self.folder, self.width, self.split = folder, width, split
        self.description = {**description, "bytes": most_bytes, "held_out": split.share, "seed": split.seed}
        most = max(1, most_bytes // (4 * width))
        least = max(1, int(_HELD_OUT_BOUND * most))
        self.samples = {
            TRAIN: FrameSample(folder / "train.f32", width, most, split.seed),
            HELD_OUT: FrameSample(folder / "held-out.f32", width, least, split.seed + 1),
        }
        self.clips = {TRAIN: 0, HELD_OUT: 0}
        self.position, self.complete, self.left_out = 0, False, {"clips": 0, "frames": 0}
        make_folder(folder, TrainingError)
        if (folder / _FILE).exists():
            self._restore(folder / _FILE)

    def _restore(self, path: Path) -> None:
        with undamaged(path, f"remove {self.folder}", TrainingError):
            state = json.loads(path.read_bytes())
            differing = [name for name, value in self.description.items() if state["description"].get(name) != value]
            if differing:
                raise TrainingError(
                    f"{self.folder} holds frames of other {' and '.join(differing)}: choose another folder for these"
                )
            self.position, self.complete = state["position"], state["complete"]
            self.clips, self.left_out = state["clips"], state["left_out"]
            for name, sample in self.samples.items():
                sample.restore(state["frames"][name]["seen"])
                if self.complete and sample.to_json() != state["frames"][name]:
                    raise TrainingError(f"{sample.path} was changed since it was written: remove {self.folder}")

    def add(self, clip: Clip, frames: Tensor) -> None:
        """Take in the frames of the next clip of the stream; those that are not finite are left out and counted."""
        name = HELD_OUT if self.split.has(clip) else TRAIN
        finite = frames.isfinite().all(1)
        self.left_out["frames"] += int((~finite).sum())
        self.clips[name] += 1
        self.samples[name].add(frames[finite].numpy())

    def save(self, position: int, *, complete: bool) -> None:
        """Make everything up to a position of the stream survive."""
        self.position, self.complete = position, complete
        for sample in self.samples.values():
            sample.flush()
        samples = self.samples.items()
        frames = {name: sample.to_json() if complete else {"seen": sample.seen} for name, sample in samples}
        state = {
            "description": self.description,
            "position": position,
            "complete": complete,
            "clips": self.clips,
            "frames": frames,
            "left_out": self.left_out,
        }
        write_json(self.folder / _FILE, state)

    def frames(self, name: str) -> np.ndarray:
        """The frames of a sample, float32 [frame, width], on the disk. Raises TrainingError where there are none."""
        if not self.samples[name].kept:
            what = "held out" if name == HELD_OUT else "left to train on"
            raise TrainingError(
                f"no frame of {counted(sum(self.clips.values()), 'clip')} is {what}: take more clips, or another share "
                "(held_out)"
            )
        return self.samples[name].frames()


def gather(target: LocalTarget, reading: Reading, store: FrameStore, options: RunOptions) -> None:
    """Run what is left of the data through the model, up to the site, and write its frames to the store.

    Raises what a run over a dataset raises; what was written by then stays.
    """
    if store.complete:
        return
    featuriser = featuriser_on(target.model.featuriser, target.model.device)
    ahead = LookAhead.of(featuriser, target.model.device, options.batch_size)
    work = _Gathering(target, store)
    batches = run_batches(
        reading.source, featuriser, options, work, start=store.position, title="frames", look_ahead=ahead
    )
    saved_at, position = time.monotonic(), store.position
    with eval_mode(target.model.wrapped), closing(batches) as positions:
        for position in positions:
            if time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
                store.save(position, complete=False)
                saved_at = time.monotonic()
    store.save(position, complete=True)


class _Gathering:
    """The work on a batch: its groups through the model, their frames into the store in the order of the stream."""

    def __init__(self, target: LocalTarget, store: FrameStore) -> None:
        self._target, self._store = target, store
        self._clips: Sequence[Clip] = ()
        self._of_batch: list[tuple[Clip, Tensor]] = []

    def begin_batch(self, batch: GroupedBatch) -> None:
        """A batch comes."""
        self._of_batch = []

    def run_group(self, clips: Sequence[Clip], features: Features) -> None:
        """Run clips that may share a forward."""
        self._clips = clips
        model = self._target.model
        model.run(self._target.sites, to_device(features, model.device), self._take)

    def _take(self, site: Site, value: Tensor) -> None:
        frames = clip_frame_unit(value).to("cpu", torch.float32)
        counts = frame_mask(site, [clip.seconds for clip in self._clips], frames.shape[1])
        self._of_batch += [(clip, frames[row][counts[row]]) for row, clip in enumerate(self._clips)]

    def end_batch(self, batch: GroupedBatch) -> None:
        """All groups of the batch have run."""
        for clip, frames in sorted(self._of_batch, key=lambda pair: pair[0].id):
            self._store.add(clip, frames)
        self._store.left_out["clips"] += len(batch.quarantined)
