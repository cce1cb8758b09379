"""Voxtral: its processor is shown sound in a conversation, and its language model is read like any other."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from and_nnsight import AudioModel, dissect
from and_nnsight.model.checkpoint import ModelError
from and_nnsight.model.readers.conversation import converses
from and_nnsight.sites.geometry import Regular
from tests.reader_families import qwen2_audio, voxtral

pytest.importorskip("mistral_common")
RATE = 16_000
SITE = "blocks.1.mlp.hook_post"
NOISE = np.random.default_rng(0)
CLIPS = [(0.1 * NOISE.standard_normal(size)).astype(np.float32) for size in (16_000, 9_000)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return voxtral(tmp_path_factory.mktemp("voxtral"))


def by_hand(module: Any, processor: Any, clip: np.ndarray, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, and what the last block's neurons are at each, of a clip as transformers' guide shows it."""
    file = BytesIO()
    soundfile.write(file, clip, RATE, format="WAV", subtype="FLOAT")
    sound = {"type": "audio", "base64": base64.b64encode(file.getvalue()).decode()}
    message = {"role": "user", "content": [sound, {"type": "text", "text": prompt}]}
    inputs = processor.apply_chat_template([message])
    caught: list[torch.Tensor] = []
    down = module.get_submodule("model.language_model.layers.1.mlp.down_proj")
    handle = down.register_forward_pre_hook(lambda _, args: caught.append(args[0][0]))
    with torch.no_grad():
        module(**inputs)
    handle.remove()
    return inputs["input_ids"][0], caught[0]


def test_what_voxtral_hears_is_read(made: tuple[Any, Any], tmp_path: Path) -> None:
    module, processor = made
    model = AudioModel(module, part="language_model", processor=processor, prompt="What?")
    assert model.reader is not None and model.reader.geometry == Regular(hop=0.08, span=0.08)
    found = dissect(model, [(clip, RATE) for clip in CLIPS], [SITE], k=2, out=tmp_path / "run", progress=False)
    assert found.manifest.model.get("prompt") == "[AUDIO]What?"
    for number, clip in enumerate(CLIPS):
        ids, neurons = by_hand(module, processor, clip, "What?")
        own = -(-len(clip) // round(0.08 * RATE))  # the rest of the 30 s is padding
        heard = neurons[ids == 24][:own]
        assert (ids == 24).sum() == 375
        for index in range(12):
            one = next(each for each in found.unit(SITE, index).top if each.clip == number)
            assert one.activation == pytest.approx(float(heard[:, index].max()), abs=1e-5)
            assert one.start == pytest.approx(0.08 * int(heard[:, index].argmax()))


def test_the_prompt_has_a_place_for_the_sound(made: tuple[Any, Any]) -> None:
    module, processor = made
    asked = AudioModel(module, part="language_model", processor=processor, prompt="Hear [AUDIO] now", tokens="prompt")
    assert asked.reader is not None
    texts = asked.reader.geometry.to_json()["texts"]
    assert "".join(texts) == "<s>[INST]Hear [BEGIN_AUDIO] now[/INST]"
    with pytest.raises(ModelError, match="2 times"):
        _ = AudioModel(module, part="language_model", processor=processor, prompt="[AUDIO][AUDIO]").featuriser
    assert converses(processor) and not converses(qwen2_audio()[1])


def test_what_voxtral_answers(made: tuple[Any, Any], tmp_path: Path) -> None:
    module, processor = made
    model = AudioModel(module, part="language_model", processor=processor, tokens="answer", answer_tokens=3)
    found = dissect(model, [(clip, RATE) for clip in CLIPS], [SITE], k=1, out=tmp_path / "run", progress=False)
    features = model.reader.featuriser([CLIPS[0]]) if model.reader is not None else {}
    with torch.no_grad():
        first = int(module(**features).logits[0, -1].argmax())
    assert (found.clips[0].tokens or [])[0].id == first
    assert found.unit(SITE, 0).top[0].token is not None
