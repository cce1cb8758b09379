"""What is saved is what was trained, on raw activations; an interrupted training ends in the same files; it learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from and_nnsight import AudioModel, dissect
from and_nnsight.dictionaries.role import open_dictionary
from and_nnsight.storage import locked
from sae_lens.saes.sae import SAE
from safetensors.torch import load_file
from small_training import OPTIONS, SITE

from and_nnsight_sae import Training, TrainingError, train_sae, training
from and_nnsight_sae.centring import Centring
from and_nnsight_sae.settings import TrainingSettings
from and_nnsight_sae.shuffling import ShuffledFrames


def far_frames(count: int = 600, width: int = 12) -> np.ndarray:
    """Frames of few directions, far from the origin, and long."""
    random = np.random.default_rng(0)
    sources = random.exponential(size=(count, 20)) * (random.random((count, 20)) < 0.15)
    return (40 * sources @ random.normal(size=(20, width)) + 300 * random.normal(size=width)).astype(np.float32)


def test_centring_is_that_of_all_frames() -> None:
    frames = far_frames()
    centring = Centring.of(frames)
    centred = (frames.astype(np.float64) - centring.mean.numpy()) * centring.scale
    assert np.abs(centred.mean(0)).max() < 1e-9
    assert np.linalg.norm(centred, axis=1).mean() == pytest.approx(12**0.5)
    assert Centring.of(np.ones((4, 3), np.float32)).scale == 1.0, "frames that are all alike have no scale"


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_latents_of_raw_frames_are_those_of_centred_ones_by_hand(architecture: str, tmp_path: Path) -> None:
    """The weights of the last step on centred frames, and the saved ones, by our loader and by SAELens, on raw ones."""
    frames = far_frames()
    centring = Centring.of(frames)
    settings = TrainingSettings(32, architecture, k=4, steps=80, frames_a_step=64, dead_steps=5)
    shuffled = ShuffledFrames(frames, 0)
    sae = training.train(shuffled, centring, settings, tmp_path / "steps", "cpu", progress=False)
    sae.save_inference_model(tmp_path / "sae")

    (step,) = (tmp_path / "steps").glob("step-*")
    weights = {name: tensor.double() for name, tensor in load_file(step / "sae_weights.safetensors").items()}
    raw = torch.from_numpy(frames)
    centred = (raw.double() - centring.mean) * centring.scale
    before = (centred - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    norms = weights["W_dec"].norm(dim=1)
    if architecture == "topk":
        before = before * norms
        rank = before.argsort(descending=True).argsort()
        expected = before.relu() * (rank < 4)
    elif architecture == "batchtopk":
        before = before * norms
        expected = before.relu() * (before > weights["topk_threshold"])
    else:
        expected = before.relu() * (before > weights["threshold"])
    undone = expected / (1 if architecture == "jumprelu" else norms)
    decoded = (undone @ weights["W_dec"] + weights["b_dec"]) / centring.scale + centring.mean

    ours = open_dictionary(f"sae:{tmp_path / 'sae'}")
    theirs = SAE.load_from_disk(tmp_path / "sae")
    latents = ours.encode(raw, range(32)).double()
    assert ((latents > 0) == (expected > 0)).float().mean() > 0.999, "but for ties in rounding"
    same = ((latents > 0) == (expected > 0)).all(1)
    assert (latents - expected)[same].abs().max() < 1e-3
    assert (latents - theirs.encode(raw)).abs().max() < 1e-3
    assert (theirs.decode(theirs.encode(raw)) - decoded)[same].abs().max() < 1e-2 * raw.std()
    assert 0 < (latents > 0).sum(1).float().mean() < 32


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_a_training_that_was_interrupted_ends_in_the_same_weights(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = far_frames()
    centring, settings = Centring.of(frames), TrainingSettings(32, architecture, k=4, steps=40, frames_a_step=50)

    def run(folder: str) -> bytes:
        sae = training.train(ShuffledFrames(frames, 0), centring, settings, tmp_path / folder, "cpu", progress=False)
        sae.save_inference_model(tmp_path / folder / "sae")
        return (tmp_path / folder / "sae" / "sae_weights.safetensors").read_bytes()

    whole = run("whole")
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    step, steps = training._step, []

    def stops(trainer: Any) -> None:
        steps.append(trainer.n_training_steps)
        step(trainer)
        if len(steps) == 17:
            raise KeyboardInterrupt  # after the step, before its checkpoint: it is done again

    monkeypatch.setattr(training, "_step", stops)
    with pytest.raises(KeyboardInterrupt):
        run("cut")
    assert run("cut") == whole
    assert steps == [*range(17), *range(16, 40)]
    with pytest.raises(TrainingError, match="other settings \\(k\\)"):
        other = TrainingSettings(32, architecture, k=5, steps=40, frames_a_step=50)
        training.train(ShuffledFrames(frames, 0), centring, other, tmp_path / "cut", "cpu", progress=False)


def test_a_site_is_learned_and_its_latents_are_units(trained: Any, sounds: Path, model: str, tmp_path: Path) -> None:
    assert trained.held_out.explained_variance > 0.5
    assert trained.train.explained_variance > trained.held_out.explained_variance - 0.05
    assert 1 < trained.held_out.l0 <= 4 and trained.held_out.dead < 0.8
    assert not (trained.folder / "progress").exists()
    report = json.loads((trained.folder / "and_nnsight_training.json").read_text())
    assert report["site"] == SITE and report["model"]["id"] == model and report["data"]["name"] == str(sounds)
    assert report["held_out"] == trained.held_out.to_json()
    assert Training.read(trained.folder) == trained

    dissection = dissect(AudioModel(model), str(sounds), trained.latents, k=2, out=tmp_path / "run", progress=False)
    assert dissection.widths() == {trained.latents: 96}
    assert dissection.manifest.sites[0].dictionary["library"] == "SAELens"


def test_the_report_is_what_the_files_do(trained: Any) -> None:
    """Explained variance, L0 and dead latents of the held-out frames, again, from the weights alone."""
    weights = {name: each.double() for name, each in load_file(trained.folder / "sae_weights.safetensors").items()}
    frames = np.fromfile(trained.folder.parent / "frames" / "held-out.f32", "<f4").reshape(trained.held_out.frames, -1)
    raw = torch.from_numpy(frames).double()
    before = (raw - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    values, places = before.topk(4)
    latents = torch.zeros_like(before).scatter(1, places, values.relu())
    error = (raw - latents @ weights["W_dec"] - weights["b_dec"]).square().sum()
    assert trained.held_out.explained_variance == pytest.approx(
        float(1 - error / (raw - raw.mean(0)).square().sum()), abs=1e-4
    )
    assert trained.held_out.l0 == pytest.approx(float((latents > 0).sum(1).double().mean()), abs=1e-2)
    assert trained.held_out.dead == pytest.approx(float((latents <= 0).all(0).double().mean()), abs=1e-2)


def test_a_folder_is_gone_on_with_or_refused(trained: Any, model: str, sounds: Path, tmp_path: Path) -> None:
    weights = trained.folder / "sae_weights.safetensors"
    before = weights.stat().st_mtime_ns
    assert train_sae(model, str(sounds), out=trained.folder, **OPTIONS) == trained
    assert weights.stat().st_mtime_ns == before
    with pytest.raises(TrainingError, match="other settings"):
        train_sae(model, str(sounds), out=trained.folder, **OPTIONS | {"k": 3})
    with locked(trained.folder / ".lock"), pytest.raises(TrainingError, match="another process works in"):
        train_sae(model, str(sounds), out=trained.folder, **OPTIONS)
    with locked(trained.folder.parent / "frames" / ".lock"), pytest.raises(TrainingError, match="another process"):
        train_sae(model, str(sounds), out=tmp_path / "new", frames=trained.folder.parent / "frames", **OPTIONS)
    (tmp_path / "mine.txt").write_text("not a dictionary")
    with pytest.raises(TrainingError, match=r"other files \(mine.txt, new\)"):
        train_sae(model, str(sounds), out=tmp_path, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 3, "k": 4}, "take fewer"),
        ({"architecture": "l1"}, "one of topk, batchtopk, jumprelu"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"held_out": 1.0}, "above 0 and below 1"),
        ({"held_out": 1e-9}, "is held out"),
        ({"site": "blocks.*.hook_resid_post"}, "a dictionary is of one"),
        ({"learning_rate": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_trained_is_said(
    options: dict[str, Any], message: str, model: str, sounds: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        train_sae(model, str(sounds), out=tmp_path / "sae", limit=4, **OPTIONS | options)
    assert not (tmp_path / "sae" / "cfg.json").exists()


def test_a_dictionary_is_not_trained_on_one(trained: Any, model: str, sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="name the site alone"):
        train_sae(model, str(sounds), out=tmp_path / "sae", **OPTIONS | {"site": trained.latents})
