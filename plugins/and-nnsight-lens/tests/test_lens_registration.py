"""Users of TransformerLens who have this package installed and never use it notice nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import torch
import transformers
from bridges import audio_model, bridged, heard, output
from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES, ArchitectureAdapterFactory
from transformer_lens.model_bridge import TransformerBridge

from and_nnsight_lens import register, to_transformer_lens
from and_nnsight_lens.registration import GROUP, NATIVE, adapters

_GPT2 = """
import json, sys, warnings
import transformer_lens, transformers
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory as factory
from transformer_lens.model_bridge.sources import build_bridge_from_module
before = set(sys.modules)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    factory.discover_entry_points()
    new = sorted(set(sys.modules) - before)
    config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=9, n_positions=9)
    build_bridge_from_module(transformers.GPT2LMHeadModel(config).eval(), "GPT2LMHeadModel", hf_config=config)
print(json.dumps({"warnings": [str(w.message) for w in caught], "new": new,
                  "loaded": sorted(m for m in sys.modules if m.partition(".")[0] in ("and_nnsight", "nnsight")),
                  "known": sorted(n for n, a in factory._adapters.items() if "and_nnsight_lens" in a.__module__)}))
"""


@pytest.mark.slow
def test_a_gpt2_user_sees_no_warning_and_loads_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", _GPT2], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert "WavLMModel" in said["known"]
    assert [
        text for text in said["warnings"] if "adapter" in text or "entry point" in text or "and_nnsight" in text
    ] == []
    assert said["loaded"] == []
    assert all(name.startswith("and_nnsight_lens") for name in said["new"]), said["new"]


def test_no_entry_point_bears_a_name_that_transformer_lens_has() -> None:
    ours = {entry.name for entry in entry_points(group=GROUP) if entry.value.startswith("and_nnsight_lens.")}
    theirs = {
        name for name, adapter in SUPPORTED_ARCHITECTURES.items() if adapter.__module__.startswith("transformer_lens")
    }
    assert not ours & theirs
    assert set(NATIVE) <= theirs
    assert all(hasattr(transformers, name) or name in ("BEATs", "WhisperEncoder") for name in ours | set(NATIVE))


def test_registering_makes_boot_transformers_know_the_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{register.__module__}.factory.SUPPORTED_ARCHITECTURES", dict(SUPPORTED_ARCHITECTURES))
    monkeypatch.setattr(ArchitectureAdapterFactory, "_adapters", dict(ArchitectureAdapterFactory._adapters))
    assert "WhisperEncoder" in register()
    for name in ("ast-bare", "wavlm-post", "whisper-classify", "whisper", "hubert-pre", "clap-audio"):
        model = audio_model(name).wrapped
        model.config.architectures = [type(model).__name__]
        bridge = TransformerBridge.boot_transformers("a name", hf_model=model, device="cpu")
        sound, rest = heard(name)
        if name == "whisper":  # the decoder's output; the encoder's is the same
            _, cache = bridge.run_with_cache(sound, **rest)
            assert (cache["ln_final.hook_out"] - bridged(name)(sound, **rest)).abs().max() == 0
        else:
            assert (bridge(sound, **rest) - output(audio_model(name).wrapped(sound, **rest))).abs().max() == 0


@pytest.mark.parametrize(("origin", "asked"), [("", 0), ("microsoft/wavlm-base", 1)])
def test_the_hub_is_asked_only_about_models_of_the_hub(
    origin: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, asking takes three quarters of a minute."""
    monkeypatch.setattr(f"{register.__module__}.factory.SUPPORTED_ARCHITECTURES", dict(SUPPORTED_ARCHITECTURES))
    monkeypatch.setattr(ArchitectureAdapterFactory, "_adapters", dict(ArchitectureAdapterFactory._adapters))
    register(replace_native=True)
    requests: list[str] = []
    monkeypatch.setattr(transformers.AutoFeatureExtractor, "from_pretrained", lambda name, **_: requests.append(name))
    for name in ("ast", "wavlm-post", "whisper-classify", "clap-audio", "wav2vec2-bert"):
        model = audio_model(name).wrapped
        model.config.architectures = [type(model).__name__]
        model.name_or_path = origin
        bridge = TransformerBridge.boot_transformers("microsoft/wavlm-base", hf_model=model, device="cpu")
        assert len(requests) == asked
        assert bridge.cfg.is_audio_model
        requests.clear()


def test_native_adapters_are_replaced_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(SUPPORTED_ARCHITECTURES)
    monkeypatch.setattr(f"{register.__module__}.factory.SUPPORTED_ARCHITECTURES", known)
    monkeypatch.setattr(ArchitectureAdapterFactory, "_adapters", dict(known))
    register()
    assert known["HubertModel"].__module__.startswith("transformer_lens")
    register(replace_native=True)
    assert known["HubertModel"].__module__.startswith("and_nnsight_lens")
    assert set(adapters()) <= set(known)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{register.__module__}.factory.SUPPORTED_ARCHITECTURES", dict(SUPPORTED_ARCHITECTURES))
    monkeypatch.setattr(ArchitectureAdapterFactory, "_adapters", dict(ArchitectureAdapterFactory._adapters))
    monkeypatch.setattr(TransformerBridge, "boot_transformers", TransformerBridge.boot_transformers)
    register()
    register()  # once is enough


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", ["wavlm-post", "whisper-classify", "hubert-pre", "ast-bare"])
@pytest.mark.parametrize(
    "stated", [None, [], ["WavLMForXVector"], ["Nothing", "ASTForAudioClassification"], ["GPT2LMHeadModel"]]
)
def test_the_class_of_a_model_names_its_architecture(name: str, stated: list[str] | None) -> None:
    model = audio_model(name).wrapped
    model.config.architectures = stated
    bridge = TransformerBridge.boot_transformers("a name", hf_model=model, device="cpu")
    assert bridge.cfg.architecture == type(model).__name__
    assert type(bridge.adapter).__module__.startswith("and_nnsight_lens")
    assert model.config.architectures == stated


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("stated", [None, ["SEWDForSequenceClassification"], ["Nothing", "Nowhere"]])
def test_a_model_that_nobody_knows_is_refused_in_a_sentence(stated: list[str] | None) -> None:
    model = audio_model("sew-d").wrapped
    model.config.architectures = stated
    with pytest.raises(
        ValueError, match=r"no adapter for SEWDForSequenceClassification; there are .*WavLMModel.* names"
    ):
        TransformerBridge.boot_transformers("a name", hf_model=model, device="cpu")


def test_a_head_that_nobody_knows_is_refused_with_what_to_pass() -> None:
    model = transformers.WavLMForXVector(audio_model("wavlm-pre").wrapped.config)
    with pytest.raises(ValueError, match=r"no adapter for WavLMForXVector, but for its encoder: pass model\.wavlm"):
        to_transformer_lens(model)
    assert to_transformer_lens(model.wavlm).cfg.architecture == "WavLMModel"


def test_classes_of_one_s_own_and_wrappers_are_seen_through() -> None:
    plain = audio_model("ast").wrapped
    derived = type("OneOfMyOwn", (type(plain),), {})(plain.config).eval()
    for model in (derived, torch.nn.DataParallel(plain), torch.compile(plain)):
        assert to_transformer_lens(model).cfg.architecture == "ASTForAudioClassification"
    with pytest.raises(TypeError, match="around an AudioModel or a transformers module, not str"):
        to_transformer_lens("facebook/wav2vec2-base")


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # which PEFT asks for
def test_layers_of_peft_are_to_be_merged_first() -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    adapted = peft.get_peft_model(audio_model("ast").wrapped, peft.LoraConfig(target_modules=["fc2"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    with pytest.raises(ValueError, match=r"PEFT's layers in it.*merge_and_unload\(\)"):
        to_transformer_lens(adapted)
    bridge = to_transformer_lens(adapted.merge_and_unload())
    sound, rest = heard("ast")
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(sound, **rest)
        neurons = cache.get_neuron_results(0).sum(-2) + bridge.blocks[0].mlp.b_out
        torch.testing.assert_close(neurons, cache["mlp_out", 0], atol=1e-5, rtol=1e-5)
