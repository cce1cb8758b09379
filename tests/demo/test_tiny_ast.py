"""The embedded tiny AST: it loads offline without a warning, it is small, and it knows the sounds."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from and_nnsight.demo import CLASSES, make_sounds, tiny_ast_path
from and_nnsight.demo.train import correct, features_of, fit, fresh_model, normalizing_extractor, tiny_config, train

FRESH_SEED = 424_242
"""Neither the training seed (0) nor that of the model card's held-out clips (1,000,000)."""


@cache
def model() -> ASTForAudioClassification:
    return ASTForAudioClassification.from_pretrained(tiny_ast_path()).eval()


@cache
def verdicts() -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each of 512 fresh clips is classified rightly, and its true class."""
    extractor = ASTFeatureExtractor.from_pretrained(tiny_ast_path())
    features, labels = features_of(make_sounds(16, FRESH_SEED), extractor)
    return correct(model(), features, labels), labels


@pytest.mark.slow
def test_it_classifies_fresh_clips() -> None:
    hits, _ = verdicts()
    assert len(hits) >= 480
    assert hits.float().mean() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("label", CLASSES)
def test_it_knows_every_class(label: str) -> None:
    hits, labels = verdicts()
    assert hits[labels == CLASSES.index(label)].float().mean() >= 0.75


def test_its_labels_are_the_classes_in_order() -> None:
    config = model().config
    assert config.id2label == dict(enumerate(CLASSES))
    assert config.label2id == {label: number for number, label in enumerate(CLASSES)}


def test_it_has_the_geometry_that_training_would_give_it() -> None:
    saved, fresh = model().state_dict(), fresh_model(tiny_config()).state_dict()
    assert {name: value.shape for name, value in saved.items()} == {name: value.shape for name, value in fresh.items()}


def test_its_weights_are_float32_and_finite() -> None:
    for name, parameter in model().named_parameters():
        assert parameter.dtype == torch.float32, name
        assert parameter.isfinite().all(), name


def test_its_mlp_neurons_are_alive_and_tell_clips_apart() -> None:
    """Nearly every neuron's highest activation differs between clips by more than a trace."""
    extractor = ASTFeatureExtractor.from_pretrained(tiny_ast_path())
    features, _ = features_of(make_sounds(1, FRESH_SEED), extractor)
    peaks: list[torch.Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: peaks.append(output.detach().amax(1)))
        for module in model().modules()
        if isinstance(module, type(model().audio_spectrogram_transformer.layers[0].mlp.activation_fn))
    ]
    try:
        with torch.no_grad():
            model()(features)
    finally:
        for hook in hooks:
            hook.remove()
    assert len(peaks) == model().config.num_hidden_layers
    for layer in peaks:
        assert (layer.std(0) > 0.01).float().mean() > 0.95


def test_its_folder_is_small_and_holds_no_pickle() -> None:
    files = [path for path in tiny_ast_path().rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}
    assert sum(path.stat().st_size for path in files) < 4 * 2**20


@pytest.mark.slow
def test_its_card_says_how_it_was_trained_and_how_well_it_does() -> None:
    card = (tiny_ast_path() / "README.md").read_text(encoding="utf-8")
    assert "python -m and_nnsight.demo.train --out DIR --seed 0" in card
    stated = float(card.split("**Held-out accuracy:** ")[1].split("%")[0])
    hits, _ = verdicts()
    assert stated == pytest.approx(100 * float(hits.float().mean()), abs=2)


@pytest.mark.slow
def test_it_loads_offline_without_a_word() -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from and_nnsight.demo import tiny_ast_path\n"
        "from transformers import ASTFeatureExtractor, ASTForAudioClassification\n"
        "from transformers.utils.logging import disable_progress_bar; disable_progress_bar()\n"
        "ASTForAudioClassification.from_pretrained(tiny_ast_path())\n"
        "ASTFeatureExtractor.from_pretrained(tiny_ast_path())\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    extractor = normalizing_extractor(seed=0, per_class=1)
    features, labels = features_of(make_sounds(4, 0, CLASSES[:4]), extractor)
    learner = fresh_model(tiny_config())

    def loss() -> float:
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(learner.eval()(features).logits, labels))

    before = loss()
    fit(learner, features, labels, gain_scale=0.02, epochs=6)
    assert loss() < 0.8 * before


@pytest.mark.slow
def test_a_training_run_leaves_a_folder_like_the_shipped_one(tmp_path: Path) -> None:
    accuracy = train(tmp_path, seed=1, per_class=1, epochs=1, held_out_per_class=1)
    assert 0 <= accuracy <= 1
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in tiny_ast_path().iterdir()}
