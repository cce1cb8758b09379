"""Language models and decoders as they read sound: held against forwards that this file runs itself, clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from and_nnsight import AudioModel, Dissection, dissect
from tests.reader_families import FAMILIES, HEADS, LAYERS, ReaderFamily, qwen2_audio, whisper_reader

RATE = 16_000
_NOISE = np.random.default_rng(0)
CLIPS = [0.1 * _NOISE.standard_normal(size).astype(np.float32) for size in (16_000, 11_000, 16_000, 19_500, 7_300)]
PROMPT = "Describe it."
K = 3
WHISPER_HEADS = 4


def activations(module: nn.Module, inputs: Mapping[str, Tensor], places: Mapping[str, tuple[str, str]]) -> Any:
    """What modules take or return in a forward, by hooks of torch's own: [position, unit] each."""
    caught: dict[str, Tensor] = {}

    def keep(name: str, value: Any) -> None:
        caught[name] = (value[0] if isinstance(value, tuple) else value)[0]

    handles = []
    for name, (path, side) in places.items():
        inside = module.get_submodule(path)
        if side == "input":
            handles.append(inside.register_forward_pre_hook(partial(_taken, keep, name)))
        else:
            handles.append(inside.register_forward_hook(partial(_given, keep, name)))
    with torch.no_grad():
        module(**inputs)
    for handle in handles:
        handle.remove()
    return caught


def _taken(keep: Any, name: str, _: nn.Module, args: Any) -> None:
    keep(name, args)


def _given(keep: Any, name: str, _: nn.Module, __: Any, output: Any) -> None:
    keep(name, output)


def places(family: ReaderFamily) -> dict[str, tuple[str, str]]:
    """Sites of the last block, by hand."""
    layer = f"{family.model}.layers.1"
    named = {
        "attn.hook_z": (f"{layer}.self_attn.o_proj", "input"),
        "hook_attn_out": (f"{layer}.self_attn", "output"),
        "mlp.hook_post": (f"{layer}.mlp.down_proj", "input"),
        "hook_mlp_out": (f"{layer}.mlp.down_proj", "output"),
        "hook_resid_post": (layer, "output"),
    }
    if family.gated:
        named |= {
            "mlp.hook_pre": (f"{layer}.mlp.gate_proj", "output"),
            "mlp.hook_pre_linear": (f"{layer}.mlp.up_proj", "output"),
        }
    return {f"blocks.1.{name}": place for name, place in named.items()}


def heads(values: Mapping[str, Tensor], site: str, count: int) -> dict[str, Tensor]:
    """What the heads that lie side by side in a site give: the norm of each one's part."""
    return {f"{site}|heads": values[site].unflatten(-1, (count, -1)).norm(dim=-1)}


def expect(found: Dissection, by_clip: Mapping[int, Mapping[str, Tensor]]) -> None:
    """The lists of a dissection are those of these activations [frame, unit], sorted here."""
    for site in found.sites:
        values = torch.stack([by_clip[clip][site].max(0).values for clip in sorted(by_clip)])
        frames = torch.stack([by_clip[clip][site].max(0).indices for clip in sorted(by_clip)])
        order = values.sort(dim=0, descending=True, stable=True).indices[:K]
        top = found[site].top
        torch.testing.assert_close(top.values, values.gather(0, order), atol=1e-5, rtol=1e-4)
        same = top.clips == order
        gaps = (values.gather(0, top.clips) - values.gather(0, order)).abs()
        assert bool((same | (gaps < 1e-5)).all()) and float(same.float().mean()) > 0.98, site
        there = frames.gather(0, top.clips)
        assert float((top.frames == there).float().mean()) > 0.98, site


def run(folder: Path, model: AudioModel, sites: Sequence[str], batch_size: int = 2, **options: Any) -> Dissection:
    data = options.pop("data", [(clip, RATE) for clip in CLIPS])
    return dissect(model, data, sites, k=K, batch_size=batch_size, out=folder, progress=False, **options)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_audio_tokens_equal_brute_force(tmp_path: Path, family: ReaderFamily) -> None:
    module, processor = family.build()
    model = AudioModel(module, part="language_model", processor=processor, prompt=f"{family.token}\n{PROMPT}")
    sites = places(family)
    chosen = [*sites, "blocks.1.attn.hook_z|heads"]
    found = run(tmp_path / "whole", model, chosen)
    audio = processor.tokenizer.convert_tokens_to_ids(family.token)
    expected = {}
    for number, clip in enumerate(CLIPS):
        inputs = processor(text=[f"{family.token}\n{PROMPT}"], audio=[clip], return_tensors="pt")
        inputs = {name: torch.as_tensor(value) for name, value in inputs.items()}
        of_sound = inputs["input_ids"][0] == audio
        expected[number] = {name: each[of_sound] for name, each in activations(module, inputs, sites).items()}
        expected[number] |= heads(expected[number], "blocks.1.attn.hook_z", HEADS)
    assert [site.width for site in model.sites("heads")] == [HEADS] * LAYERS
    expect(found, expected)
    one_by_one = run(tmp_path / "one", model, chosen, batch_size=1)
    for site in found.sites:
        assert torch.equal(found[site].top.clips, one_by_one[site].top.clips)
        torch.testing.assert_close(found[site].top.values, one_by_one[site].top.values, atol=1e-5, rtol=1e-4)
    geometry = model.sites()[0].geometry
    starts = geometry.times(np.arange(2 * family.group))[:, 0]
    np.testing.assert_allclose(starts, np.repeat([0.0, family.hop], family.group), atol=1e-9)
    manifest = found.manifest.model.to_json()
    assert (manifest["part"], manifest["tokens"]) == (model.part.name if model.part else "", "audio")
    assert PROMPT in manifest["prompt"]


def greedy(module: nn.Module, inputs: dict[str, Tensor], ids: str, end: int, most: int) -> list[int]:
    """An answer, by forwards without a cache."""
    written: list[int] = []
    for _ in range(most):
        with torch.no_grad():
            token = int(module(**inputs).logits[0, -1].argmax())
        if token == end and written:
            break
        written.append(token)
        if token == end:
            break
        inputs = {**inputs, ids: torch.cat([inputs[ids], torch.tensor([[token]])], 1)}
        if "attention_mask" in inputs and ids == "input_ids":
            inputs["attention_mask"] = torch.ones_like(inputs[ids])
    return written


def test_answers_and_prompts_of_a_language_model(tmp_path: Path) -> None:
    family = FAMILIES[0]
    module, processor = qwen2_audio()
    sites = {name: place for name, place in places(family).items() if "resid" in name or "post" in name}
    answering = AudioModel(module, part="language_model", processor=processor, tokens="answer", answer_tokens=4)
    asking = AudioModel(module, part="language_model", processor=processor, tokens="prompt")
    found = run(tmp_path / "answer", answering, list(sites))
    asked = run(tmp_path / "prompt", asking, list(sites))
    text = found.manifest.model.to_json()["prompt"]
    assert text.count("<|AUDIO|>") == 1 and "What do you hear in this sound?" in text
    of_answer, of_prompt = {}, {}
    for number, clip in enumerate(CLIPS):
        inputs = {name: torch.as_tensor(value) for name, value in processor(text=[text], audio=[clip]).items()}
        inputs = {name: value if value.ndim > 1 else value[None] for name, value in inputs.items()}
        written = greedy(module, inputs, "input_ids", processor.tokenizer.eos_token_id, 4)
        assert [token.id for token in found.clips[number].tokens or ()] == written
        of_sound = inputs["input_ids"][0] == 3
        of_prompt[number] = {name: each[~of_sound] for name, each in activations(module, inputs, sites).items()}
        whole = {**inputs, "input_ids": torch.cat([inputs["input_ids"], torch.tensor([written])], 1)}
        whole["attention_mask"] = torch.ones_like(whole["input_ids"])
        of_answer[number] = {name: each[-len(written) :] for name, each in activations(module, whole, sites).items()}
    expect(found, of_answer)
    expect(asked, of_prompt)
    best = found.unit(found.sites[0], 1).top[0]
    assert best.start is None and best.token == (found.clips[best.clip].tokens or [])[best.frame].text
    told = asked.unit(asked.sites[0], 1).top[0]
    assert told.token in text.replace("<|AUDIO|>", "") and found.clips[0].tokens and asked.clips[0].tokens is None


@pytest.mark.parametrize("given", [None, "caption"])
def test_decoder_of_an_encoder_that_hears(tmp_path: Path, given: str | None) -> None:
    module, processor = whisper_reader()
    model = AudioModel(
        module,
        part="decoder",
        processor=processor,
        answer=given,
        answer_tokens=5,
        feature_extractor=processor.feature_extractor,
    )
    names = ("attn.hook_z", "cross_attn.hook_z", "hook_cross_attn_out", "mlp.hook_pre", "mlp.hook_post")
    assert {f"blocks.1.{name}" for name in names} <= {site.name for site in model.sites()}
    layer = "model.decoder.layers.1"
    sites = {
        "blocks.1.attn.hook_z": (f"{layer}.self_attn.out_proj", "input"),
        "blocks.1.cross_attn.hook_z": (f"{layer}.encoder_attn.out_proj", "input"),
        "blocks.1.hook_cross_attn_out": (f"{layer}.encoder_attn", "output"),
        "blocks.1.mlp.hook_post": (f"{layer}.fc2", "input"),
    }
    captions = ["a dog barks", "a bell", "a dog barks", "what do you hear", "it"]
    data = [{"audio": (clip, RATE), "caption": text} for clip, text in zip(CLIPS, captions, strict=True)]
    of_heads = [site.name for site in model.sites("heads") if site.layer == 1]
    assert of_heads == ["blocks.1.attn.hook_z|heads", "blocks.1.cross_attn.hook_z|heads"]
    found = run(tmp_path / "found", model, [*sites, *of_heads], data=data)
    expected = {}
    for number, clip in enumerate(CLIPS):
        features = processor.feature_extractor([clip], sampling_rate=RATE, return_tensors="pt")["input_features"]
        inputs = {"input_features": features, "decoder_input_ids": torch.tensor([[2]])}
        written = processor.tokenizer(captions[number]).input_ids[:5]
        written = written if given else greedy(module, inputs, "decoder_input_ids", 1, 5)
        tokens = found.clips[number].tokens or []
        assert [token.id for token in tokens] == written
        inputs["decoder_input_ids"] = torch.tensor([[2, *written]])
        expected[number] = {name: each[1:] for name, each in activations(module, inputs, sites).items()}
        for z in ("blocks.1.attn.hook_z", "blocks.1.cross_attn.hook_z"):
            expected[number] |= heads(expected[number], z, WHISPER_HEADS)
    expect(found, expected)
    assert found.unit(found.sites[1], 0).top[0].token is not None
    if given:
        assert "".join(token.text for token in found.clips[1].tokens or ()) == "a bell"


def test_shards_exemplars_and_values_of_answers(tmp_path: Path) -> None:
    """What a run can do beside lists, it can do of tokens: parts are equal to the whole, file by file."""
    module, processor = whisper_reader()
    model = AudioModel(
        module, part="decoder", processor=processor, answer_tokens=4, feature_extractor=processor.feature_extractor
    )
    site = "blocks.1.mlp.hook_post"
    whole = run(tmp_path / "whole", model, [site], keep_activations=True)
    for part in ("0/2", "1/2"):
        run(tmp_path / "shards", model, [site], keep_activations=True, shard=part)
    for name in ("clips.parquet", f"sites/{site}.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "shards" / name).read_bytes()
    values = whole.activations(site)
    assert values is not None and values.shape == (len(CLIPS), 64)
    again = run(tmp_path / "whole", model, [site], keep_activations=True, keep_exemplars=[(site, 5)])
    for exemplar in again.unit(site, 5).top:
        curve = exemplar.curve()
        assert len(curve) == len(again.clips[exemplar.clip].tokens or ()) and np.isnan(curve.start).all()
        assert curve.activation[exemplar.frame] == pytest.approx(exemplar.activation, abs=1e-5)


def test_a_padded_batch_in_a_trace_is_right() -> None:
    module, processor = qwen2_audio()
    model = AudioModel(module, part="language_model", processor=processor)
    with model.trace([(clip, RATE) for clip in CLIPS[:2]]):
        both = model.site("blocks.1.hook_resid_post").save()
    lengths = []
    for row, clip in enumerate(CLIPS[:2]):
        features = model.features((clip, RATE))
        with model.trace((clip, RATE)):
            alone = model.site("blocks.1.hook_resid_post").save()
        lengths.append(features["input_ids"].shape[1])
        torch.testing.assert_close(both[row, : lengths[-1]], alone[0], atol=1e-5, rtol=1e-4)
    assert both.shape[1] == lengths[0] > lengths[1]  # the second was padded
