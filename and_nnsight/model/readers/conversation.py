"""Processors that take sound in a conversation alone (Voxtral's, which is mistral-common's), and not beside a text."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import soundfile
import torch

from ..features import Features
from .features import ReaderFeaturiser, stacked

_NAMES_OF_SOUND = ("audio", "audios")


def converses(processor: Any) -> bool:
    """Whether a processor is shown sound in a conversation alone: called on text, it takes none."""
    taken = inspect.signature(type(processor).__call__).parameters
    return "text" in taken and not any(name in taken for name in _NAMES_OF_SOUND)


@dataclass(frozen=True, eq=False)
class ConversationFeaturiser(ReaderFeaturiser):
    """A featuriser that says each clip to the model, as a user's message with the prompt around it.

    audio_token  stands in `text` where the sound goes
    """

    audio_token: str = ""

    def _processed(self, clips: Sequence[np.ndarray]) -> Features:
        made = [self._of_clip(clip) for clip in clips]
        lengths = {features["input_ids"].shape[1] for features in made}
        if len(lengths) > 1:
            raise ValueError(
                f"clips of texts of {min(lengths)} to {max(lengths)} tokens are no one batch for a "
                f"{self.made_by}: run clips of one length together"
            )
        return stacked(made)

    def _of_clip(self, clip: np.ndarray) -> Features:
        before, after = self.text.split(self.audio_token)
        content = [_text(before), {"type": "audio", "base64": self._encoded(clip)}, _text(after)]
        conversation = [{"role": "user", "content": [part for part in content if part.get("text") != ""]}]
        encoded = self.processor.apply_chat_template(conversation, tokenize=True, return_dict=True, return_tensors="pt")
        return {name: torch.as_tensor(value) for name, value in encoded.items() if value is not None}

    def _encoded(self, clip: np.ndarray) -> str:
        """A WAV file of the samples as they are, in base64."""
        file = BytesIO()
        soundfile.write(file, clip, self.sampling_rate, format="WAV", subtype="FLOAT")
        return base64.b64encode(file.getvalue()).decode("ascii")


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
