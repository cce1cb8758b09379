"""Ablation in a trace and under hooks, at every kind of site, in every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from and_nnsight import AudioModel, SiteError, dissect
from and_nnsight.unlearn import ChoiceError, UnitChoice, ablate, ablating
from tests.sounds_for_tests import noise, ragged
from tests.unlearn.models import TRACED, first_tensor, loaded, of_torch, traced

UNITS = (0, 3, 7)
KINDS = ("hook_attn_out", "mlp.hook_pre", "mlp.hook_post", "hook_mlp_out", "hook_resid_post")


def under_hooks(model: AudioModel, choice: UnitChoice, **how: Any) -> Tensor:
    features = model.features([noise(1.0, seed=1), noise(1.0, seed=2)])
    with torch.inference_mode(), ablating(model, choice, **how):
        return first_tensor(model.plain_forward(features))


@of_torch
@pytest.mark.parametrize("name", TRACED)
def test_a_trace_and_hooks_ablate_the_same_in_every_family(name: str) -> None:
    model = loaded(name)
    choice = UnitChoice({f"blocks.1.{kind}": UNITS for kind in KINDS})
    before = traced(model)
    ablated = traced(ablate(model, choice))
    assert not torch.equal(before, ablated)
    torch.testing.assert_close(under_hooks(model, choice), ablated, rtol=0, atol=0)
    assert torch.equal(traced(model), before)


@of_torch
@pytest.mark.parametrize("name", TRACED)
def test_a_trace_and_hooks_amplify_the_same_in_every_family(name: str) -> None:
    model = loaded(name)
    choice = UnitChoice({f"blocks.1.{kind}": UNITS for kind in KINDS})
    amplified = traced(ablate(model, choice, "amplify", gain=2.0))
    assert not torch.equal(traced(model), amplified)
    torch.testing.assert_close(under_hooks(model, choice, how="amplify", gain=2.0), amplified, rtol=0, atol=0)


@pytest.mark.parametrize("gain", [2.0, -1.0, 0.5])
def test_amplified_units_are_the_gain_times_themselves(gain: float) -> None:
    model = loaded("ast")
    site = "blocks.1.mlp.hook_post"
    before = traced(model, site)
    after = traced(ablate(model, UnitChoice({site: UNITS}), "amplify", gain=gain), site)
    assert torch.equal(after[..., list(UNITS)], gain * before[..., list(UNITS)])
    assert torch.equal(after[..., 8:], before[..., 8:])
    none = ablate(model, UnitChoice({site: UNITS}), "amplify", gain=0.0)
    assert torch.equal(traced(none), traced(ablate(model, UnitChoice({site: UNITS}))))


@pytest.mark.parametrize(
    ("how", "gain", "said"),
    [
        ("amplify", None, "amplify needs a gain"),
        ("zero", 2.0, "gain= .* is for amplify, not for zero"),
        ("amplify", float("nan"), "finite"),
        ("amplify", float("inf"), "finite"),
    ],
)
def test_a_gain_that_does_not_fit_is_refused(how: str, gain: float | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ablate(loaded("ast"), UnitChoice({"blocks.0.mlp.hook_post": [0]}), how, gain=gain)


@pytest.mark.parametrize("kind", [*(f"blocks.1.{kind}" for kind in KINDS), "unembed.hook_out"])
@pytest.mark.parametrize("name", ["ast", "wavlm-post"])
def test_the_units_are_zero_and_all_others_as_they_were(name: str, kind: str) -> None:
    model = loaded(name)
    units = list(UNITS if kind.startswith("blocks") else (1, 4))
    before = traced(model, kind)
    after = traced(ablate(model, UnitChoice({kind: units})), kind)
    others = [unit for unit in range(before.shape[-1]) if unit not in units]
    assert not after[..., units].any()
    assert before[..., units].any()
    assert torch.equal(after[..., others], before[..., others])


def test_windows_of_a_swin_are_ablated_in_every_window() -> None:
    model = loaded("clap-audio")
    site = "blocks.0.hook_attn_out"
    before, after = traced(model, site), traced(ablate(model, UnitChoice({site: [2]})), site)
    assert not after[..., 2].any()
    assert torch.equal(after[..., 3:], before[..., 3:])


def test_in_bfloat16_too() -> None:
    model = loaded("ast", torch.bfloat16)
    site = "blocks.0.mlp.hook_post"
    edited = ablate(model, UnitChoice({site: UNITS}))
    after = traced(edited, site)
    assert after.dtype == torch.bfloat16
    assert not after[..., list(UNITS)].any()
    torch.testing.assert_close(under_hooks(model, UnitChoice({site: UNITS})), traced(edited), rtol=0, atol=0)


def test_modules_named_by_path_are_ablated_too() -> None:
    model = loaded("hubert-post")
    path = "module:feature_extractor.conv_layers.6.conv"
    after = traced(ablate(model, UnitChoice({path: [1, 2]})), path)
    assert not after[..., 1:3].any()
    assert after[..., 0].any()


def test_the_mean_takes_the_units_place(tmp_path: Path) -> None:
    model = loaded("ast")
    site = "blocks.0.mlp.hook_pre"
    means = {site: torch.arange(64.0)}
    after = traced(ablate(model, UnitChoice({site: UNITS}), "mean", means=means), site)
    assert torch.equal(after[..., list(UNITS)], torch.tensor([0.0, 3.0, 7.0]).expand(*after.shape[:-1], 3))
    dissection = dissect(model, ragged(3), site, 2, "mean", out=tmp_path / "run", progress=False)
    after = traced(ablate(model, UnitChoice({site: [5]}), "mean", dissection=dissection), site)
    assert torch.equal(after[..., 5].unique(), dissection[site].mean[5:6])


def test_a_mean_of_maxima_is_no_mean(tmp_path: Path) -> None:
    model = loaded("ast")
    site = "blocks.0.mlp.hook_pre"
    dissection = dissect(model, ragged(2), site, 1, out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="mean of each clip's max, not the mean over frames"):
        ablate(model, UnitChoice({site: [0]}), "mean", dissection=dissection)
    with pytest.raises(ValueError, match="give means="):
        ablate(model, UnitChoice({site: [0]}), "mean")
    with pytest.raises(ValueError, match="no 64 means"):
        ablate(model, UnitChoice({site: [0]}), "mean", means={site: torch.zeros(3)})


def test_resampled_units_are_those_of_another_clip() -> None:
    model = loaded("ast")
    site = "blocks.0.mlp.hook_pre"
    before = traced(model, site)
    after = traced(ablate(model, UnitChoice({site: [4]}), "resample"), site)
    assert torch.equal(after[..., 4], before[[1, 0]][..., 4])
    assert torch.equal(after[..., 5:], before[..., 5:])
    alone = ablate(model, UnitChoice({site: [4]}), "resample")
    with pytest.raises(ValueError, match="batch of one clip"), torch.inference_mode(), alone.trace(noise(1.0)):
        alone.output.logits.save()


def test_several_choices_run_side_by_side() -> None:
    model = loaded("ast")
    choices = [
        UnitChoice({"blocks.0.mlp.hook_post": [1], "blocks.1.hook_attn_out": [2]}),
        UnitChoice({}),
        UnitChoice({"blocks.1.hook_attn_out": range(30)}),
    ]
    features = model.features([noise(1.0, seed=seed) for seed in range(4)])
    stacked = {name: value.repeat(3, 1, 1) for name, value in features.items()}
    for how, gain in (("zero", None), ("resample", None), ("amplify", 3.0)):
        with torch.inference_mode(), ablating(model, choices, how, gain=gain, seed=1):
            together = model.wrapped(**stacked).logits
        for place, choice in enumerate(choices):
            with torch.inference_mode(), ablating(model, choice, how, gain=gain, seed=1):
                alone = model.wrapped(**features).logits
            torch.testing.assert_close(together[4 * place : 4 * place + 4], alone, rtol=1e-5, atol=1e-6)


def test_hooks_go_when_they_are_left_and_take_a_plain_module() -> None:
    model = loaded("ast")
    features = model.features([noise(1.0)])
    before = model.wrapped(**features).logits
    with ablating(model.wrapped, UnitChoice({"blocks.0.hook_mlp_out": [0]})):
        assert not torch.equal(model.wrapped(**features).logits, before)
    assert torch.equal(model.wrapped(**features).logits, before)
    with (
        pytest.raises(RuntimeError, match="mine"),
        ablating(model.wrapped, UnitChoice({"blocks.0.hook_mlp_out": [0]})),
    ):
        raise RuntimeError("mine")
    assert torch.equal(model.wrapped(**features).logits, before)


def test_an_ablated_model_is_dissected_like_any_other(tmp_path: Path) -> None:
    model = loaded("ast")
    edited = ablate(model, UnitChoice({"blocks.0.mlp.hook_post": [1], "unembed.hook_out": [2]}))
    dissection = dissect(edited, ragged(3), "blocks.0.mlp.hook_post", 2, out=tmp_path / "run", progress=False)
    top = dissection["blocks.0.mlp.hook_post"].top.values
    assert not top[:, 1].any()
    assert top[:, 0].any()


def test_every_invoke_of_a_trace_is_ablated() -> None:
    model = loaded("ast")
    edited = ablate(model, UnitChoice({"blocks.0.mlp.hook_post": range(40)}))
    with torch.inference_mode(), edited.trace() as tracer:
        with tracer.invoke(noise(1.0, seed=1)):
            first = edited.output.logits.save()
        with tracer.invoke(noise(1.0, seed=2)):
            second = edited.output.logits.save()
    torch.testing.assert_close(torch.cat([first, second]), traced(edited), rtol=1e-5, atol=1e-6)


def test_weights_are_not_touched() -> None:
    model = loaded("ast")
    before = {name: tensor.clone() for name, tensor in model.wrapped.state_dict().items()}
    traced(ablate(model, UnitChoice({"blocks.0.mlp.hook_post": UNITS})))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.wrapped.state_dict().items())


def test_what_is_not_there_is_refused() -> None:
    model = loaded("ast")
    with pytest.raises(ChoiceError, match="units 0 to 63, not 64"):
        ablate(model, UnitChoice({"blocks.0.mlp.hook_post": [64]}))
    with pytest.raises(SiteError, match="no site matches"):
        ablate(model, UnitChoice({"blocks.9.mlp.hook_post": [0]}))
    with pytest.raises(ValueError, match="unknown way to ablate 'noise': one of zero, mean, resample, amplify"):
        ablate(model, UnitChoice({"blocks.0.mlp.hook_post": [0]}), "noise")
