"""Parts that read: which positions are frames, when they are, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from and_nnsight import AudioModel, Dissection, dissect, keep_exemplars
from and_nnsight.cli._card import print_card
from and_nnsight.explain import card
from and_nnsight.maps.errors import MapError
from and_nnsight.maps.hearing import differentiable_front_end
from and_nnsight.model.checkpoint import ModelError
from and_nnsight.model.readers.seconds import counted_seconds, is_in_order
from and_nnsight.sites.geometry import Geometry, Grouped, Regular
from tests.reader_families import qwen2_audio, tokenizer, whisper_reader
from tests.real_whisper import real_whisper

RATE = 16_000
SITE = "blocks.1.mlp.hook_post"


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


def whisper_decoder(**options: Any) -> AudioModel:
    module, both = whisper_reader()
    extractor = both.feature_extractor
    return AudioModel(module, part="decoder", processor=both.tokenizer, feature_extractor=extractor, **options)


@pytest.mark.parametrize(
    ("count", "window", "expected"),
    [
        (lambda samples: samples // 640, None, Regular(hop=0.04, span=0.04)),
        (lambda samples: -(-samples // 4_800) * 3, None, Grouped(hop=0.3, span=0.3, group=3)),
        (lambda samples: 375, 480_000, Regular(hop=0.08, span=0.08)),  # a window, padded
        (lambda samples: 7, None, None),
        (lambda samples: int(samples**0.5), None, None),
    ],
)
def test_seconds_are_counted(count: Any, window: int | None, expected: Geometry | None) -> None:
    assert counted_seconds(count, RATE, window) == expected


def test_tokens_that_are_not_in_order_of_time_get_no_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    module, processor = qwen2_audio()
    model = AudioModel(module, part="language_model", processor=processor)
    reader: Any = model.reader
    geometry = reader.geometry
    assert geometry == Regular(hop=0.04, span=0.04)
    tower, attentions = reader._attentions()
    assert len(attentions) == 2
    ordered = reader._embeddings
    assert is_in_order(geometry, ordered, tower, attentions, 2 * RATE, RATE)
    assert not is_in_order(geometry, lambda clips: ordered(clips).flip(1), tower, attentions, 2 * RATE, RATE)
    other = AudioModel(module, part="language_model", processor=processor)
    made = type(reader)._embeddings
    monkeypatch.setattr(type(reader), "_embeddings", lambda self, clips: made(self, clips).flip(1))
    with pytest.warns(UserWarning, match="counted without seconds"):
        assert other.reader is not None and other.sites()[0].geometry == Geometry()


def test_a_checkpoint_is_opened_again_as_it_read(tmp_path: Path) -> None:
    module, both = whisper_reader()
    saved: tuple[Any, ...] = (module, both.tokenizer, both.feature_extractor)
    for part in saved:
        part.save_pretrained(tmp_path / "model")
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(3):
        soundfile.write(sounds / f"{number}.wav", noise(12_000, number), RATE)
    name = str(tmp_path / "model")
    options: dict[str, Any] = {"part": "decoder", "prompt": "a dog", "progress": False, "k": 2}
    found = dissect(name, str(sounds), [SITE], out=tmp_path / "run", **options)
    manifest = found.manifest.model
    assert (manifest.part, manifest.get("prompt"), manifest.get("tokens")) == ("decoder", "a dog", "answer")
    assert found.clips[0].tokens
    kept = keep_exemplars(found, [(SITE, 3)], progress=False)  # by the name in the manifest
    assert kept.curves and not kept.failures
    best = Dissection.load(tmp_path / "run").unit(SITE, 3).top[0]
    assert best.curve().activation[best.frame] == pytest.approx(best.activation, abs=1e-5)
    with pytest.raises(ValueError, match="prompt is a dog there, a bell here"):
        dissect(name, str(sounds), [SITE], out=tmp_path / "run", **{**options, "prompt": "a bell"})


def test_the_beginning_of_a_decoders_texts(tmp_path: Path) -> None:
    model = whisper_decoder(tokens="prompt", prompt="a dog")
    clips = [(noise(9_000, seed), RATE) for seed in range(3)]
    found = dissect(model, clips, [SITE], k=3, out=tmp_path / "run", progress=False)
    tokens = model.reader.tokenizer if model.reader is not None else None
    assert tokens is not None and found.clips[0].tokens is None
    ids = [2, *tokens("a dog").input_ids]
    assert found.geometry(SITE).to_json()["texts"] == tuple(tokens.decode([each]) for each in ids)
    features = model.features(clips[0])["input_features"]
    caught: list[torch.Tensor] = []
    hook = model.wrapped.model.decoder.layers[1].fc2.register_forward_pre_hook(
        lambda _, args: caught.append(args[0][0])
    )
    with torch.no_grad():
        model.wrapped(input_features=features, decoder_input_ids=torch.tensor([ids]))
    hook.remove()
    first = [found.unit(SITE, unit) for unit in range(8)]
    expected = caught[0].max(0)
    for unit in first:
        one = next(each for each in unit.top if each.clip == 0)  # all three clips are kept
        assert one.activation == pytest.approx(float(expected.values[unit.index]), abs=1e-5)
        assert one.frame == int(expected.indices[unit.index]) and one.start is None
        assert one.token == tokens.decode([ids[one.frame]])


def test_a_card_shows_tokens_as_text(tmp_path: Path) -> None:
    from rich.console import Console

    model = whisper_decoder(answer="caption", answer_tokens=4)
    clips = [{"audio": (noise(9_000, seed), RATE), "caption": "[b]<i>"} for seed in range(3)]
    found = dissect(model, clips, [SITE], k=2, out=tmp_path / "run", progress=False)
    console = Console(record=True, width=120)
    print_card(console, found, card(found, SITE, 1))
    text = console.export_text()
    tokens = found.clips[0].tokens or []
    assert any(repr(token.text) in text for token in tokens) and "token" in text
    assert "while it reads a sound" in text
    html = found.unit(SITE, 1)._repr_html_()
    assert html is not None and "at the token" in html and "<i>" not in html


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "sound"}, "tokens must be one of"),
        ({"answer": "spoken"}, "answer must be one of"),
        ({"answer": "caption", "tokens": "audio"}, "is of tokens='answer'"),
        ({"answer_tokens": 0}, "answer_tokens must be a whole number"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        whisper_decoder(**options)


def test_what_cannot_read_says_so(tmp_path: Path) -> None:
    module, _ = whisper_reader()
    with pytest.raises(ModelError, match="pass processor="):
        _ = AudioModel(module, part="decoder").featuriser
    with pytest.raises(ModelError, match="no position of a decoder stands for a stretch of sound"):
        _ = whisper_decoder(tokens="audio").featuriser
    hearing, processor = qwen2_audio()
    with pytest.raises(ModelError, match="2 times"):
        _ = AudioModel(hearing, part="language_model", processor=processor, prompt="<|AUDIO|><|AUDIO|>").featuriser
    with pytest.raises(ModelError, match="is shown sound by its processor"):
        _ = AudioModel(hearing, part="language_model", processor=tokenizer(["<p>", "<e>"], "<e>")).featuriser
    with pytest.raises(ValueError, match="these are of a part that reads"):
        dissect(AudioModel(hearing, feature_extractor=processor.feature_extractor), [(noise(9_000), RATE)],
                prompt="hm", out=tmp_path / "a", progress=False)  # fmt: skip
    with pytest.raises(ValueError, match="opened to read in another way"):
        dissect(whisper_decoder(), [(noise(9_000), RATE)], prompt="hm", out=tmp_path / "b", progress=False)
    with pytest.raises(ValueError, match="a server is given sound"):
        dissect("x", [(noise(9_000), RATE)], tokens="answer", out=tmp_path / "c", remote="local")
    with pytest.raises(ValueError, match="has no caption to be its answer"):
        dissect(whisper_decoder(answer="caption"), [(noise(9_000), RATE)], out=tmp_path / "d", progress=False)
    with pytest.raises(MapError, match="a part that reads"):
        differentiable_front_end(whisper_decoder())


@pytest.mark.slow
def test_real_whisper_writes_what_transformers_decodes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = real_whisper(tmp_path_factory)
    model = AudioModel(str(folder), part="decoder", dispatch=True, answer_tokens=8)
    time = np.arange(2 * RATE) / RATE
    bell = (np.sin(2 * np.pi * 880 * time) * np.exp(-3 * time)).astype(np.float32)
    found = dissect(model, [(bell, RATE)], ["blocks.3.mlp.hook_post"], k=1, out=tmp_path / "run", progress=False)
    reader: Any = model.reader
    assert reader.tokenizer.decode(reader.beginning) == "<|startoftranscript|><|notimestamps|>"
    features = model.features((bell, RATE))["input_features"]
    ids = torch.tensor([reader.beginning])
    for token in found.clips[0].tokens or ():
        with torch.no_grad():
            logits = model.wrapped(input_features=features, decoder_input_ids=ids).logits[0, -1]
        if ids.shape[1] == 2:
            logits[model.wrapped.generation_config.begin_suppress_tokens] = -torch.inf
        assert int(logits.argmax()) == token.id
        ids = torch.cat([ids, torch.tensor([[token.id]])], 1)
    assert ids.shape[1] > 2
