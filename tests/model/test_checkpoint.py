"""Checkpoints: opened as their own class, lazily; what is missing, damaged or foreign is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nnsight
import pytest
import torch
import transformers

from and_nnsight import AudioModel, ModelError, dissect
from and_nnsight.model.opening import open_model
from tests.families import FAMILIES, ast_config, ast_extractor, save_ast
from tests.model.small_ast import logits
from tests.sounds_for_tests import RATE, noise

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def test_it_is_lazy_until_it_runs(checkpoint: Path) -> None:
    model = AudioModel(str(checkpoint))
    assert next(model.wrapped.parameters()).device.type == "meta"
    assert len(model.sites()) == 13
    with model.scan(noise(1.0)):
        shape = nnsight.save(model.site("blocks.1.mlp.hook_post").shape)
    assert tuple(shape) == (1, 102, 64)
    assert next(model.wrapped.parameters()).device.type == "meta", "a scan needs no weights"
    logits(model, noise(1.0))
    assert next(model.wrapped.parameters()).device.type == "cpu"
    assert not model.wrapped.training


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("ast", "whisper", "wav2vec2-post") else pytest.mark.slow)
        for name in FAMILIES
        if name not in ("whisper-encoder", "clap")
    ],
)
def test_a_saved_checkpoint_of_every_family_loads_as_its_own_class(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    module: Any = family.build()
    module.save_pretrained(tmp_path)
    family.extractor().save_pretrained(tmp_path)
    lazy, loaded = AudioModel(str(tmp_path)), AudioModel(str(tmp_path), dispatch=True)
    assert type(loaded.wrapped) is type(module)
    assert lazy.sites() == loaded.sites() == AudioModel(module, feature_extractor=family.extractor()).sites()
    with lazy.scan(noise(1.0), sampling_rate=RATE):
        scanned = nnsight.save([lazy.read(site).shape[-1] for site in lazy.sites()])
    assert scanned == [site.width for site in lazy.sites()]
    for parameter, own in zip(loaded.wrapped.parameters(), module.parameters(), strict=True):
        assert torch.equal(parameter, own)


def test_a_checkpoint_saved_for_pretraining_loads_its_backbone(tmp_path: Path) -> None:
    config = FAMILIES["wav2vec2-pre"].build().config
    transformers.Wav2Vec2ForPreTraining(config).save_pretrained(tmp_path)
    FAMILIES["wav2vec2-pre"].extractor().save_pretrained(tmp_path)
    model = AudioModel(str(tmp_path))
    assert type(model.wrapped) is transformers.Wav2Vec2Model
    with torch.no_grad(), model.trace(noise(1.0)):
        post = model.site("blocks.0.mlp.hook_post").save()
    assert post.shape == (1, 49, 64)


def test_a_clap_checkpoint_loads_its_audio_tower(tmp_path: Path) -> None:
    module: Any = FAMILIES["clap"].build()
    module.save_pretrained(tmp_path)
    FAMILIES["clap"].extractor().save_pretrained(tmp_path)
    model = AudioModel(str(tmp_path))
    assert type(model.wrapped) is transformers.ClapAudioModelWithProjection
    with torch.no_grad(), model.trace(noise(1.0), sampling_rate=RATE):
        out = model.output.audio_embeds.save()
    features = model.features(noise(1.0), RATE)
    with torch.no_grad():
        expected = module.audio_projection(module.audio_model(**features).pooler_output)
    torch.testing.assert_close(out, expected)


def test_bfloat16_models_take_float32_sound(checkpoint: Path) -> None:
    model = AudioModel(str(checkpoint), dtype=torch.bfloat16)
    assert logits(model, noise(1.0)).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["bfloat16", "bf16", "torch.bfloat16", torch.bfloat16])
def test_a_dtype_by_any_name_converts_a_loaded_module(dtype: Any) -> None:
    module = FAMILIES["ast"].build()
    assert next(AudioModel(module, dtype=dtype).wrapped.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["bfloat", "int8", torch.int8, torch.complex64, 16])
def test_an_unknown_dtype_is_refused_at_once(dtype: Any, checkpoint: Path) -> None:
    for model in (FAMILIES["ast"].build(), str(checkpoint)):
        with pytest.raises(ValueError, match="unknown dtype .*: one of float32, .*bfloat16"):
            AudioModel(model, dtype=dtype)


@pytest.mark.parametrize("device", ["gramophone", "cuda:99", "meta"])
def test_an_unknown_device_is_refused_at_once(device: str, checkpoint: Path) -> None:
    for model in (FAMILIES["ast"].build(), str(checkpoint)):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here"):
            AudioModel(model, device=device)


def test_a_module_keeps_its_mode_and_runs_in_eval_mode() -> None:
    torch.manual_seed(0)
    module = transformers.ASTForAudioClassification(ast_config(hidden_dropout_prob=0.9)).train()
    model = AudioModel(module, feature_extractor=ast_extractor())
    first = logits(model, noise(1.0))
    assert torch.equal(first, logits(model, noise(1.0)))
    assert all(child.training for child in module.modules())
    with torch.no_grad():
        expected = module.eval()(**model.features(noise(1.0))).logits
    assert torch.equal(first, expected)


def with_its_own_code(folder: Path, extractor: bool) -> Path:
    """A checkpoint whose model, or feature extractor, is code that it brings along."""
    import json

    save_ast(folder)
    (folder / "own.py").write_text("raise AssertionError('it was run')\n")
    name = "preprocessor_config.json" if extractor else "config.json"
    values = json.loads((folder / name).read_text())
    if extractor:
        values |= {"feature_extractor_type": "Own", "auto_map": {"AutoFeatureExtractor": "own.Own"}}
    else:
        auto = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
        values |= {"model_type": "own", "architectures": ["Model"], "auto_map": auto}
    (folder / name).write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("task", [None, "audio-classification"])
def test_a_checkpoints_own_code_is_neither_run_nor_asked_for(
    task: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any) -> str:
        raise AssertionError("a prompt on standard input")

    monkeypatch.setattr("builtins.input", asked)
    folder = with_its_own_code(tmp_path / "model", extractor=False)
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        AudioModel(str(folder), task=task)
    folder = with_its_own_code(tmp_path / "extractor", extractor=True)
    with pytest.raises(ValueError, match=r"trust_remote_code|no feature extractor"):
        AudioModel(str(folder), task=task).features(noise(1.0))
    with pytest.raises(ValueError, match="no feature extractor"):
        AudioModel(FAMILIES["ast"].build(), feature_extractor=str(folder))


def test_a_model_that_is_none_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder with a transformers checkpoint nor a model"):
        AudioModel(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "the folder has no config.json"),
        ({"manifest.json": "{}"}, "it is the folder of a dissection, and the model that was dissected is needed"),
        ({"config.json": '{"model_ty'}, "its config.json is damaged, or is none of a transformers model"),
        ({"config.json": "[]"}, "its config.json is damaged, or is none of a transformers model"),
        ({"config.json": '{"model_type": "gramophone"}'}, "its config.json is of the type 'gramophone', which"),
    ],
)
def test_a_folder_that_is_no_checkpoint_says_why(files: dict[str, str], reason: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError) as refused:
        AudioModel(str(tmp_path))
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_checkpoint_without_extractor_says_what_to_pass(tmp_path: Path) -> None:
    FAMILIES["ast"].build().save_pretrained(tmp_path)
    model = AudioModel(str(tmp_path))
    with pytest.raises(ValueError, match=r"no feature extractor .*pass feature_extractor="):
        model.trace(noise(1.0))


def test_a_bare_module_gets_its_familys_extractor_with_a_warning() -> None:
    model = AudioModel(transformers.ASTModel(ast_config()))
    with pytest.warns(UserWarning, match="ASTFeatureExtractor"):
        features = model.features(noise(1.0))
    assert features["input_values"].shape == (1, 208, 64)


def test_a_checkpoint_that_lacks_weights_of_its_blocks_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    import json
    import shutil

    shutil.copytree(checkpoint, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(ModelError, match="lacks 32 weights of its blocks"):
        AudioModel(str(tmp_path / "model"), dispatch=True)


def test_damaged_weights_are_a_model_error(checkpoint: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(checkpoint, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot load the weights of"):
        AudioModel(str(tmp_path / "model"), dispatch=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", None), ("hidden_size", "wide"), ("intermediate_size", -1), ("num_attention_heads", 10**12),
        ("hidden_act", "x"), ("hidden_dropout_prob", -1), ("architectures", 1.5), ("architectures", [3]), ("dtype", "x"),
        ("dtype", []), ("id2label", "x"), ("model_type", []),
    ],
)  # fmt: skip
def test_a_config_that_describes_no_model_is_a_model_error(name: str, value: object, tmp_path: Path) -> None:
    """Whatever transformers raises of it, with its weights and without them."""
    FAMILIES["ast"].build().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), name: value}))
    for dispatch in (False, True):
        with pytest.raises(ModelError, match=r"^\S.{20,}$"):
            AudioModel(str(tmp_path), dispatch=dispatch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attn_implementation": "sdpa", "output_attentions": True}, "Please set it to 'eager'"),
        ({"attn_implementation": "nonsense"}, 'attn_implementation="nonsense"'),
        ({"torchscript": True}, "unexpected keyword argument 'torchscript'"),
    ],
)
def test_an_option_that_no_model_has_is_a_model_error(options: dict[str, object], message: str, tmp_path: Path) -> None:
    FAMILIES["ast"].build().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=message):
        AudioModel(str(tmp_path), dispatch=True, **options)


def test_a_folder_may_be_named_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_ast(tmp_path / "ast")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = ("ast", "./ast/", f"{tmp_path}/ast/", Path("ast"), tmp_path / "ast", "~/ast", Path("~/ast"))
    weights = [AudioModel(name, dispatch=True).wrapped.state_dict() for name in names]
    assert all(torch.equal(state[key], weights[0][key]) for state in weights for key in weights[0])


def test_what_is_no_model_is_refused_with_what_to_give(tmp_path: Path) -> None:
    save_ast(tmp_path)
    module: Any = FAMILIES["ast"].build()
    holds_one = type("Trainer", (), {"model": module})()
    others: list[tuple[Any, str]] = [
        (3, "int is no model: give a"),
        (module.state_dict(), "OrderedDict is no model: give a"),
        (module.config, "ASTConfig is no model: give a"),
        (type(module), "ASTForAudioClassification is a class: give a model of it"),
        (holds_one, "Trainer is no model, but holds one: give its .model"),
        (tmp_path / "config.json", "it is a file, and a checkpoint is a folder"),
    ]
    for other, message in others:
        with pytest.raises(ValueError, match=message):
            open_model(other)


def test_a_dtype_that_weights_are_only_stored_in_is_refused(tmp_path: Path) -> None:
    module: Any = FAMILIES["ast"].build().to(torch.float8_e4m3fn)
    with pytest.raises(ModelError, match=r"is in float8_e4m3fn, .* pass dtype='bfloat16'"):
        dissect(AudioModel(module, feature_extractor=ast_extractor()), [noise(1.0)], out=tmp_path / "run")
