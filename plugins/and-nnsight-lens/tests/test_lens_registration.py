"""Users of TransformerLens who have this package installed and never use it notice nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import transformers
from bridges import audio_model, bridged, heard, output
from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES, ArchitectureAdapterFactory
from transformer_lens.model_bridge import TransformerBridge

from and_nnsight_lens import register
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
