"""What heads give lies side by side where their output projection reads it, and a head is the norm of its part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from and_nnsight import AudioModel, SiteError, dissect
from and_nnsight.sites.heads import heads_of
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.sites.site import Site, clip_frame_unit, find_sites, select_sites
from and_nnsight.sites.wrappers import unadapted
from tests.composites import qwen2_audio
from tests.families import FAMILIES, LAYERS, WIDTH
from tests.sounds_for_tests import RATE, noise, ragged

FUSED = ("wavlm-post", "wavlm-pre")
WITH_HEADS = [name for name in FAMILIES if name not in FUSED]
HEADS = "blocks.*.attn.hook_z|heads"


def made(name: str) -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def read(module: nn.Module, sites: tuple[Site, ...], run: Any) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    with torch.inference_mode(), site_hooks(module, sites, lambda site, value: seen.__setitem__(site.name, value)):
        run()
    return seen


@pytest.mark.parametrize("name", WITH_HEADS)
def test_the_preset_names_every_head_of_every_block(name: str) -> None:
    model = made(name)
    sites, config = model.sites("heads"), model.wrapped.config
    if name.startswith("clap"):
        assert [site.width for site in sites] == [2, 2, 4, 4]
    else:
        assert [site.width for site in sites] == [getattr(config, "encoder_attention_heads", 4)] * LAYERS
    assert [site.name for site in sites] == [f"blocks.{layer}.attn.hook_z|heads" for layer in range(len(sites))]
    assert sites == model.sites(HEADS)
    assert [site.tensor for site in sites] == list(model.sites("blocks.*.attn.hook_z"))


@pytest.mark.parametrize("name", ["ast", "whisper-encoder", "hubert-post", "wav2vec2-bert", "sew-d", "clap-audio"])
def test_a_head_is_the_norm_of_the_part_that_its_values_make(name: str) -> None:
    """The value projection's rows of one head move that head's part, and no other head's."""
    model = made(name)
    layer = 0
    (heads,) = model.sites(f"blocks.{layer}.attn.hook_z|heads")
    features = model.features([noise(1.0), noise(1.0, seed=1)], RATE)
    before = read(model.wrapped, (heads,), lambda: model.plain_forward(features))[heads.name].clone()
    values = next(
        module for path, module in model.wrapped.named_modules()
        if path.startswith(heads.path.split("attention")[0].split("self_attn")[0])
        and path.rpartition(".")[2] in ("v_proj", "value", "value_proj", "linear_v")
    )  # fmt: skip
    size = heads.width and values.weight.shape[0] // heads.width
    with torch.no_grad():
        values.weight[size : 2 * size] *= 3
    after = read(model.wrapped, (heads,), lambda: model.plain_forward(features))[heads.name]
    moved = (heads.units(before) - heads.units(after)).abs().flatten(0, -2).amax(0)
    assert (moved > 1e-4).tolist() == [head == 1 for head in range(heads.width)]
    by_hand = before.double().unflatten(-1, (heads.width, size)).square().sum(-1).sqrt()
    torch.testing.assert_close(heads.units(before).double(), by_hand, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["ast", "whisper", "hubert-pre", "clap-audio", "wav2vec2-conformer"])
def test_heads_are_dissected_as_brute_force_has_them(name: str, tmp_path: Path) -> None:
    model, clips = made(name), ragged(7)
    dissection = dissect(model, clips, "heads", k=3, batch_size=3, out=tmp_path / "run", progress=False)
    sites = model.sites("heads")
    pooled: dict[str, list[np.ndarray]] = {site.name: [] for site in sites}
    for clip in clips:
        audio: Any = clip["audio"]
        seconds = np.array([len(audio) / int(str(clip["sampling_rate"]))])
        features = model.features(audio, int(str(clip["sampling_rate"])))
        for site in sites:
            z = read(model.wrapped, (site,), lambda features=features: model.plain_forward(features))[site.name]
            z = clip_frame_unit(z)[0].double().numpy()
            norms = np.linalg.norm(z.reshape(len(z), site.width, -1), axis=-1)
            counts = site.geometry.valid(seconds, len(norms))[0]
            pooled[site.name].append(norms[counts].max(0))
    for site in sites:
        values, statistics = np.stack(pooled[site.name]), dissection[site.name]
        np.testing.assert_allclose(statistics.mean.numpy(), values.mean(0), rtol=1e-5)
        np.testing.assert_allclose(statistics.top.values.numpy(), -np.sort(-values, axis=0)[:3], rtol=1e-5)
        np.testing.assert_allclose(statistics.bottom.values.numpy(), np.sort(values, axis=0)[:3], rtol=1e-5)
        best = np.take_along_axis(values, statistics.top.clips.numpy(), 0)
        np.testing.assert_allclose(best, statistics.top.values.numpy(), rtol=1e-5)
    described = dissection.manifest.sites[0].dictionary
    assert described is not None
    assert described["kind"] == f"norms of {sites[0].width} heads of {sites[0].tensor.width // sites[0].width}"


def test_grouped_queries_have_a_head_each() -> None:
    """Four heads of queries over two of keys and values: there are four parts, and two move with a value head."""
    config = transformers.ParakeetEncoderConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_mel_bins=16,
        subsampling_conv_channels=8, conv_kernel_size=5,
    )  # fmt: skip
    config.num_key_value_heads = 2
    torch.manual_seed(0)
    module: Any = transformers.ParakeetEncoder(config).eval()
    (site,) = select_sites(module, find_sites(module), "blocks.0.attn.hook_z|heads")
    assert site.width == 4
    sound = torch.randn(1, 100, 16)
    before = read(module, (site,), lambda: module(sound))[site.name].clone()
    values = module.layers[0].self_attn.v_proj
    with torch.no_grad():
        values.weight[8:] *= 3
        values.bias[8:] *= 3
    after = read(module, (site,), lambda: module(sound))[site.name]
    moved = (site.units(after) / site.units(before)).amax((0, 1))
    assert (moved > 1.5).tolist() == [False, False, True, True]


@pytest.mark.parametrize("name", FUSED)
def test_an_attention_whose_projection_no_module_runs_has_no_heads_and_says_so(name: str) -> None:
    model = made(name)
    assert not [site for site in model.sites() if "hook_z" in site.name]
    with pytest.raises(
        SiteError, match=r"no output projection runs as a module, clips first, in the attention of WavLM"
    ):
        model.sites("heads")


def test_what_has_no_heads_is_refused_with_what_has() -> None:
    model = made("ast")
    with pytest.raises(SiteError, match=r"no heads lie side by side in 'blocks.0.mlp.hook_post'.*preset 'heads'"):
        model.sites("blocks.0.mlp.hook_post|heads")
    with pytest.raises(SiteError, match=r"no heads lie side by side in 'module:classifier'"):
        model.sites("module:classifier|heads")


def test_heads_that_do_not_divide_the_tensor_are_not_made_up() -> None:
    module: Any = FAMILIES["ast-bare"].build()
    module.layers[0].attention.head_dim = 7
    sites = find_sites(module)
    (first, _) = select_sites(module, sites, "blocks.*.attn.hook_z")
    assert first.width == WIDTH
    assert first.heads is None
    with pytest.raises(SiteError, match="does not say how its heads divide them"):
        select_sites(module, sites, "blocks.0.attn.hook_z|heads")


def test_heads_of_a_language_model_that_reads_sound_are_those_of_its_queries() -> None:
    module = qwen2_audio(num_key_value_heads=1)
    sites = find_sites(module, within="model.language_model")
    (first, _) = select_sites(module, sites, "heads")
    assert first.path == "model.language_model.layers.0.self_attn.o_proj"
    assert first.width == 2


class _Says(nn.Module):
    def __init__(self, **says: Any) -> None:
        super().__init__()
        vars(self).update(says)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"num_heads": 4}, (4, 8)),
        ({"head_dim": 8}, (4, 8)),
        ({"num_heads": 4, "head_dim": 8}, (4, 8)),
        ({"num_attention_heads": 2, "attention_head_size": 16}, (2, 16)),
        ({"config": _Says(num_attention_heads=8)}, (8, 4)),
        ({"num_heads": 3}, None),
        ({"num_heads": 2, "head_dim": 8}, None),
        ({}, None),
    ],
)
def test_heads_are_what_the_attention_says(says: dict[str, Any], expected: tuple[int, int] | None) -> None:
    heads = heads_of(_Says(**says), 32)
    assert (heads and (heads.count, heads.size)) == expected


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT's own call
def test_an_adapter_around_the_projection_is_read_whole() -> None:
    peft = pytest.importorskip("peft")
    module = FAMILIES["hubert-post"].build()
    adapted = peft.get_peft_model(module, peft.LoraConfig(target_modules=["out_proj"])).base_model.model
    (site,) = select_sites(adapted, find_sites(adapted), "blocks.0.attn.hook_z|heads")
    assert unadapted(adapted.get_submodule(site.path)) is not adapted.get_submodule(site.path)
    assert site.width == 4


def test_heads_are_read_in_a_trace_here() -> None:
    model = made("ast")
    handle = model.site("blocks.1.attn.hook_z|heads")
    with torch.no_grad(), model.trace(noise(1.0)):
        norms = model.site("blocks.1.attn.hook_z|heads").save()
    with torch.no_grad(), model.trace(noise(1.0)):
        again = handle.output.save()
    assert torch.equal(norms, again)
    assert norms.shape[-1] == 4
    assert (norms >= 0).all()
