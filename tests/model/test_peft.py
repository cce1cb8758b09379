"""PEFT adapters, merged or not: sites as without them, values as PEFT's own forward has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from and_nnsight import AudioModel, ModelError, dissect
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.unlearn import ExportError, UnitChoice, export
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",  # PEFT's own
)
LINEAR = ["q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense"]
KINDS: dict[str, Callable[[], Any]] = {
    "lora of queries and values": lambda: peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=4),
    "lora": lambda: peft.LoraConfig(target_modules=LINEAR, r=4, lora_dropout=0.5),
    "lora of everything": lambda: peft.LoraConfig(target_modules="all-linear", r=4),
    "dora": lambda: peft.LoraConfig(target_modules=LINEAR, r=4, use_dora=True),
    "lora and a trained head": lambda: peft.LoraConfig(target_modules=LINEAR, r=4, modules_to_save=["classifier"]),
    "lora and trained attentions": lambda: peft.LoraConfig(
        target_modules=["output_dense"], r=4, modules_to_save=["attention"]
    ),
    "loha": lambda: peft.LoHaConfig(target_modules=LINEAR, r=4),
    "lokr": lambda: peft.LoKrConfig(target_modules=LINEAR, r=4),
    "adalora": lambda: peft.AdaLoraConfig(target_modules=LINEAR, total_step=10),
    "ia3": lambda: peft.IA3Config(target_modules=["k_proj", "output_dense"], feedforward_modules=["output_dense"]),
    "vera": lambda: peft.VeraConfig(target_modules=LINEAR, r=4),
    "norms": lambda: peft.LNTuningConfig(target_modules=["layer_norm", "final_layer_norm"]),
}


def adapted(name: str, config: Any) -> Any:
    """A model with an adapter that changes something: fresh ones are the identity."""
    model = peft.get_peft_model(FAMILIES[name].build(), config)
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def traced(module: nn.Module, name: str = "wav2vec2-post") -> dict[str, Tensor]:
    model = AudioModel(module, feature_extractor=FAMILIES[name].extractor())
    seen: dict[str, Tensor] = {}
    model.run(model.sites(), model.features(noise(1.0)), lambda site, value: seen.update({site.name: value.clone()}))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_pefts_own_forward(kind: str) -> None:
    plain = traced(FAMILIES["wav2vec2-post"].build())
    found = traced(adapted("wav2vec2-post", KINDS[kind]()))
    assert list(found) == list(plain)
    untouched = adapted("wav2vec2-post", KINDS[kind]()).eval()
    model = AudioModel(untouched, feature_extractor=FAMILIES["wav2vec2-post"].extractor())
    eager: dict[str, Tensor] = {}
    features = model.model_inputs(model.features(noise(1.0)))
    with (
        torch.no_grad(),
        site_hooks(model.wrapped, model.sites(), lambda site, value: eager.update({site.name: value.clone()})),
    ):
        untouched(**features)
    assert all(torch.equal(found[name], eager[name]) for name in eager)
    assert not torch.equal(found["unembed.hook_out"], plain["unembed.hook_out"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ast", "whisper-classify", "wav2vec2-conformer", "clap-audio", "sew-d", "wavlm-pre"])
def test_adapted_models_of_other_families_have_the_sites_of_plain_ones(name: str) -> None:
    extractor = FAMILIES[name].extractor()
    plain = AudioModel(FAMILIES[name].build(), feature_extractor=extractor).sites()
    module = adapted(name, peft.LoraConfig(target_modules="all-linear", r=4))
    assert AudioModel(module, feature_extractor=extractor).sites() == plain


@pytest.mark.slow
def test_merged_switched_off_and_compiled() -> None:
    module = adapted("wav2vec2-post", peft.LoraConfig(target_modules=LINEAR, r=4))
    unmerged = traced(module)
    assert all(
        torch.equal(value, unmerged[name]) for name, value in traced(torch.compile(module, backend="eager")).items()
    )
    assert all(torch.equal(value, unmerged[name]) for name, value in traced(module.base_model).items())
    with module.disable_adapter():
        off = traced(module)
    plain = traced(FAMILIES["wav2vec2-post"].build())
    assert all(torch.equal(value, plain[name]) for name, value in off.items())
    for merged in (traced(module.merge_and_unload()),):
        assert list(merged) == list(unmerged)
        for name, value in merged.items():
            torch.testing.assert_close(value, unmerged[name], atol=1e-5, rtol=1e-5)


def test_an_adapter_outside_the_modules_is_refused_with_what_to_call() -> None:
    config = peft.PrefixTuningConfig(
        num_virtual_tokens=4, task_type="SEQ_CLS", token_dim=32, num_layers=2, num_attention_heads=4
    )
    model = peft.get_peft_model(FAMILIES["wav2vec2-post"].build(), config)
    with pytest.raises(ModelError, match=r"PREFIX_TUNING.*call get_base_model\(\)"):
        AudioModel(model)
    assert AudioModel(model.get_base_model()).sites()


@pytest.mark.slow
def test_training_goes_on_after_a_dissection(tmp_path: Path) -> None:
    module = adapted("wav2vec2-post", peft.LoraConfig(target_modules=LINEAR, r=4)).train()
    trained = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    before = {name: (child.training, sorted(vars(child))) for name, child in module.named_modules()}
    dissect(module, [noise(1.0), noise(1.2)], k=1, out=tmp_path / "run", progress=False)
    assert {name: parameter.requires_grad for name, parameter in module.named_parameters()} == trained
    assert {name: (child.training, sorted(vars(child))) for name, child in module.named_modules()} == before
    module(torch.randn(2, 16_000), labels=torch.tensor([0, 1])).loss.backward()
    assert any(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.slow
def test_a_checkpoint_with_an_adapter_by_name(tmp_path: Path) -> None:
    module = adapted("wav2vec2-post", peft.LoraConfig(target_modules=LINEAR, r=4))
    expected = traced(module)
    module.save_pretrained(tmp_path / "adapter")
    FAMILIES["wav2vec2-post"].build().save_pretrained(tmp_path / "base")
    FAMILIES["wav2vec2-post"].extractor().save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match="holds a PEFT adapter, not a model: open the model that it adapts with peft="):
        AudioModel(str(tmp_path / "adapter"))
    model = AudioModel(str(tmp_path / "base"), peft=str(tmp_path / "adapter"))
    assert [site.name for site in model.sites()] == list(expected)
    with torch.no_grad(), model.trace(noise(1.0)):
        logits = model.output.logits.save()
    # Weights of a file lie at other addresses than those made here, and some processors then sum in another order.
    torch.testing.assert_close(logits, expected["unembed.hook_out"], atol=1e-7, rtol=1e-6)


def test_units_of_an_adapted_model_are_exported_once_it_is_merged(tmp_path: Path) -> None:
    module = adapted("wav2vec2-post", peft.LoraConfig(target_modules=LINEAR, r=4))
    choice = UnitChoice({"blocks.0.mlp.hook_pre": [1]})
    with pytest.raises(ExportError, match=r"merge_and_unload\(\)"):
        export(AudioModel(module), choice, tmp_path / "model")
    export(AudioModel(module.merge_and_unload()), choice, tmp_path / "model")
