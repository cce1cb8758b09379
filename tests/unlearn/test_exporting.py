"""A model without some units, or with them amplified, as a checkpoint that plain transformers loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from torch import nn

from and_nnsight import AudioModel
from and_nnsight.unlearn import ChoiceError, ExportError, UnitChoice, ablate, ablating, export
from and_nnsight.unlearn.exporting import RECORD
from tests.sounds_for_tests import noise
from tests.unlearn.models import TRACED, first_tensor, loaded, of_torch, traced

UNITS = (1, 4, 5)
KINDS = ("hook_attn_out", "mlp.hook_pre", "mlp.hook_post", "hook_mlp_out")


def choice_of(model: AudioModel, units: tuple[int, ...] = UNITS) -> UnitChoice:
    sites = {f"blocks.{layer}.{kind}": units for layer in (0, 1) for kind in KINDS}
    head = {site.name: (2,) for site in model.sites() if site.name == "unembed.hook_out"}
    return UnitChoice({**sites, **head}, "own", "dog")


@of_torch
@pytest.mark.parametrize("name", TRACED)
def test_the_checkpoint_gives_what_the_trace_gives_in_every_family(name: str, tmp_path: Path) -> None:
    model = loaded(name)
    choice = choice_of(model)
    expected = traced(ablate(model, choice))
    assert not torch.equal(expected, traced(model))
    export(model, choice, tmp_path / "without")
    plain: Any = type(model.wrapped).from_pretrained(tmp_path / "without").eval()
    features = model.model_inputs(model.features([noise(1.0, seed=1), noise(1.0, seed=2)]))
    with torch.inference_mode():
        found = first_tensor(plain(**features))
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("gain", [2.0, -0.5])
@pytest.mark.parametrize("name", ["ast", "wavlm-post", "whisper"])
@of_torch
def test_the_checkpoint_of_amplified_units_gives_what_the_trace_gives(name: str, gain: float, tmp_path: Path) -> None:
    model = loaded(name)
    choice = choice_of(model)
    expected = traced(ablate(model, choice, "amplify", gain=gain))
    export(model, choice, tmp_path / "louder", gain=gain)
    plain: Any = type(model.wrapped).from_pretrained(tmp_path / "louder").eval()
    features = model.model_inputs(model.features([noise(1.0, seed=1), noise(1.0, seed=2)]))
    with torch.inference_mode():
        found = first_tensor(plain(**features))
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    assert not torch.allclose(expected, traced(model))
    assert json.loads((tmp_path / "louder" / RECORD).read_text())["gain"] == gain


def test_clap_is_exported_whole(tmp_path: Path) -> None:
    model = loaded("clap")
    choice = choice_of(model)
    export(model, choice, tmp_path / "without")
    plain: Any = tf.ClapModel.from_pretrained(tmp_path / "without").eval()
    features = model.features([noise(1.0)])
    with torch.inference_mode():
        found = first_tensor(plain.get_audio_features(**features))
        with ablating(model, choice):
            expected = first_tensor(model.wrapped.get_audio_features(**features))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_plain_transformers_loads_it_with_its_extractor(tmp_path: Path) -> None:
    model = loaded("ast")
    export(model, choice_of(model), tmp_path / "without")
    wave = noise(1.3, seed=5)
    extractor = tf.AutoFeatureExtractor.from_pretrained(tmp_path / "without")
    plain = tf.AutoModelForAudioClassification.from_pretrained(tmp_path / "without").eval()
    with torch.inference_mode():
        logits = plain(**extractor(wave, sampling_rate=16_000, return_tensors="pt")).logits
    edited = ablate(model, choice_of(model))
    with torch.inference_mode(), edited.trace(wave):
        expected = edited.output.logits.save()
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_what_is_zeroed_is_said_and_nothing_else_is(tmp_path: Path) -> None:
    model = loaded("ast")
    sites = {"blocks.0.mlp.hook_pre": [1], "blocks.0.mlp.hook_post": [2], "blocks.1.hook_attn_out": [3]}
    scaled = export(model, UnitChoice(sites), tmp_path / "without")
    layer = "audio_spectrogram_transformer.layers"
    assert [tuple(part) for part in scaled] == [
        (f"{layer}.0.mlp.fc1.weight", 0, (1,)),
        (f"{layer}.0.mlp.fc1.bias", 0, (1,)),
        (f"{layer}.0.mlp.fc2.weight", 1, (2,)),
        (f"{layer}.1.attention.o_proj.weight", 0, (3,)),
        (f"{layer}.1.attention.o_proj.bias", 0, (3,)),
    ]
    before = model.wrapped.state_dict()
    after = tf.ASTForAudioClassification.from_pretrained(tmp_path / "without").state_dict()
    for name, tensor in before.items():
        expected = tensor.clone()
        for part in scaled:
            if part.parameter == name:
                expected.index_fill_(part.axis, torch.tensor(part.units), 0)
        assert torch.equal(after[name], expected)
    record = json.loads((tmp_path / "without" / RECORD).read_text())
    assert UnitChoice.from_json(record["choice"]) == UnitChoice(sites)
    assert [part["parameter"] for part in record["scaled"]] == [part.parameter for part in scaled]


def test_the_model_itself_keeps_its_weights(tmp_path: Path) -> None:
    model = loaded("ast")
    before = {name: tensor.clone() for name, tensor in model.wrapped.state_dict().items()}
    export(model, choice_of(model), tmp_path / "without")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.wrapped.state_dict().items())


def test_in_bfloat16_too(tmp_path: Path) -> None:
    model = loaded("ast", torch.bfloat16)
    export(model, choice_of(model), tmp_path / "without")
    plain = tf.ASTForAudioClassification.from_pretrained(tmp_path / "without", dtype="auto")
    assert plain.dtype == torch.bfloat16


def test_the_sum_of_the_residual_stream_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="hook_resid_post: a sum of the residual stream"):
        export(loaded("ast"), UnitChoice({"blocks.0.hook_resid_post": [0]}), tmp_path / "without")
    assert not (tmp_path / "without").exists()


def test_a_module_that_is_not_linear_is_refused(tmp_path: Path) -> None:
    path = "module:audio_spectrogram_transformer.layers.0.layernorm_before"
    with pytest.raises(ExportError, match="LayerNorm, not a linear layer"):
        export(loaded("ast"), UnitChoice({path: [0]}), tmp_path / "without")
    linear = "module:audio_spectrogram_transformer.layers.0.mlp.fc1"
    assert export(loaded("ast"), UnitChoice({linear: [0]}), tmp_path / "without")


def test_a_weight_that_several_layers_share_is_refused(tmp_path: Path) -> None:
    model = loaded("ast")
    layers = model.wrapped.audio_spectrogram_transformer.layers
    layers[1].mlp.fc2.weight = layers[0].mlp.fc2.weight
    with pytest.raises(ExportError, match="shares its weight with .*layers.0.mlp.fc2.weight|layers.1"):
        export(model, UnitChoice({"blocks.1.mlp.hook_post": [0]}), tmp_path / "without")


def test_a_linear_layer_that_computes_otherwise_is_found_out(tmp_path: Path) -> None:
    model = loaded("ast")

    def louder(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output + 0.1

    model.wrapped.audio_spectrogram_transformer.layers[0].mlp.fc1.register_forward_hook(louder)
    with pytest.raises(ExportError, match="differs from the ablated model by"):
        export(model, UnitChoice({"blocks.0.mlp.hook_pre": [0]}), tmp_path / "without")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    model = loaded("ast")
    choice = UnitChoice({"blocks.0.mlp.hook_post": [0]})
    with pytest.raises(ExportError, match="no unit is chosen"):
        export(model, UnitChoice({}), tmp_path / "without")
    with pytest.raises(ExportError, match="has edits"):
        export(ablate(model, choice), choice, tmp_path / "without")
    with pytest.raises(ChoiceError, match="not 64"):
        export(model, UnitChoice({"blocks.0.mlp.hook_post": [64]}), tmp_path / "without")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="holds something already"):
        export(model, choice, tmp_path / "full")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
