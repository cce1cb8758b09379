"""Audio language models of the transformers library, asked about audio: Qwen2-Audio, Audio Flamingo 3, Voxtral, …

What the captioner and the listener share: loading, prompts of text and audio through the model's own chat template,
answers as text, and as the probabilities of the first token of the answer.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import soundfile
import torch
from jaxtyping import Float32
from torch import Tensor

from ...plugins import PluginError
from ...wording import first_line
from .special_tokens import decoded, harmless, special_tokens

Waveform = Float32[np.ndarray, " _"]
Prompt = Sequence[str | Waveform]
"""A question of one turn: texts and waveforms (mono, at the model's `sampling_rate`) in their order."""

_PADDED = {"text_kwargs": {"padding": True}}  # of the text only: audio encoders have paddings of their own


class AudioChat:
    """Any audio-to-text model that transformers can load and that chats: a hub id or a local folder."""

    def __init__(
        self, repo: str, *, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
    ) -> None:
        """Load the processor; the weights are loaded when the first question is asked.

        device  default: a GPU if there is one
        dtype   default: that of the checkpoint

        Raises PluginError if there is no such model, or it takes no audio, or has no chat template.
        """
        from transformers import AutoConfig, AutoProcessor

        self.name = f"transformers:{repo}"
        self._repo, self._dtype = repo, dtype
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:  # never asked for at the keyboard: a checkpoint's own code is not run
            self._config = AutoConfig.from_pretrained(repo, trust_remote_code=False)
            self.processor: Any = AutoProcessor.from_pretrained(repo, trust_remote_code=False)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise PluginError(f"{repo!r} cannot be loaded as an audio language model: {first_line(error)}") from error
        extractor = next((part for part in _extractors(self.processor) if part is not None), None)
        if extractor is None:
            raise PluginError(f"{repo!r} ({self._config.model_type}) takes no audio: name an audio language model")
        self.tokenizer: Any = self.processor.tokenizer
        if not (getattr(self.processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)):
            raise PluginError(f"{repo!r} ({self._config.model_type}) has no chat template, so it cannot be asked")
        self.tokenizer.padding_side = "left"  # generation goes on at the right
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.sampling_rate = int(getattr(extractor, "sampling_rate", 16_000))

    def answers(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        """What the model says to each prompt, decoded greedily. Raises whatever the model raises."""
        inputs, model = self.inputs(prompts), self.model
        inputs = inputs.to(self._device, model.dtype)
        tokens = self._generate(inputs, max_new_tokens=max_tokens)
        prompt = inputs["input_ids"]
        if not model.config.is_encoder_decoder and torch.equal(tokens[:, : prompt.shape[1]], prompt):
            tokens = tokens[:, prompt.shape[1] :]
        return [decoded(self.tokenizer, row).strip() for row in tokens.tolist()]

    def first_token(self, prompts: Sequence[Prompt]) -> Float32[Tensor, "prompt token"]:
        """The logarithm of the probability of every token as the first of the answer to each prompt."""
        inputs = self.inputs(prompts).to(self._device, self.model.dtype)
        answers = self._generate(inputs, max_new_tokens=1, output_logits=True, return_dict_in_generate=True)
        return answers.logits[0].float().log_softmax(-1).cpu()

    def inputs(self, prompts: Sequence[Prompt]) -> Any:
        """The model's inputs for prompts, padded on the left, through its own chat template."""
        if not self.takes_parts:
            return self._inputs_of_text(prompts)
        return self.processor.apply_chat_template(
            [[{"role": "user", "content": [self._part(part) for part in prompt]}] for prompt in prompts],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=dict(_PADDED),
            add_generation_prompt=True,
        )

    def _inputs_of_text(self, prompts: Sequence[Prompt]) -> Any:
        """Inputs through a chat template of plain text, in which the audio is a word."""
        token = str(getattr(self.processor, "audio_token", None))
        words = ["".join(part if isinstance(part, str) else token for part in prompt) for prompt in prompts]
        plain = [[{"role": "user", "content": text}] for text in words]
        text = self.processor.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
        audio = [part for prompt in prompts for part in prompt if not isinstance(part, str)]
        return self.processor(text=text, audio=audio, return_tensors="pt", **_PADDED)

    def harmless(self, text: str) -> str:
        """Text of others, in which nothing ends a turn or stands for audio."""
        return harmless(text, self._special)

    @cached_property
    def takes_parts(self) -> bool:
        """Whether the chat template makes a place for the audio out of an audio part."""
        token = getattr(self.processor, "audio_token", None)
        if token is None or _wants_files(self.tokenizer):
            return True
        content = [{"type": "audio", "audio": np.zeros(1, np.float32)}, {"type": "text", "text": "What is that?"}]
        try:
            text = self.processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
        except Exception:  # a template may trip over a list where it expects text
            return False
        return token in text

    @cached_property
    def model(self) -> Any:
        """The model with its weights. Raises PluginError where they cannot be loaded."""
        import transformers

        classes = [
            getattr(transformers, name)
            for name in ("AutoModelForMultimodalLM", "AutoModelForSeq2SeqLM", "AutoModelForCausalLM")
        ]
        known = [auto for auto in classes if type(self._config) in auto._model_mapping]
        if not known:
            raise PluginError(
                f"{self._repo!r} ({self._config.model_type}) is no model that transformers {transformers.__version__} "
                "generates text with"
            )
        try:
            model = known[0].from_pretrained(self._repo, dtype=self._dtype or "auto", trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise PluginError(f"the weights of {self._repo!r} cannot be loaded: {first_line(error)}") from error
        model = getattr(model, "thinker", model)  # an omni model's other half only speaks
        return model.to(self._device).eval()

    @cached_property
    def _special(self) -> Any:
        return special_tokens(self.tokenizer, [getattr(self.processor, "audio_token", None)])

    @torch.inference_mode()
    def _generate(self, inputs: Any, **options: Any) -> Any:
        return self.model.generate(
            **inputs,
            do_sample=False,
            num_beams=1,
            temperature=None,  # what a checkpoint says of sampling
            top_p=None,
            top_k=None,
            pad_token_id=self.tokenizer.pad_token_id,
            **options,
        )

    def _part(self, part: str | Waveform) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        if not _wants_files(self.tokenizer):
            return {"type": "audio", "audio": part}
        file = io.BytesIO()
        soundfile.write(file, part, self.sampling_rate, format="WAV", subtype="FLOAT")
        return {"type": "audio", "base64": base64.b64encode(file.getvalue()).decode()}


def _extractors(processor: Any) -> Iterator[Any]:
    for name in ("feature_extractor", "audio_processor"):
        yield getattr(processor, name, None)


def _wants_files(tokenizer: Any) -> bool:
    """Mistral's own tokenizer (Voxtral) reads audio from files or base64, not from arrays."""
    return type(tokenizer).__name__.startswith("Mistral")
