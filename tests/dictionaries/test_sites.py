"""`SITE|sae:PATH` in a model: dissected, changed, read in traces, and what is said where it does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, Remote, dissect, keep_exemplars
from and_nnsight.dictionaries import autoencoder
from and_nnsight.dictionaries.role import open_dictionary
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.dissection.files import site_file
from and_nnsight.kernels.pooling import POOLINGS
from and_nnsight.sites.site import SiteError
from and_nnsight.unlearn.ablation import ablate, ablating
from and_nnsight.unlearn.exporting import ExportError, export
from and_nnsight.unlearn.unit_set import UnitChoice
from tests import dictionaries_for_tests as write
from tests.dictionaries_for_tests import Written
from tests.families import FAMILIES, WIDTH

LATENTS = 200
RESIDUAL = "blocks.1.hook_resid_post"
RATE = 16_000


@pytest.fixture
def sae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.chdir(tmp_path)
    return write.sae_lens(Path("sae"), "topk", WIDTH, LATENTS, k=6)


@pytest.fixture
def model() -> AudioModel:
    family = FAMILIES["hubert-post"]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def _clips(count: int = 7) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(RATE // 2 + 800 * number).astype(np.float32) for number in range(count)]


def _latents(model: AudioModel, sae: Written, clip: np.ndarray) -> np.ndarray:
    """The formula on what a plain hook sees of one clip, float64 [frame, latent]."""
    return sae.encode(_hooked(model, clip))


def _hooked(model: AudioModel, clip: np.ndarray, copies: int = 1) -> np.ndarray:
    """What a plain hook, the last to be registered, sees of a clip: [frame, unit], or [copy, frame, unit]."""
    seen: list[Any] = []
    (site,) = model.sites(RESIDUAL)
    handle = model.wrapped.get_submodule(site.path).register_forward_hook(lambda *called: seen.append(called[2]))
    features = {name: value.repeat(copies, 1) for name, value in model.featuriser([clip]).items()}
    with torch.no_grad():
        model.plain_forward(features)
    handle.remove()
    value = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    return value.numpy() if copies > 1 else value[0].numpy()


@pytest.mark.parametrize("part", [autoencoder.PART_VALUES, 1])
def test_latents_are_dissected_as_brute_force_has_them(
    part: int, model: AudioModel, sae: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "PART_VALUES", part)
    clips = _clips()
    site = f"{RESIDUAL}|sae:sae"
    dissection = dissect(
        model, clips, [RESIDUAL, site], k=3, batch_size=3, out=tmp_path / "run", progress=False, keep_activations=True
    )
    expected = [_latents(model, sae, clip) for clip in clips]
    maxima = np.stack([latents.max(0) for latents in expected])
    kept = dissection.activations(site)
    assert kept is not None
    np.testing.assert_allclose(kept, maxima, atol=2e-4)
    statistics = dissection[site]
    np.testing.assert_allclose(statistics.mean.numpy(), maxima.mean(0), atol=1e-4)
    np.testing.assert_allclose(statistics.active.numpy(), (maxima > 0).mean(0), atol=1e-6)
    best = -np.sort(-maxima, axis=0)[:3]
    np.testing.assert_allclose(statistics.top.values.numpy(), best, atol=2e-4)
    firing = best > 0
    assert firing.any()
    ids, frames = statistics.top.clips.numpy(), statistics.top.frames.numpy()
    for place, unit in np.argwhere(firing):
        clip = int(ids[place, unit])
        assert maxima[clip, unit] == pytest.approx(best[place, unit], abs=2e-4)
        assert expected[clip][int(frames[place, unit]), unit] == pytest.approx(best[place, unit], abs=2e-4)
    assert dissection[RESIDUAL].top.values.shape == (3, WIDTH)


@pytest.mark.parametrize("pool", [pool for pool in POOLINGS if pool != "cls"])
def test_parts_and_padding_change_no_statistic(
    pool: str, model: AudioModel, sae: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = f"{RESIDUAL}|sae:sae"
    whole = dissect(model, _clips(4), site, k=2, pool=pool, batch_size=1, out=tmp_path / "a", progress=False)[site]
    monkeypatch.setattr(autoencoder, "PART_VALUES", 1)
    parts = dissect(model, _clips(4), site, k=2, pool=pool, batch_size=1, out=tmp_path / "b", progress=False)[site]
    torch.testing.assert_close(parts.top.values, whole.top.values, atol=1e-5, rtol=1e-5)
    assert torch.equal(parts.top.frames, whole.top.frames)
    torch.testing.assert_close(parts.mean, whole.mean, atol=1e-5, rtol=1e-5)


def test_the_folder_knows_the_dictionary_and_another_is_refused(
    model: AudioModel, sae: Written, tmp_path: Path
) -> None:
    site, clips = f"{RESIDUAL}|sae:sae", _clips(3)
    run: dict[str, Any] = {"k": 2, "out": tmp_path / "run", "progress": False}
    dissection = dissect(model, clips, site, **run)
    entry = json.loads((tmp_path / "run/manifest.json").read_text(encoding="utf-8"))["sites"][0]
    described = open_dictionary("sae:sae").describe()
    assert entry["dictionary"] == described
    assert entry["width"] == LATENTS
    assert site_file(tmp_path / "run", site).name == "blocks.1.hook_resid_post%7Csae%3Asae.safetensors"
    assert dissect(model, clips, site, **run).manifest == dissection.manifest
    kept = keep_exemplars(dissection, [(site, 5)], model, clips, most=1, progress=False)
    assert kept.curves >= 1
    for path in sae.path.iterdir():
        path.unlink()
    sae.path.rmdir()
    write.sae_lens(sae.path, "topk", WIDTH, LATENTS, k=7)
    with pytest.raises(DissectionError, match=r"another dictionary in .*sae:sae: its files have changed"):
        dissect(model, clips, site, **run)
    with pytest.raises(DissectionError, match=r"another dictionary in .*dissect again into a new folder"):
        keep_exemplars(dissection, [(site, 6)], model, clips, most=1, progress=False)


def test_curves_of_latents_are_the_formula_over_time(model: AudioModel, sae: Written, tmp_path: Path) -> None:
    site, clips = f"{RESIDUAL}|sae:sae", _clips(2)
    dissection = dissect(model, clips, site, k=1, out=tmp_path / "run", progress=False)
    unit = int(dissection[site].top.values[0].argmax())
    keep_exemplars(dissection, [(site, unit)], model, clips, most=1, progress=False)
    exemplar = dissection.unit(site, unit).top[0]
    activation = exemplar.curve().activation
    expected = _latents(model, sae, clips[exemplar.clip])[:, unit]
    # The sound was written as 24-bit FLAC.
    np.testing.assert_allclose(activation.max(), expected.max(), atol=1e-3)


def test_file_names_of_deep_folders_are_short_enough_and_apart(tmp_path: Path) -> None:
    deep = "/".join(["a folder with a name"] * 20)
    one, other = (site_file(tmp_path, f"{RESIDUAL}|sae:{deep}/{name}") for name in ("x", "y"))
    assert one != other
    assert all(len(path.name.encode()) < 240 for path in (one, other))


def test_an_ablation_takes_a_latent_out_along_its_direction_and_keeps_the_rest(model: AudioModel, sae: Written) -> None:
    site, clip = f"{RESIDUAL}|sae:sae", _clips(1)[0]
    latents = _latents(model, sae, clip)
    active = int(latents.max(0).argmax())
    dead = int(np.flatnonzero(latents.max(0) == 0)[0])
    decoder = sae.tensors["W_dec"]
    before = _residual(model, clip)
    for how, gain, change in (("zero", None, -1.0), ("amplify", 3.0, 2.0)):
        choice = UnitChoice({site: [active, dead]})
        changed = ablate(model, choice, how, gain=gain)
        expected = before + change * latents[:, [active]] * decoder[active]
        np.testing.assert_allclose(_residual(changed, clip), expected, atol=2e-4)
        with ablating(model, choice, how, gain=gain):
            np.testing.assert_allclose(_hooked(model, clip), expected, atol=2e-4)
    unchanged = ablate(model, UnitChoice({site: [dead]}), "amplify", gain=5.0)
    np.testing.assert_array_equal(_residual(unchanged, clip), before)


def _residual(model: AudioModel, clip: np.ndarray) -> np.ndarray:
    with torch.no_grad(), model.trace(clip, sampling_rate=RATE):
        value = model.site(RESIDUAL).save()
    return value[0].double().numpy()


def test_several_choices_side_by_side_are_each_ablated_by_its_own(model: AudioModel, sae: Written) -> None:
    site, clip = f"{RESIDUAL}|sae:sae", _clips(1)[0]
    latents = _latents(model, sae, clip)
    first, second = np.argsort(-latents.max(0))[:2].tolist()
    choices = [UnitChoice({site: [first]}), UnitChoice({site: [second]}), UnitChoice({RESIDUAL: [0]})]
    with ablating(model, choices):
        value = _hooked(model, clip, copies=3)
    before, decoder = _residual(model, clip), sae.tensors["W_dec"]
    for row, unit in enumerate((first, second)):
        expected = before - latents[:, [unit]] * decoder[unit]
        np.testing.assert_allclose(value[row], expected, atol=2e-4)
    assert (value[2][:, 0] == 0).all()
    np.testing.assert_allclose(value[2][:, 1:], before[:, 1:], atol=1e-5)


def test_traces_read_latents_by_name_and_by_handle(model: AudioModel, sae: Written) -> None:
    site, clip = f"{RESIDUAL}|sae:sae", _clips(1)[0]
    handle = model.site(site)
    with torch.no_grad():
        with model.trace(clip, sampling_rate=RATE):
            by_handle = handle.output.save()
        with model.trace(clip, sampling_rate=RATE):
            by_name = model.site(site).save()
    expected = _latents(model, sae, clip)
    np.testing.assert_allclose(by_handle[0].numpy(), expected, atol=2e-4)
    assert torch.equal(by_handle, by_name)


def test_a_dictionary_sits_on_any_module(model: AudioModel, sae: Written, tmp_path: Path) -> None:
    (base,) = model.sites(RESIDUAL)
    by_path, by_name = f"module:{base.path}|sae:sae", f"{RESIDUAL}|sae:sae"
    dissection = dissect(model, _clips(3), [by_name, by_path], k=2, out=tmp_path / "run", progress=False)
    assert torch.equal(dissection[by_path].top.values, dissection[by_name].top.values)
    with pytest.raises(SiteError, match=f"activations of {WIDTH} units, and .* has 64"):
        dissect(model, _clips(1), f"module:{model.sites('blocks.0.mlp.hook_pre')[0].path}|sae:sae", out=tmp_path / "x")


def test_where_it_does_not_fit_is_said(model: AudioModel, sae: Written, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"activations of 32 units, and 'blocks.0.mlp.hook_post' has 64"):
        model.sites("blocks.0.mlp.hook_post|sae:sae")
    with pytest.raises(SiteError, match=r"names 2 sites, and a dictionary is of one, for example 'blocks.0.hook_resid"):
        model.sites("*.hook_resid_post|sae:sae")
    with pytest.raises(ValueError, match="there is no file or folder 'nowhere'"):
        model.sites(f"{RESIDUAL}|sae:nowhere")
    with pytest.raises(SiteError, match=r"no site matches 'blocks.9.hook_resid_post'"):
        model.sites("blocks.9.hook_resid_post|sae:sae")
    with pytest.raises(ExportError, match=r"latents of a dictionary, which no weights of the model are"):
        export(model, UnitChoice({f"{RESIDUAL}|sae:sae": [0]}), tmp_path / "exported")
    with pytest.raises(SiteError, match=r"with this one 0.03 MB, and at most 0.01 MB may: allow more with Remote\("):
        little = Remote("local", most_dictionary_bytes=9_999)
        dissect(model, _clips(1), f"{RESIDUAL}|sae:sae", out=tmp_path / "run", remote=little)
