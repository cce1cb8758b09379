"""Audio language models of the transformers library: Qwen2-Audio, Qwen2.5-Omni, Audio Flamingo 3, Granite Speech, …"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import soundfile
import torch

from ...plugins import PluginError
from ..roles import Clip, Failure

PROMPT = "Describe the sounds in this audio in one or two sentences: what is heard, and how it sounds."
"""What is asked of each clip. It names no class of sound, so that it suggests none."""

_PADDED = {"text_kwargs": {"padding": True}}  # of the text only: audio encoders have paddings of their own


class AudioLanguageModel:
    """Any audio-to-text model that transformers can load and that chats: a hub id or a local folder."""

    def __init__(
        self,
        repo: str,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        batch_size: int = 8,
        prompt: str = PROMPT,
        max_tokens: int = 128,
    ) -> None:
        """Load the processor; the weights are loaded when the first clip is captioned.

        device      default: a GPU if there is one
        dtype       default: that of the checkpoint
        batch_size  clips in one run of the model
        prompt      what is asked of each clip
        max_tokens  the longest answer

        Raises PluginError if there is no such model, or it takes no audio, or has no chat template.
        """
        from transformers import AutoConfig, AutoProcessor

        self.name = f"transformers:{repo}"
        self.settings = {"prompt": prompt, "max_tokens": max_tokens, "dtype": None if dtype is None else str(dtype)}
        self._repo, self._prompt, self._max_tokens, self._batch_size = repo, prompt, max_tokens, batch_size
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._dtype = dtype
        try:
            self._config = AutoConfig.from_pretrained(repo)
            self._processor: Any = AutoProcessor.from_pretrained(repo)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise PluginError(f"{repo!r} cannot be loaded as an audio language model: {_first_line(error)}") from error
        listener = next((part for part in _listeners(self._processor) if part is not None), None)
        if listener is None:
            raise PluginError(f"{repo!r} ({self._config.model_type}) takes no audio: name an audio language model")
        self._tokenizer: Any = self._processor.tokenizer
        if not (getattr(self._processor, "chat_template", None) or getattr(self._tokenizer, "chat_template", None)):
            raise PluginError(f"{repo!r} ({self._config.model_type}) has no chat template, so it cannot be asked")
        self._tokenizer.padding_side = "left"  # generation goes on at the right
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.sampling_rate = int(getattr(listener, "sampling_rate", 16_000))

    def caption(self, clips: Sequence[Clip]) -> Iterator[str | Failure]:
        """One description a clip, decoded greedily. A batch that fails is tried again clip by clip."""
        for start in range(0, len(clips), self._batch_size):
            batch = clips[start : start + self._batch_size]
            try:
                answers: list[str | Failure] = [*self._answers(batch)]
            except PluginError:
                raise
            except Exception as error:
                answers = [Failure(_said(error))] if len(batch) == 1 else [self._alone(clip) for clip in batch]
            for answer in answers:
                yield Failure("the model answered nothing") if answer == "" else answer

    def _alone(self, clip: Clip) -> str | Failure:
        try:
            return self._answers([clip])[0]
        except Exception as error:
            return Failure(_said(error))

    def _answers(self, clips: Sequence[Clip]) -> list[str]:
        inputs = self._inputs([clip.samples for clip in clips])
        model = self._model
        inputs = inputs.to(self._device, model.dtype)
        with torch.inference_mode():
            tokens = model.generate(
                **inputs,
                max_new_tokens=self._max_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,  # what a checkpoint says of sampling
                top_p=None,
                top_k=None,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        asked = inputs["input_ids"]
        if not model.config.is_encoder_decoder and torch.equal(tokens[:, : asked.shape[1]], asked):
            tokens = tokens[:, asked.shape[1] :]
        return [text.strip() for text in self._tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    def _inputs(self, waveforms: Sequence[np.ndarray]) -> Any:
        """The prompt with the audio before it, through the model's own chat template."""
        token = getattr(self._processor, "audio_token", None)
        conversations = [
            [{"role": "user", "content": [self._part(samples), {"type": "text", "text": self._prompt}]}]
            for samples in waveforms
        ]
        options: dict[str, Any] = {"add_generation_prompt": True}
        if not self._takes_parts:  # a template of plain text, in which the audio is a word
            plain = [[{"role": "user", "content": f"{token}{self._prompt}"}] for _ in waveforms]
            text = self._processor.apply_chat_template(plain, tokenize=False, **options)
            return self._processor(text=text, audio=list(waveforms), return_tensors="pt", **_PADDED)
        return self._processor.apply_chat_template(
            conversations,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=dict(_PADDED),
            **options,
        )

    def _part(self, samples: np.ndarray) -> dict[str, Any]:
        if not _wants_files(self._tokenizer):
            return {"type": "audio", "audio": samples}
        file = io.BytesIO()
        soundfile.write(file, samples, self.sampling_rate, format="WAV", subtype="FLOAT")
        return {"type": "audio", "base64": base64.b64encode(file.getvalue()).decode()}

    @cached_property
    def _takes_parts(self) -> bool:
        """Whether the chat template makes a place for the audio out of an audio part."""
        token = getattr(self._processor, "audio_token", None)
        if token is None or _wants_files(self._tokenizer):
            return True
        content = [{"type": "audio", "audio": np.zeros(1, np.float32)}, {"type": "text", "text": self._prompt}]
        try:
            text = self._processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
        except Exception:  # a template may trip over a list where it expects text
            return False
        return token in text

    @cached_property
    def _model(self) -> Any:
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
            model = known[0].from_pretrained(self._repo, dtype=self._dtype or "auto")
        except (OSError, ValueError) as error:
            raise PluginError(f"the weights of {self._repo!r} cannot be loaded: {_first_line(error)}") from error
        model = getattr(model, "thinker", model)  # an omni model's other half only speaks
        return model.to(self._device).eval()


def _listeners(processor: Any) -> Iterator[Any]:
    for name in ("feature_extractor", "audio_processor"):
        yield getattr(processor, name, None)


def _wants_files(tokenizer: Any) -> bool:
    """Mistral's own tokenizer (Voxtral) reads audio from files or base64, not from arrays."""
    return type(tokenizer).__name__.startswith("Mistral")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"
