"""Captions by audio language models of the transformers library: Qwen2-Audio, Qwen2.5-Omni, Audio Flamingo 3, …"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ...roles import Clip, Failure
from ..audio_chat import AudioChat
from ..batching import in_batches
from ..reasoning import without_thinking

PROMPT = "Describe the sounds in this audio in one or two sentences: what is heard, and how it sounds."
"""What is asked of each clip. It names no class of sound, so that it suggests none."""


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
        self.model = AudioChat(repo, device=device, dtype=dtype)
        self.name, self.sampling_rate = self.model.name, self.model.sampling_rate
        self.settings = {"prompt": prompt, "max_tokens": max_tokens, "dtype": None if dtype is None else str(dtype)}
        self._prompt, self._max_tokens, self._batch_size = prompt, max_tokens, batch_size

    def caption(self, clips: Sequence[Clip]) -> Iterator[str | Failure]:
        """One description a clip, decoded greedily. A batch that fails is tried again clip by clip."""
        for answer in in_batches(self._describe, clips, self._batch_size):
            if answer == "":
                yield Failure("the model answered nothing")
            else:
                yield answer if isinstance(answer, Failure) else without_thinking(answer)

    def _describe(self, clips: Sequence[Clip]) -> list[str]:
        return self.model.answers([(clip.samples, self._prompt) for clip in clips], self._max_tokens)
