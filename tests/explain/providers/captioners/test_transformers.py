"""The captioner that asks an audio language model, on tiny random checkpoints of two families."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from and_nnsight.explain.providers.captioners.transformers import PROMPT, AudioLanguageModel
from and_nnsight.explain.roles import Clip, Failure, Span
from and_nnsight.plugins import PluginError, make
from tests.explain.providers.checkpoints import (
    PLAIN_TEMPLATE,
    save_audio_flamingo,
    save_qwen2_audio,
    text_settings,
    tokenizer,
)
from tests.sounds_for_tests import noise


def clips(*lengths: float) -> list[Clip]:
    return [Clip(Span(number), None, {}, noise(seconds, seed=number), 16_000) for number, seconds in enumerate(lengths)]


@pytest.fixture(scope="module", params=["qwen2_audio", "audioflamingo3"])
def checkpoint(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return save_qwen2_audio(folder) if request.param == "qwen2_audio" else save_audio_flamingo(folder)


def test_every_clip_is_answered_in_order(checkpoint):
    model = make("captioner", f"transformers:{checkpoint}", device="cpu", batch_size=2)
    model._max_tokens = 6
    answers = list(model.caption(clips(1.0, 0.4, 1.7)))
    assert model.sampling_rate == 16_000
    assert len(answers) == 3
    assert all(isinstance(answer, str) and answer == answer.strip() for answer in answers)
    alone = [answer for clip in clips(1.0, 0.4, 1.7) for answer in model.caption([clip])]
    assert answers == alone  # padding in a batch changes nothing


def test_the_answer_holds_nothing_of_the_question(checkpoint):
    model = AudioLanguageModel(str(checkpoint), device="cpu", max_tokens=4)
    for answer in model.caption(clips(0.5, 1.0)):
        assert "Describe" not in str(answer)
        assert "assistant" not in str(answer)


def test_the_audio_reaches_the_model(checkpoint):
    model = AudioLanguageModel(str(checkpoint), device="cpu", max_tokens=4)
    chat = model.model
    inputs = chat.inputs([(clip.samples, PROMPT) for clip in clips(1.0, 0.4)])
    assert inputs["input_features"].shape[0] == 2
    token = chat.tokenizer.convert_tokens_to_ids(chat.processor.audio_token)
    counts = (inputs["input_ids"] == token).sum(1).tolist()
    assert counts[0] > counts[1] > 0  # a longer clip takes more places
    assert (inputs["attention_mask"][:, -1] == 1).all()  # padded on the left
    text = chat.tokenizer.decode(inputs["input_ids"][0].tolist())
    assert text.index(chat.processor.audio_token) < text.index(PROMPT)


def test_a_template_of_plain_text_gets_the_audio_as_a_word(tmp_path):
    model = AudioLanguageModel(str(save_qwen2_audio(tmp_path, PLAIN_TEMPLATE)), device="cpu", max_tokens=4)
    assert not model.model.takes_parts
    assert len(list(model.caption(clips(1.0, 0.4)))) == 2


def test_a_clip_that_breaks_the_model_fails_alone(checkpoint, monkeypatch):
    model = AudioLanguageModel(str(checkpoint), device="cpu", max_tokens=4)
    generate = type(model.model.model).generate

    def generate_or_fail(self, **inputs):
        if inputs["input_ids"].shape[0] > 1 or inputs["input_features"].abs().sum() == poison:
            raise RuntimeError("out of memory\nat some address")
        return generate(self, **inputs)

    three = clips(0.5, 1.0, 1.5)
    poison = model.model.inputs([(three[1].samples, PROMPT)])["input_features"].abs().sum()
    monkeypatch.setattr(type(model.model.model), "generate", generate_or_fail)
    answers = list(model.caption(three))
    assert answers[1] == Failure("RuntimeError: out of memory")
    assert [isinstance(answer, str) for answer in answers] == [True, False, True]


def test_an_answer_of_nothing_is_a_failure(checkpoint, monkeypatch):
    model = AudioLanguageModel(str(checkpoint), device="cpu")
    monkeypatch.setattr(model.model, "answers", lambda prompts, most: ["" for _ in prompts])
    assert list(model.caption(clips(0.5))) == [Failure("the model answered nothing")]


def test_the_weights_wait_for_the_first_clip(checkpoint):
    model = AudioLanguageModel(str(checkpoint), device="cpu")
    assert "model" not in vars(model.model)
    assert list(model.caption([])) == []
    assert "model" not in vars(model.model)


def test_the_prompt_is_part_of_the_settings(checkpoint):
    plain, other = (AudioLanguageModel(str(checkpoint), device="cpu", prompt=p) for p in (PROMPT, "What is that?"))
    assert plain.settings["prompt"] == PROMPT
    assert plain.settings != other.settings


def test_what_is_no_audio_language_model_is_refused(tmp_path):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    with pytest.raises(PluginError, match="cannot be loaded as an audio language model"):
        AudioLanguageModel(str(tmp_path / "nowhere"))
    words = tokenizer()
    Qwen2ForCausalLM(Qwen2Config(**text_settings(len(words)))).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(PluginError, match="takes no audio"):
        AudioLanguageModel(str(tmp_path))


def test_half_precision_takes_its_features_along(checkpoint):
    model = AudioLanguageModel(str(checkpoint), device="cpu", dtype="bfloat16", max_tokens=4)
    assert len(list(model.caption(clips(0.5, 1.0)))) == 2
    assert model.model.model.dtype == torch.bfloat16
    assert model.settings["dtype"] == "bfloat16"
