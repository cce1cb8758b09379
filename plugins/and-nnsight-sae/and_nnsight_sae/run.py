"""Train a sparse autoencoder on a site of a model over a dataset."""

from __future__ import annotations

import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from and_nnsight.data.options import DataOptions
from and_nnsight.data.workers import TaskMap
from and_nnsight.dissection.descriptions import DatasetDescription, ModelDescription
from and_nnsight.model.restoring import preserves_model
from and_nnsight.run.local import LocalTarget, open_local
from and_nnsight.run.options import RunOptions
from and_nnsight.run.reading import Reading
from and_nnsight.run.reports import report_unused
from and_nnsight.storage import Lock, locked, make_folder

from .centring import Centring
from .errors import TrainingError
from .frames import HELD_OUT, TRAIN, FrameStore, gather
from .measurement import Quality, measure
from .report import Training
from .settings import TrainingSettings
from .shuffling import ShuffledFrames
from .split import HeldOut
from .training import train

FRAME_BYTES = 2**32
"""Bytes that frames to train on take on the disk at most, unless it is said otherwise."""
_LAYOUT = ("cfg.json", "sae_weights.safetensors")
_PROGRESS = "progress"


@preserves_model
def train_sae(
    model: Any,
    data: Any,
    *,
    site: str,
    width: int,
    out: str | Path,
    architecture: str = "topk",
    k: int = 32,
    steps: int = 1000,
    frames_a_step: int = 512,
    learning_rate: float = 1e-3,
    dead_steps: int = 20,
    revival: float = 1.0,
    seed: int = 0,
    held_out: float = 0.1,
    frames: str | Path | None = None,
    frame_bytes: int = FRAME_BYTES,
    split: str | None = None,
    audio_column: str = "audio",
    limit: int | None = None,
    batch_size: int = 8,
    num_workers: int | TaskMap = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: bool = True,
) -> Training:
    """Train a sparse autoencoder with SAELens's trainer on the frames of a site that carry audio.

    The data runs through the model once, no further than the site; frames are written to the disk, all of them or a
    uniform sample. Those of a share of the clips are held out. The others are centred, scaled and shuffled, and trained
    on; centring and scale are folded into the weights, which SAELens and `SITE|sae:OUT` read.

    model, data    what `and_nnsight.dissect` takes
    site           one site, for example blocks.2.hook_resid_post
    width          latents
    out            folder of the dictionary. The same call goes on with what is there, or returns it
    architecture   topk, batchtopk or jumprelu
    k              latents that are active in a frame: exactly, on average, or aimed at
    steps          of training, each of `frames_a_step` frames
    learning_rate  of Adam
    dead_steps     steps without firing after which a latent counts as dead, so that the auxiliary loss works on it
    revival        how much that loss counts
    seed           of the first weights, the order of frames and what is held out
    held_out       share of the clips that only the report is measured on, chosen by a hash of their samples
    frames         folder that keeps the frames, for further trainings on the same ones; None: they are in `out` until
                   it is done
    frame_bytes    that frames to train on take on the disk at most, and a quarter of it those that are held out
    split, audio_column, limit, batch_size, num_workers, device, dtype  as `and_nnsight.dissect` has them

    Raises TrainingError for settings that no training can have, a folder that holds something else, and no frames;
    and what `and_nnsight.dissect` raises of models, sites and data.
    """
    settings = TrainingSettings(
        width, architecture, k, steps, frames_a_step, learning_rate, dead_steps, revival, seed
    )  # fmt: skip
    if not 0 < held_out < 1:
        raise TrainingError(f"held_out is a share above 0 and below 1, not {held_out}")
    options = RunOptions(device, dtype, batch_size, num_workers, progress)
    reading = Reading.of(data, DataOptions(split, audio_column, limit=limit))
    target = _target(model, site, options)
    run = _Run(target, reading, settings, HeldOut(held_out, seed), Path(out).expanduser())
    with _held(run.out):
        if (there := run.result()) is not None:
            return there
        report_unused(reading.source, progress)
        place = run.progress / "frames" if frames is None else Path(frames).expanduser()
        with _held(place), torch.no_grad():
            store = FrameStore(place, run.site.width, frame_bytes, run.split, run.frames_of)
            gather(target, reading, store, options)
        return run.train(store, keep=frames is not None, progress=progress)


def _target(model: Any, site: str, options: RunOptions) -> LocalTarget:
    """The model and its one site. Raises TrainingError for several, and for latents of another dictionary."""
    target = open_local(model, site, "max", options)
    if len(target.sites) != 1:
        raise TrainingError(f"{site!r} names {len(target.sites)} sites, and a dictionary is of one")
    if target.sites[0].dictionary is not None:
        raise TrainingError(f"{site!r} is a dictionary's latents already: name the site alone")
    return target


def _held(folder: Path) -> Lock:
    """A folder, held against a second process. Raises TrainingError where there can be none."""
    make_folder(folder, TrainingError)
    try:
        return locked(folder / ".lock")
    except BlockingIOError as error:
        raise TrainingError(f"another process works in {folder}: wait for it, or choose another folder") from error


class _Run:
    """A training in a folder: what it is of, and its steps."""

    def __init__(
        self, target: LocalTarget, reading: Reading, settings: TrainingSettings, split: HeldOut, out: Path
    ) -> None:
        self.site, self.target, self.settings, self.split, self.out = target.sites[0], target, settings, split, out
        self.device = str(target.statistics_device)
        self.model = ModelDescription.from_json(target.describe())
        self.data = DatasetDescription.of(reading.source, reading.options)
        self.progress = out / _PROGRESS
        self.began = time.monotonic()

    @property
    def frames_of(self) -> dict[str, Any]:
        """What the frames hang on."""
        compared = {name: self.model.get(name) for name in self.model.COMPARED}
        data = {name: self.data.get(name) for name in self.data.COMPARED}
        return {"site": self.site.name, "dtype": self.target.dtype, "model": compared, "data": data}

    def result(self) -> Training | None:
        """What stands in the folder already. Raises TrainingError where that is of another call."""
        there = Training.read(self.out)
        if there is None:
            names = sorted(path.name for path in self.out.iterdir() if path.name not in (".lock", _PROGRESS))
            if others := [name for name in names if name not in _LAYOUT]:
                raise TrainingError(f"{self.out} holds other files ({', '.join(others[:3])}): choose a new folder")
            return None
        wanted = self._hangs_on()
        differing = [name for name, value in wanted.items() if there.description["of"].get(name) != value]
        if differing:
            raise TrainingError(
                f"{self.out} holds a dictionary of other {' and '.join(differing)}: choose a new folder"
            )
        return there

    def _hangs_on(self) -> dict[str, Any]:
        return {"frames": self.frames_of, "settings": self.settings.to_json(), "held_out": self.split.share}

    def train(self, store: FrameStore, *, keep: bool, progress: bool) -> Training:
        """Train on the frames of the store, save, measure and report."""
        frames, held_out = store.frames(TRAIN), store.frames(HELD_OUT)
        gathered = time.monotonic() - self.began
        shuffled = ShuffledFrames(frames, self.settings.seed)
        sae = train(shuffled, Centring.of(frames), self.settings, self.progress / "steps", self.device, progress)
        sae.cfg.metadata.model_name, sae.cfg.metadata.hook_name = self.model.id, self.site.name
        trained = time.monotonic() - self.began - gathered
        self._save(sae)
        training = Training(
            self.out,
            self.site.name,
            self._measured(held_out, store.clips[HELD_OUT]),
            self._measured(frames, store.clips[TRAIN]),
            {
                "of": self._hangs_on(),
                "model": self.model.to_json(),
                "data": self.data.to_json(),
                "frames": {name: {"seen": each.seen, "kept": each.kept} for name, each in store.samples.items()},
                "left_out": store.left_out,
                "versions": {name: version(name) for name in ("and-nnsight", "and-nnsight-sae", "sae-lens", "torch")},
                "seconds": {"frames": round(gathered, 1), "training": round(trained, 1)},
            },
        )
        training.write()
        del frames, held_out, shuffled
        shutil.rmtree(self.progress, ignore_errors=True)
        return training

    def _measured(self, frames: Any, clips: int) -> Quality:
        return measure(self.out, frames, clips, self.device)

    def _save(self, sae: Any) -> None:
        """Each file whole or not at all."""
        part = self.progress / "whole"
        sae.save_inference_model(part)
        for name in _LAYOUT:
            (part / name).replace(self.out / name)
