"""SAELens's trainer over shuffled frames, step by step, with checkpoints from which the same call goes on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from and_nnsight.progress import step_progress
from and_nnsight.storage import make_folder, undamaged, write_json
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer

from .centring import Centring
from .errors import TrainingError
from .settings import TrainingSettings
from .shuffling import ShuffledFrames

_STATE = "training.json"
_CHECKPOINT_SECONDS = 60.0
Trainer = SAETrainer[Any, Any]


def train(
    frames: ShuffledFrames, centring: Centring, settings: TrainingSettings, folder: Path, device: str, progress: bool
) -> TrainingSAE[Any]:
    """The dictionary, trained, with the centring folded into its weights: it is one of raw activations.

    A checkpoint about once a minute holds weights, optimiser, schedules, the counts of dead latents and the place in
    the stream of frames; from there the same call goes on, to the same weights bit for bit on the same machine. A step
    that is interrupted is done again.

    Raises TrainingError for checkpoints of other settings, and for a loss that is no number any more.
    """
    trainer = _trainer(centring, settings, device)
    checkpoints = Checkpoints(folder, settings)
    checkpoints.restore(trainer)
    trainer.data_provider = frames.batches(settings.frames_a_step, trainer.n_training_samples)
    with step_progress("training", settings.steps, progress) as advance:
        advance(trainer.n_training_steps)
        while trainer.n_training_steps < settings.steps:
            _step(trainer)
            advance(1)
            checkpoints.save_if_due(trainer)
    checkpoints.save(trainer)
    whitening = trainer.activation_scaler.whitening
    assert whitening is not None
    trainer.sae.fold_activation_whitening(whitening.mean, whitening.matrix, whitening.inverse_matrix)
    trainer.set_final_sae_metadata()
    return trainer.sae


def _trainer(centring: Centring, settings: TrainingSettings, device: str) -> Trainer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        sae = settings.begin(len(centring.mean), "cpu").to(device)
    warm_up, decay = settings.steps // 20, settings.steps // 5
    config = SAETrainerConfig(
        total_training_samples=settings.steps * settings.frames_a_step,
        train_batch_size_samples=settings.frames_a_step,
        lr=settings.learning_rate,
        lr_end=settings.learning_rate,
        lr_warm_up_steps=warm_up if warm_up > 1 else 0,
        lr_decay_steps=decay,
        dead_feature_window=settings.dead_steps,
        device=device,
    )
    trainer: Trainer = SAETrainer(config, sae, iter(()))
    trainer.activation_scaler.whitening = centring.whitening()
    return trainer


def _step(trainer: Trainer) -> None:
    """One step as `SAETrainer.fit` does it, by the seams that it has for this."""
    trainer.maybe_reset_sparsity()
    output = trainer.step(next(trainer.data_provider))
    trainer.n_training_steps += 1
    if not torch.isfinite(output.loss):
        raise TrainingError(
            f"the loss is no number after {trainer.n_training_steps} steps: take a smaller learning_rate, anew"
        )


class Checkpoints:
    """The last checkpoint of a training; `training.json` names it, and only once it is whole."""

    def __init__(self, folder: Path, settings: TrainingSettings) -> None:
        make_folder(folder, TrainingError)
        self.folder, self.settings = folder, settings
        self._saved_at = time.monotonic()

    def restore(self, trainer: Trainer) -> None:
        """Go on from the last one, if there is one. Raises TrainingError for one of other settings, or damaged."""
        state = self.folder / _STATE
        if not state.exists():
            return
        with undamaged(state, f"remove {self.folder} to train from the beginning", TrainingError):
            there = json.loads(state.read_bytes())
            wanted = self.settings.to_json()
            differing = [name for name, value in wanted.items() if there["settings"].get(name) != value]
            if differing:
                raise TrainingError(f"{self.folder} holds a training of other settings ({', '.join(differing)})")
            checkpoint = self.folder / there["checkpoint"]
            trainer.sae.load_weights_from_checkpoint(checkpoint)
            trainer.load_trainer_state(checkpoint)

    def save_if_due(self, trainer: Trainer) -> None:
        """A checkpoint, if the last one is a while ago."""
        if time.monotonic() - self._saved_at > _CHECKPOINT_SECONDS:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Make all steps so far survive."""
        name = f"step-{trainer.n_training_steps:08}"
        trainer.save_checkpoint(name, self.folder)
        write_json(self.folder / _STATE, {"checkpoint": name, "settings": self.settings.to_json()})
        for other in self.folder.glob("step-*"):
            if other.name != name:
                shutil.rmtree(other)
        self._saved_at = time.monotonic()
