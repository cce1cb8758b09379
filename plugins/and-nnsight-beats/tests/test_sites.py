"""Sites bear the core's names, hold what plain hooks see, lie where the sound lies, and can be edited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from and_nnsight import AudioModel
from and_nnsight.audio import loading
from and_nnsight.sites.geometry import PatchColumns
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.sites.site import Site, SiteError
from beats_for_tests import RATE, click, library, noise
from torch import Tensor

from and_nnsight_beats import BEATs, BEATsConfig, load
from and_nnsight_beats.plugin import Beats

PARTS = {"hook_attn_out": 32, "mlp.hook_pre": 64, "mlp.hook_post": 64, "hook_mlp_out": 32, "hook_resid_post": 32}
PUBLIC = {"relative_position_embedding": True, "gru_rel_pos": True, "deep_norm": True, "max_distance": 800}


def opened(path: Path) -> AudioModel:
    return Beats().open(str(path), device="cpu")


def traced(model: AudioModel, sites: tuple[Site, ...], audio: Any) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    model.run(sites, model.features(audio, RATE), lambda site, value: seen.__setitem__(site.name, value.clone()))
    return seen


def logits(model: AudioModel, audio: Any, **options: Any) -> Tensor:
    with torch.no_grad(), model.trace(audio, **options):
        out = model.output.logits.save()
    return out


@pytest.mark.parametrize("checkpoint", ["frozen", "finetuned"], indirect=True)
def test_names_and_widths(checkpoint: Path) -> None:
    model = opened(checkpoint)
    expected = {f"blocks.{layer}.{part}": width for layer in range(3) for part, width in PARTS.items()}
    if "finetuned" in checkpoint.name:
        expected["unembed.hook_out"] = 5
    assert {site.name: site.width for site in model.sites()} == expected
    assert model.sites("all") == model.sites()
    assert [site.name for site in model.sites("default")] == [f"blocks.{layer}.mlp.hook_post" for layer in range(3)]
    assert [site.layer for site in model.sites("*.hook_resid_post")] == [0, 1, 2]


def test_heads_are_refused_for_clips_do_not_stand_first_inside(frozen: Path) -> None:
    with pytest.raises(
        SiteError, match="no output projection runs as a module, clips first, in the attention of BEATs"
    ):
        opened(frozen).sites("heads")


def test_the_paper_preset_is_the_papers() -> None:
    """fc1 and fc2 of every block, and the classes: the paper did not record BEATs's attention."""
    base = AudioModel(BEATs(BEATsConfig({**PUBLIC, "finetuned_model": True, "predictor_class": 50})))
    sites = base.sites("paper")
    assert sum(site.width for site in sites) == 46_130
    assert len(sites) == 12 * 2 + 1
    assert {site.path.split(".")[-1] for site in sites} == {"fc1", "fc2", "predictor"}


def test_values_equal_plain_hooks_bit_for_bit(finetuned: Path) -> None:
    model, untouched, sounds = opened(finetuned), load(finetuned), [noise(1.0), noise(0.7, seed=1)]
    order, plain = [], {}

    def keep(site: Site, value: Tensor) -> None:
        order.append(site.name)
        plain[site.name] = value.clone()

    with torch.inference_mode(), site_hooks(untouched, model.sites(), keep):
        untouched(**model.features(sounds, RATE))
    assert order == [site.name for site in model.sites()], "sites are listed in forward order"
    seen = traced(model, model.sites(), sounds)
    for site in model.sites():
        assert torch.equal(seen[site.name], plain[site.name]), site
        assert seen[site.name].shape[0] == 2
        assert seen[site.name].shape[-1] == site.width


def test_values_equal_hooks_on_speechbrains_own_time_first_model(frozen: Path) -> None:
    theirs, wave = library(frozen), noise(1.0)
    model = opened(frozen)
    plain: dict[str, Tensor] = {}
    for layer, block in enumerate(theirs.encoder.layers):
        for part, module in (("hook_attn_out", block.self_attn), ("mlp.hook_pre", block.fc1), ("hook_mlp_out", block.fc2),
                             ("hook_resid_post", block)):  # fmt: skip

            def keep(module: Any, inputs: Any, output: Any, name: str = f"blocks.{layer}.{part}") -> None:
                plain[name] = (output[0] if isinstance(output, tuple) else output).transpose(0, 1)

            module.register_forward_hook(keep)
    with torch.no_grad():
        theirs.extract_features(torch.from_numpy(wave[None]), torch.ones(1))
    seen = traced(model, model.sites(*plain), wave)
    for name, value in plain.items():
        assert torch.equal(seen[name], value), name


def test_blocks_add_up_under_deep_norm(frozen: Path) -> None:
    model = opened(frozen)
    seen = traced(model, model.sites("blocks.0.hook_resid_post", "blocks.1.*"), noise(1.0))
    block: Any = model.wrapped.encoder.layers[1]
    alpha = (2 * 3) ** 0.25
    middle = block.self_attn_layer_norm(alpha * seen["blocks.0.hook_resid_post"] + seen["blocks.1.hook_attn_out"])
    after = block.final_layer_norm(alpha * middle + seen["blocks.1.hook_mlp_out"])
    torch.testing.assert_close(after, seen["blocks.1.hook_resid_post"])
    post = torch.nn.functional.gelu(seen["blocks.1.mlp.hook_pre"])
    assert torch.equal(post, seen["blocks.1.mlp.hook_post"])


@pytest.mark.parametrize("part", [part for part in PARTS if part != "hook_attn_out"])  # attention mixes all times
def test_a_click_moves_the_patches_at_its_time(frozen: Path, part: str) -> None:
    model = opened(frozen)
    (site,) = model.sites(f"blocks.0.{part}")
    early, late, length = 0.43, 1.37, 1.9
    first, second = (traced(model, (site,), click(length, at))[site.name][0] for at in (early, late))
    moved = (first - second).abs().sum(-1).numpy()
    times = site.geometry.times(np.arange(len(moved)))
    middle = (early + late) / 2
    for at, side in ((early, times[:, 1] < middle), (late, times[:, 0] > middle)):
        here = np.where(side, moved, -np.inf)
        start, end = times[int(here.argmax())]
        # The positional convolution reaches over eight patches: a column to either side.
        assert start - 0.16 <= at <= end + 0.16, f"{start:.2f}–{end:.2f} s for a click at {at} s"


def test_a_tone_moves_the_patches_of_its_mel_band(frozen: Path) -> None:
    module = load(frozen)
    (site,) = AudioModel(module).sites("blocks.0.mlp.hook_pre")
    geometry = site.geometry
    assert isinstance(geometry, PatchColumns)
    time = np.arange(RATE) / RATE
    quiet = noise(1.0, level=0.001)
    # 128 bins, equal in mel from 20 Hz to 8 kHz.
    for hertz in (300.0, 1000.0, 3000.0, 7000.0):
        place = (1127 * np.log1p(np.array([hertz, 20, 8000]) / 700)).tolist()
        expected = (place[0] - place[1]) / (place[2] - place[1]) * 128
        tone = quiet + 0.3 * np.sin(2 * np.pi * hertz * time).astype(np.float32)
        with torch.no_grad():
            patches = [module.patch_embedding(AudioModel(module).features(wave, RATE)["input_values"][:, None])
                       for wave in (tone, quiet)]  # fmt: skip
        moved = (patches[0] - patches[1]).abs().sum(1).flatten().numpy()
        first, end = geometry.mel_bins(np.array([int(moved.argmax())]))[0]
        assert first - 1 <= expected <= end + 1


def test_frames_have_the_seconds_of_their_columns(frozen: Path) -> None:
    geometry = opened(frozen).sites("blocks.1.hook_resid_post")[0].geometry
    assert geometry.special_tokens == 0
    np.testing.assert_allclose(
        geometry.times(np.array([0, 7, 8, 41])), [[0, 0.175]] * 2 + [[0.16, 0.335], [0.8, 0.975]]
    )
    counts = geometry.valid(np.array([0.175, 0.334, 0.335, 1.0]), 48).sum(1)
    assert counts.tolist() == [8, 8, 16, 48]


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_other_rates_are_resampled_to_16_khz(finetuned: Path, rate: int) -> None:
    """The released code of the paper fed 48 kHz as if it were 16 kHz."""
    model = opened(finetuned)
    assert model.sampling_rate == 16_000
    wave = noise(1.5)
    # Speech-like: most of it below 3 kHz, and nothing near either Nyquist frequency.
    spectrum = np.fft.rfft(wave)
    spectrum *= 1 / (1 + (np.fft.rfftfreq(len(wave), 1 / RATE) / 3000) ** 8)
    wave = np.fft.irfft(spectrum).astype(np.float32)
    elsewhere = loading.resample(wave, RATE, rate)
    expected, heard = logits(model, wave, sampling_rate=RATE), logits(model, elsewhere, sampling_rate=rate)
    mistaken = logits(model, elsewhere, sampling_rate=RATE)
    assert (heard - expected).abs().max() < 0.25 * (mistaken - expected).abs().max()


def test_invokes_see_and_edit_their_own_clips(finetuned: Path) -> None:
    model = opened(finetuned)
    first, second = noise(1.2), noise(0.8, seed=1)
    with torch.no_grad(), model.trace() as tracer:
        with tracer.invoke(first):
            hidden = model.site("blocks.2.hook_resid_post").save()
            plain = model.site("unembed.hook_out").save()
        with tracer.invoke(second):
            model.blocks[1].fc1.output[:] = 0
            ablated = model.site("unembed.hook_out").save()
    assert hidden.shape == (1, 56, 32)
    torch.testing.assert_close(plain, logits(model, first))
    with torch.no_grad(), model.trace(second):
        model.blocks[1].fc1.output[:] = 0
        alone = model.output.logits.save()
    torch.testing.assert_close(ablated, alone)
    assert not torch.allclose(alone, logits(model, second))


def test_edits_stay(finetuned: Path) -> None:
    model = opened(finetuned)
    before = logits(model, noise(1.0))
    with model.edit() as (_, edited):
        edited.blocks[0].self_attn.output[0][:] = 0
    assert not torch.allclose(logits(edited, noise(1.0)), before)
    assert torch.equal(logits(model, noise(1.0)), before)


def test_a_scan_knows_shapes(finetuned: Path) -> None:
    model = opened(finetuned)
    with model.scan(noise(1.0)):
        post = model.site("blocks.0.mlp.hook_post").save()
        out = model.site("unembed.hook_out").save()
    assert post.shape == (1, 48, 64)
    assert out.shape == (1, 5)


def test_any_module_can_be_named_by_its_path(frozen: Path) -> None:
    model = opened(frozen)
    sites = model.sites(
        "module:patch_embedding", "module:encoder.layers.1.final_layer_norm", "blocks.1.hook_resid_post"
    )
    seen = traced(model, sites, noise(1.0))
    norm, residual = seen["module:encoder.layers.1.final_layer_norm"], seen["blocks.1.hook_resid_post"]
    assert torch.equal(norm, residual)
    assert seen["module:patch_embedding"].shape == (1, 6, 8, 16)


@pytest.fixture
def plain_kernels() -> Iterator[None]:
    """Without oneDNN: its bfloat16 kernels for processors with AMX are off by 0.4 of a logit here (AVX-512's are not)."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    yield
    torch._C._set_mkldnn_enabled(enabled)


@pytest.mark.usefixtures("plain_kernels")
def test_bfloat16(finetuned: Path) -> None:
    model = Beats().open(str(finetuned), device="cpu", dtype=torch.bfloat16)
    assert logits(model, noise(1.0)).dtype == torch.bfloat16
    torch.testing.assert_close(
        logits(model, noise(1.0)).float(), logits(opened(finetuned), noise(1.0)), rtol=0.1, atol=0.1
    )
