"""A small AST, what the plain model gives, and a clip in every form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from and_nnsight import AudioModel


def logits(model: AudioModel, audio: Any, **options: Any) -> Tensor:
    with torch.no_grad(), model.trace(audio, **options):
        out = model.output.logits.save()
    return out
