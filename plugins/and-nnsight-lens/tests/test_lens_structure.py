"""The adapters have the shape that TransformerLens's guide asks for, and a config without leftovers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bridges import CONFORMERS, POST_NORM, SUPPORTED, audio_model, bridged, heard
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.generalized_components import (
    AttentionBridge,
    BlockBridge,
    LinearBridge,
    MLPBridge,
    NormalizationBridge,
)

from and_nnsight_lens import to_transformer_lens
from and_nnsight_lens.convert import _audio_part
from and_nnsight_lens.registration import adapter_class, adapters

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def made(architecture: str, **options: Any) -> ArchitectureAdapter:
    """An adapter from a config alone, as TransformerLens's unit tests make it: no model, no weights."""
    sizes = {"d_model": 32, "d_head": 8, "n_layers": 2, "n_ctx": 128, "n_heads": 4, "d_vocab": 256, "d_mlp": 64}
    config = TransformerBridgeConfig(**sizes, architecture=architecture)
    for name, value in options.items():
        setattr(config, name, value)
    return adapter_class(architecture)(config)


def tree(mapping: Any) -> dict[str, tuple[str, str | None]]:
    """Kind and path of every component, by its own name."""
    found: dict[str, tuple[str, str | None]] = {}
    for name, component in mapping.items():
        found[name] = (type(component).__name__, component.name)
        found |= {f"{name}.{inside}": what for inside, what in tree(component.submodules or {}).items()}
    return found


@pytest.mark.parametrize("architecture", sorted(adapters()))
def test_a_config_is_enough_for_a_mapping(architecture: str) -> None:
    adapter = made(architecture)
    assert type(adapter).__name__.endswith("ArchitectureAdapter")
    assert adapter.component_mapping is not None
    blocks = adapter.component_mapping["blocks"]
    assert isinstance(blocks, BlockBridge)
    kinds = {"ln1": NormalizationBridge, "ln2": NormalizationBridge, "attn": AttentionBridge, "mlp": MLPBridge}
    assert kinds.keys() <= blocks.submodules.keys()
    assert all(isinstance(blocks.submodules[name], kind) for name, kind in kinds.items())
    assert blocks.submodules["attn"].submodules.keys() == {"q", "k", "v", "o"}
    assert blocks.submodules["mlp"].submodules.keys() == {"in", "out"}
    for part in (blocks.submodules["attn"], blocks.submodules["mlp"]):
        assert all(isinstance(linear, LinearBridge) for linear in part.submodules.values())
    assert (adapter.cfg.n_ctx, adapter.cfg.d_vocab) == (0, -1), "there are no tokens without a model that has some"


BARE = ["ast-bare", "whisper-encoder", "hubert-post", "wav2vec2-pre", "wavlm-pre", "unispeech-sat"]


@pytest.mark.parametrize("name", BARE)
def test_that_mapping_is_the_bare_model_s(name: str) -> None:
    model = _audio_part(audio_model(name).wrapped)
    stable = bool(getattr(model.config, "do_stable_layer_norm", False))
    adapter = made(type(model).__name__, do_stable_layer_norm=stable)
    before = tree(adapter.component_mapping), dict(adapter.component_mapping["blocks"].hook_aliases)
    adapter.prepare_model(model)
    after = tree(adapter.component_mapping), dict(adapter.component_mapping["blocks"].hook_aliases)
    assert after == before


def test_a_model_that_is_nested_in_another() -> None:
    adapter = made("Wav2Vec2ForCTC")
    assert tree(adapter.component_mapping)["blocks"][1] == "encoder.layers"
    adapter.prepare_model(audio_model("wav2vec2-ctc").wrapped)
    found = tree(adapter.component_mapping)
    assert found["blocks"][1] == "wav2vec2.encoder.layers"
    assert found["unembed"] == ("UnembeddingBridge", "lm_head")
    assert adapter.cfg.d_vocab == 12


HEADS = {"ast": 5, "whisper-classify": 5, "wav2vec2-ctc": 12, "hubert-pre": 5, "wav2vec2-bert": 5}
POSITIONS = {"ast": 102, "whisper": 100, "clap": 256, "qwen2": 100, "voxtral": 100, "audio": 100}
POSITIONAL = {
    "ast": "standard", "whisper": "standard", "qwen2": "standard", "voxtral": "standard", "audio": "standard",
    "clap": "relative_positional_bias",
}  # fmt: skip
POSITIONAL |= dict.fromkeys(CONFORMERS, "relative_positional_bias")


@pytest.mark.parametrize("name", SUPPORTED)
def test_sizes_are_those_of_what_is_bridged(name: str) -> None:
    bridge = bridged(name)
    cfg, last = bridge.cfg, bridge.blocks[-1]
    assert cfg.n_layers == len(bridge.blocks)
    assert cfg.d_mlp == last.mlp.submodules["in"].original_component.out_features
    assert cfg.d_model == last.mlp.submodules["in"].original_component.in_features
    assert cfg.n_ctx == POSITIONS.get(name.partition("-")[0], 0)
    sound, rest = heard(name)
    queries = f"blocks.{cfg.n_layers - 1}.attn.hook_q"
    seen = bridge.run_with_cache(sound, names_filter=queries, **rest)[1][queries]
    assert (cfg.n_heads, cfg.d_head) == seen.shape[-2:]
    assert cfg.d_head * cfg.n_heads == cfg.d_model
    assert not (cfg.tie_word_embeddings or cfg.tokenizer_prepends_bos or cfg.default_prepend_bos)
    assert cfg.eps == last.ln1.original_component.eps
    assert cfg.positional_embedding_type == POSITIONAL.get(name, POSITIONAL.get(name.partition("-")[0], "conv"))
    assert cfg.post_embedding_ln == (name in POST_NORM)
    head = getattr(bridge, "unembed", None)
    assert cfg.d_vocab == cfg.d_vocab_out == (-1 if head is None else head.original_component.out_features)
    assert cfg.d_vocab == HEADS.get(name, cfg.d_vocab)


def test_sizes_of_whisper_s_encoder_are_not_its_decoder_s() -> None:
    import transformers
    from tests.families import whisper_config

    config = whisper_config(encoder_ffn_dim=48, decoder_ffn_dim=96, encoder_attention_heads=2, decoder_layers=3)
    cfg = to_transformer_lens(transformers.WhisperModel(config)).cfg
    assert (cfg.d_mlp, cfg.n_heads, cfg.d_head, cfg.n_layers) == (48, 2, 16, 2)


def test_sizes_of_clap_are_its_last_stage_s() -> None:
    from tests.families import FAMILIES

    config: Any = FAMILIES["clap-audio"].build().config
    config.num_attention_heads = [4, 2]
    cfg = to_transformer_lens(type(FAMILIES["clap-audio"].build())(config)).cfg
    assert (cfg.n_heads, cfg.d_head, cfg.d_model) == (2, 16, 32)


def test_a_rotary_conformer() -> None:
    import transformers
    from tests.families import FAMILIES

    config: Any = FAMILIES["wav2vec2-conformer"].build().config
    config.position_embeddings_type = "rotary"
    bridge = to_transformer_lens(transformers.Wav2Vec2ConformerModel(config))
    assert bridge.cfg.positional_embedding_type == "rotary"
    assert not [name for name in bridge.hook_dict if "hook_rot" in name]  # which would never fire


@pytest.mark.parametrize("name", SUPPORTED)
def test_hidden_states_and_attentions_come_once_a_layer(name: str) -> None:
    model = audio_model(name)
    sound, rest = heard(name)
    given = {model.main_input: sound, **rest, "output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        expected = _audio_part(model.wrapped)(**given)
        bridge = bridged(name)
        bridge(sound, **rest)  # so that not only the first forward is right
        found = bridge.original_model(**given)
    for kind in ("hidden_states", "attentions"):
        for one, other in zip(getattr(found, kind), getattr(expected, kind), strict=True):
            assert torch.allclose(one, other, atol=1e-6)
