"""Sites are found by structure on every family, and hold what a plain forward hook sees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.activations import ACT2FN

from and_nnsight import AudioModel, SiteError
from and_nnsight.sites.blocks import find_blocks
from and_nnsight.sites.frame_geometry import audio_config
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.sites.site import Site, find_sites, select_sites
from tests.families import FAMILIES, INNER, LAYERS, WIDTH, whisper_config
from tests.sounds_for_tests import RATE, noise

pytestmark = pytest.mark.filterwarnings(
    "ignore:Support for mismatched key_padding_mask:UserWarning"  # WavLM's own call into torch
)
PRE_NORM = ["ast", "whisper", "hubert-pre", "wav2vec2-pre", "wav2vec2-ctc", "wavlm-pre", "unispeech-sat", "clap-audio"]
POST_NORM = ["hubert-post", "wav2vec2-post", "wavlm-post", "unispeech", "sew", "data2vec"]
CONFORMER = ["wav2vec2-bert", "wav2vec2-conformer"]


def made(name: str) -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def traced(model: AudioModel, sites: tuple[Site, ...], audio: Any) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    model.run(sites, model.features(audio, RATE), lambda site, value: seen.__setitem__(site.name, value.clone()))
    return seen


@pytest.mark.parametrize("name", FAMILIES)
def test_values_equal_plain_hooks_bit_for_bit(name: str) -> None:
    model, audio = made(name), [noise(1.0), noise(0.7, seed=1)]
    untouched = FAMILIES[name].build()
    sites, order, plain = model.sites(), [], {}

    def keep(site: Site, value: Tensor) -> None:
        order.append(site.name)
        plain[site.name] = value.clone()

    features = model.model_inputs(model.features(audio, RATE))
    with torch.inference_mode(), site_hooks(untouched, sites, keep):
        run: Any = untouched.get_audio_features if name == "clap" else untouched
        run(**features)
    assert order == [site.name for site in sites], "sites are listed in forward order"
    seen = traced(model, sites, audio)
    for site in sites:
        assert torch.equal(seen[site.name], plain[site.name]), site
        assert seen[site.name].shape[-1] == site.width
        assert len(seen[site.name]) == len(audio)


@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith("clap")])
def test_names_and_widths(name: str) -> None:
    family = FAMILIES[name]
    sites = find_sites(family.build(), family.extractor())
    widths = {site.name: site.width for site in sites}
    for layer in range(LAYERS):
        expected = {"hook_attn_out": WIDTH, "mlp.hook_pre": INNER, "mlp.hook_post": INNER, "hook_mlp_out": WIDTH}
        if not name.startswith("wavlm"):  # whose projection no module runs
            expected["attn.hook_z"] = WIDTH
        for part, width in {**expected, "hook_resid_post": WIDTH}.items():
            assert widths.pop(f"blocks.{layer}.{part}") == width
    assert widths.pop("unembed.hook_out", None) == family.head
    extra = {"ffn1"} if name in CONFORMER else {"adapter_layer"} if name == "wav2vec2-adapters" else set()
    assert {site.split(".")[2] for site in widths} == extra
    assert {site.layer for site in sites if site.name.startswith("blocks.1.")} == {1}


@pytest.mark.parametrize("name", ["clap", "clap-audio"])
def test_the_blocks_of_all_swin_stages_are_numbered_through(name: str) -> None:
    model = made(name)
    attention = {site.name: site.width for site in model.sites("*.hook_attn_out")}
    assert attention == {f"blocks.{i}.hook_attn_out": width for i, width in enumerate((16, 16, 32, 32))}
    assert len(model.blocks) == 4
    assert all("text" not in site.path for site in model.sites())


@pytest.mark.parametrize("name", FAMILIES)
def test_pre_and_post_activation_are_not_confused(name: str) -> None:
    model = made(name)
    config = audio_config(model.wrapped)
    activation = ACT2FN[getattr(config, "activation_function", None) or getattr(config, "hidden_act", None)]
    seen = traced(model, model.sites("*.mlp.hook_pre", "*.mlp.hook_post"), noise(1.0))
    for site in [site for site in seen if site.endswith("hook_pre")]:
        post = seen[site.replace("hook_pre", "hook_post")]
        assert torch.equal(activation(seen[site]), post)
        assert not torch.equal(seen[site], post)


@pytest.mark.parametrize("name", PRE_NORM)
def test_pre_norm_blocks_add_up(name: str) -> None:
    model = made(name)
    layer = 1
    sites = model.sites(f"blocks.{layer - 1}.hook_resid_post", f"blocks.{layer}.*")
    seen = {key.split(".", 1)[1]: value for key, value in traced(model, sites, noise(1.0)).items()}
    before = seen[f"{layer - 1}.hook_resid_post"]
    attention = seen[f"{layer}.hook_attn_out"]
    if name == "clap-audio":  # window order back to grid order
        order = torch.from_numpy(next(s for s in sites if "attn" in s.name).geometry.grid_order())
        attention = torch.empty_like(attention).index_copy_(1, order, attention)
    torch.testing.assert_close(before + attention + seen[f"{layer}.hook_mlp_out"], seen[f"{layer}.hook_resid_post"])


@pytest.mark.parametrize("name", POST_NORM)
def test_post_norm_blocks_add_up_under_their_norms(name: str) -> None:
    model = made(name)
    seen = traced(model, model.sites("blocks.0.hook_resid_post", "blocks.1.*"), noise(1.0))
    block = model.blocks[1]._module
    middle = block.layer_norm(seen["blocks.0.hook_resid_post"] + seen["blocks.1.hook_attn_out"])
    after = block.final_layer_norm(middle + seen["blocks.1.hook_mlp_out"])
    torch.testing.assert_close(after, seen["blocks.1.hook_resid_post"])


@pytest.mark.parametrize("name", CONFORMER)
def test_a_conformers_mlp_is_its_second_feed_forward(name: str) -> None:
    model = made(name)
    paths = {site.name: site.path for site in model.sites()}
    assert ".ffn2." in paths["blocks.0.mlp.hook_post"]
    assert ".ffn1." in paths["blocks.0.ffn1.hook_post"]


def test_the_paper_preset_has_the_papers_number_of_units() -> None:
    with torch.device("meta"):
        base = transformers.ASTForAudioClassification(transformers.ASTConfig(num_labels=50))
    sites = select_sites(base, find_sites(base), "paper")
    assert sum(site.width for site in sites) == 55_346
    assert len(sites) == 37


def test_presets_globs_and_order() -> None:
    model = made("ast")
    default = [f"blocks.{i}.mlp.hook_post" for i in range(LAYERS)]
    assert [site.name for site in model.sites("default")] == default
    assert [site.name for site in model.sites("blocks.*.mlp.hook_post")] == default
    assert model.sites("all") == model.sites()
    mixed = model.sites("unembed.*", "blocks.1.hook_attn_out", "blocks.0.hook_resid_post")
    assert [site.name for site in mixed] == ["blocks.0.hook_resid_post", "blocks.1.hook_attn_out", "unembed.hook_out"]


def test_an_unknown_pattern_lists_near_names() -> None:
    with pytest.raises(
        SiteError, match=r"no site matches 'blocks.0.mlp.hook_pots'; near names: .*blocks.0.mlp.hook_post"
    ):
        made("ast").sites("blocks.0.mlp.hook_pots")
    with pytest.raises(SiteError, match=r"the model has no module 'layers.0.mlp.fc3'; near names: .*layers.0.mlp.fc1"):
        made("ast-bare").sites("module:layers.0.mlp.fc3")


def test_any_module_can_be_named_by_its_path() -> None:
    model = made("ast")
    path = model.sites("blocks.0.mlp.hook_pre")[0].path
    seen = traced(model, model.sites(f"module:{path}", "blocks.0.mlp.hook_pre"), noise(1.0))
    assert torch.equal(seen[f"module:{path}"], seen["blocks.0.mlp.hook_pre"])


def test_a_model_without_blocks_says_how_to_name_sites() -> None:
    torch.manual_seed(0)
    model = AudioModel(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)))
    assert model.sites() == ()
    with pytest.raises(SiteError, match=r"Sequential has no repeated transformer block.*'module:0'"):
        model.sites("default")
    with torch.inference_mode(), model.trace(torch.ones(2, 8)):
        seen = model.site("module:0").save()
    assert torch.equal(seen, model.wrapped[0](torch.ones(2, 8)))


def test_wavlms_output_projection_is_no_site_and_the_attentions_output_is() -> None:
    model = made("wavlm-post")
    assert not any("out_proj" in site.path for site in model.sites())
    seen = traced(model, model.sites("blocks.0.hook_attn_out"), noise(1.0))
    assert seen["blocks.0.hook_attn_out"].shape == (1, 49, WIDTH)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_site_that_does_not_fire_is_an_error_that_names_it(layer: int) -> None:
    model = made("wavlm-post")
    path = f"wavlm.encoder.layers.{layer}.attention.out_proj"
    with pytest.raises(SiteError, match=rf"site 'module:{path}' did not fire"):
        traced(model, model.sites(f"module:{path}", "unembed.hook_out"), noise(1.0))
    with (
        pytest.raises(SiteError, match=r"1 of 1 sites did not fire"),
        site_hooks(model.wrapped, model.sites(f"module:{path}"), lambda site, value: None),
    ):
        model.wrapped(**model.features(noise(1.0)))


def test_decoders_and_text_towers_have_no_sites() -> None:
    assert all(".decoder." not in site.path for site in made("whisper-generate").sites())
    assert {site.path.split(".")[0] for site in made("clap").sites()} == {"audio_model"}


def test_a_conformer_whose_widths_are_all_equal_has_its_two_feed_forwards() -> None:
    config = transformers.Wav2Vec2BertConfig(
        hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4
    )
    names = [site.name for site in find_sites(transformers.Wav2Vec2BertModel(config).eval())]
    assert len(names) == len(set(names)) == LAYERS * 9


@pytest.mark.parametrize("adapters", [1, LAYERS, LAYERS + 1])
def test_an_adapter_is_not_taken_for_the_encoder(adapters: int) -> None:
    config = transformers.Wav2Vec2BertConfig(
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        add_adapter=True,
        num_adapter_layers=adapters,
        output_hidden_size=WIDTH,
        vocab_size=12,
    )
    module = transformers.Wav2Vec2BertForCTC(config).eval()
    sites = {site.name: site for site in find_sites(module)}
    assert sites["blocks.0.mlp.hook_post"].path.startswith("wav2vec2_bert.encoder.layers.0.")
    assert sites["unembed.hook_out"].geometry.kind == "unknown", "the adapter strides over the encoder's frames"


def test_a_convolutions_units_are_its_channels() -> None:
    model = made("whisper")
    (site,) = model.sites("module:encoder.conv1")
    seen = traced(model, (site,), noise(1.0))["module:encoder.conv1"]
    features = model.features(noise(1.0))["input_features"]
    assert site.width == WIDTH
    with torch.no_grad():
        assert torch.equal(seen, model.wrapped.encoder.conv1(features).transpose(1, 2))


@pytest.mark.parametrize("kind", ["WhisperModel", "WhisperForAudioClassification"])
def test_a_vocabulary_as_large_as_the_table_of_positions_hides_nothing(kind: str) -> None:
    config = whisper_config(vocab_size=100, max_source_positions=100)
    assert len(find_sites(getattr(transformers, kind)(config))) >= 5 * LAYERS


def test_a_module_that_returns_a_model_output_is_read_by_its_first_tensor() -> None:
    model = made("whisper")
    seen = traced(model, model.sites("module:encoder"), noise(1.0))
    assert seen["module:encoder"].shape == (1, 100, WIDTH)


@pytest.mark.parametrize("kind", ["Xcodec2", "NeuCodec"])
def test_of_a_codec_what_hears_is_meant_not_a_decoder_that_is_as_deep_as_the_config_says(kind: str) -> None:
    config = getattr(transformers, f"{kind}Config")(semantic_model_config={"num_hidden_layers": 3}, num_hidden_layers=2)
    with torch.device("meta"):
        codec = getattr(transformers, f"{kind}Model")(config)
    assert [block.path for block in find_blocks(codec)] == [f"semantic_encoder.encoder.layers.{i}" for i in range(3)]
