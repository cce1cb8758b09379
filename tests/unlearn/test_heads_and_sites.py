"""Heads and whole sites are changed as hooks by hand change them, measured beside fair draws, and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from and_nnsight import AudioModel, dissect
from and_nnsight.unlearn import ChoiceError, UnitChoice, ablate, ablating, choose, export, matched, measure
from and_nnsight.unlearn.ablation import model_sites
from tests.sounds_for_tests import noise
from tests.unlearn.models import CLIPS, first_tensor, loaded, traced

HEADS = [1, 3]
CLIPS_IN = [noise(1.0, seed=1), noise(1.0, seed=2)]


def by_hand(model: AudioModel, site: str, change: Any) -> Tensor:
    """The model's output while a plain hook changes what the module at a site takes or gives."""
    (where,) = model.sites(site)
    module = model.wrapped.get_submodule(where.path)
    if where.side == "input":
        handle = module.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
    else:
        handle = module.register_forward_hook(
            lambda _m, _a, out: (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)
        )
    with torch.inference_mode():
        output = first_tensor(model.plain_forward(model.features(CLIPS_IN)))
    handle.remove()
    return output


def scaled(heads: int, chosen: list[int], gain: float) -> Any:
    def change(z: Tensor) -> Tensor:
        z = z.clone()
        size = z.shape[-1] // heads
        for head in chosen:
            z[..., head * size : (head + 1) * size] *= gain
        return z

    return change


@pytest.mark.parametrize("name", ["ast", "whisper-classify", "hubert-pre", "wav2vec2-conformer", "sew-d", "clap-audio"])
def test_heads_are_changed_as_a_hook_by_hand_does(name: str) -> None:
    model = loaded(name)
    layer = len(model.sites("heads")) - 1
    choice = UnitChoice({f"blocks.{layer}.attn.hook_z|heads": HEADS})
    before = traced(model)
    for how, gain in (("zero", 0.0), ("amplify", 2.0), ("amplify", -1.0)):
        expected = by_hand(model, f"blocks.{layer}.attn.hook_z", scaled(4, HEADS, gain))
        options: dict[str, Any] = {} if how == "zero" else {"gain": gain}
        changed = traced(ablate(model, choice, how, **options))
        torch.testing.assert_close(changed, expected, rtol=0, atol=0)
        assert not torch.equal(changed, before)
        with torch.inference_mode(), ablating(model, choice, how, **options):
            hooked = first_tensor(model.plain_forward(model.features(CLIPS_IN)))
        torch.testing.assert_close(hooked, expected, rtol=0, atol=0)
    assert torch.equal(traced(model), before)


def test_a_head_at_its_mean_is_the_mean_of_its_part(tmp_path: Path) -> None:
    model, site = loaded("ast"), "blocks.0.attn.hook_z"
    choice = UnitChoice({f"{site}|heads": [2]})
    alone = dissect(model, CLIPS, "heads", k=2, pool="mean", out=tmp_path / "alone", progress=False)
    with pytest.raises(ValueError, match=rf"no means of '{site}', of which '{site}\|heads' are parts: dissect that"):
        ablate(model, choice, "mean", dissection=alone)
    both = dissect(model, CLIPS, ["heads", site], k=2, pool="mean", out=tmp_path / "both", progress=False)
    means = both[site].mean.to(torch.float32)

    def change(z: Tensor) -> Tensor:
        z = z.clone()
        z[..., 16:24] = means[16:24]
        return z

    changed = traced(ablate(model, choice, "mean", dissection=both))
    torch.testing.assert_close(changed, by_hand(model, site, change), rtol=0, atol=0)
    torch.testing.assert_close(traced(ablate(model, choice, "mean", means={site: means})), changed, rtol=0, atol=0)


def test_resampled_heads_are_other_clips_parts() -> None:
    model, site = loaded("hubert-pre"), "blocks.1.attn.hook_z"

    def change(z: Tensor) -> Tensor:
        return torch.cat([z[..., :8], z.flip(0)[..., 8:16], z[..., 16:]], -1)

    changed = traced(ablate(model, UnitChoice({f"{site}|heads": [1]}), "resample"))
    torch.testing.assert_close(changed, by_hand(model, site, change), rtol=0, atol=0)


@pytest.mark.parametrize("site", ["blocks.0.hook_mlp_out", "blocks.1.attn.hook_z", "blocks.1.hook_attn_out"])
def test_a_whole_site_is_all_its_units(site: str) -> None:
    model = loaded("ast")
    choice = UnitChoice.whole(model.sites(site), "label_1")
    assert choice.counts == {site: 32}
    expected = by_hand(model, site, lambda value: value * 0)
    torch.testing.assert_close(traced(ablate(model, choice)), expected, rtol=0, atol=0)


WIDTHS = {f"blocks.{layer}.hook_mlp_out": 32 for layer in range(6)} | {
    "blocks.0.mlp.hook_post": 64,
    "blocks.9.hook_mlp_out": 8,
}


def test_draws_beside_a_whole_site_are_other_sites_of_its_kind() -> None:
    choice = UnitChoice({"blocks.2.hook_mlp_out": range(32), "blocks.0.mlp.hook_post": [5]})
    drawn = [matched(choice, WIDTHS, seed) for seed in range(60)]
    whole = [[site for site, units in draw.units.items() if len(units) == 32] for draw in drawn]
    assert all(len(sites) == 1 for sites in whole)
    assert {sites[0] for sites in whole} == {f"blocks.{layer}.hook_mlp_out" for layer in range(6)}
    assert all(draw.counts["blocks.0.mlp.hook_post"] == 1 for draw in drawn)
    apart = [matched(choice, WIDTHS, seed, apart=True) for seed in range(30)]
    assert not any("blocks.2.hook_mlp_out" in draw.units for draw in apart)
    assert matched(choice, WIDTHS, 3) == drawn[3]


def test_what_is_chosen_in_part_keeps_a_draw_of_its_own() -> None:
    choice = UnitChoice({"blocks.2.hook_mlp_out": range(32), "blocks.1.hook_mlp_out": [4, 5]})
    for seed in range(20):
        draw = matched(choice, WIDTHS, seed)
        assert draw.counts["blocks.1.hook_mlp_out"] == 2
        assert sorted(draw.counts.values()) == [2, 32]


def test_the_sites_that_are_drawn_from_are_the_models_of_that_kind() -> None:
    model = loaded("clap-audio")
    choice = UnitChoice.whole(model.sites("blocks.3.hook_mlp_out"))
    assert list(model_sites(model, [choice])) == ["blocks.3.hook_mlp_out"]
    assert list(model_sites(model, [choice], alike=True)) == ["blocks.2.hook_mlp_out", "blocks.3.hook_mlp_out"]
    heads = UnitChoice.whole(model.sites("blocks.0.attn.hook_z|heads"))
    names = [f"blocks.{layer}.attn.hook_z|heads" for layer in (0, 1)]
    assert list(model_sites(model, [heads], alike=True)) == names


def test_heads_and_sites_are_measured_beside_their_like(tmp_path: Path) -> None:
    model = loaded("ast")
    heads = UnitChoice({"blocks.0.attn.hook_z|heads": [1]}, concept="label_1")
    site = UnitChoice.whole(model.sites("blocks.1.hook_mlp_out"), "label_1")
    measured = measure(model, CLIPS, [heads, site], draws=6, bootstrap=0, progress=False)
    draws = measured.outcomes.choices[2:]
    assert all(list(draw.counts.items()) == [("blocks.0.attn.hook_z|heads", 1)] for draw in draws[:6])
    assert {next(iter(draw.units)) for draw in draws[6:]} == {"blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out"}
    for place, choice in enumerate(measured.outcomes.choices):
        for number, clip in enumerate(CLIPS[:3]):
            with torch.inference_mode(), ablating(model, choice):
                logits = first_tensor(model.plain_forward(model.features(clip["audio"])))
            expected = float(logits[0, measured.outcomes.labels[number]])
            assert measured.outcomes.ablated.logit[place, number] == pytest.approx(expected, abs=1e-5)


def test_a_choice_that_is_every_draw_is_refused_and_measured_without() -> None:
    model = loaded("ast")
    every = UnitChoice.whole(model.sites("*.hook_mlp_out"), "label_1")
    with pytest.raises(ChoiceError, match="no site like it to draw.*draws=0"):
        measure(model, CLIPS, every, draws=3, progress=False)
    assert measure(model, CLIPS, every, draws=0, bootstrap=0, progress=False).outcomes.ablated.logit.shape[0] == 1


def test_a_site_of_a_width_that_shows_in_a_run_is_not_whole() -> None:
    model = loaded("ast")
    with pytest.raises(ChoiceError, match="shows only in a run"):
        UnitChoice.whole(model.sites("module:audio_spectrogram_transformer.embeddings"))


def test_heads_are_exported_as_columns_of_the_projection(tmp_path: Path) -> None:
    model = loaded("ast")
    choice = UnitChoice({"blocks.1.attn.hook_z|heads": [0, 2]}, concept="label_1")
    (columns,) = export(model, choice, tmp_path / "without")
    assert columns.parameter.endswith("layers.1.attention.o_proj.weight")
    assert (columns.axis, columns.units) == (1, (*range(8), *range(16, 24)))
    exported: Any = type(model.wrapped).from_pretrained(tmp_path / "without").eval()
    again = AudioModel(exported, feature_extractor=model.featuriser.extractor)
    torch.testing.assert_close(traced(again), traced(ablate(model, choice)), rtol=1e-5, atol=1e-6)


def test_heads_are_chosen_by_their_activations(tmp_path: Path) -> None:
    model = loaded("ast")
    dissection = dissect(
        model, CLIPS, ["heads", "blocks.0.attn.hook_z"], k=3, out=tmp_path / "run", keep_activations=True,
        label_column=None, progress=False,
    )  # fmt: skip
    choice = choose(dissection, "LABEL_1", method="contrast", count=2, sites="*|heads")
    assert choice.count == 2
    assert all(site.endswith("|heads") for site in choice.units)
    default = choose(dissection, "LABEL_1", method="contrast", count=30)
    assert "blocks.0.attn.hook_z|heads" not in default.settings["sites"]
    assert "blocks.1.attn.hook_z|heads" in default.settings["sites"]
