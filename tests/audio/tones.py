"""A tone, and the values that hold one."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from tests.damaged import sound

RATE = 16000
TONE = sound(0.5, RATE)


class Decoder:
    """What `datasets` 4 and later give for a decoded Audio value, as far as it is used here."""

    def __init__(self, data: torch.Tensor, sample_rate: int):
        self.samples = SimpleNamespace(data=data, sample_rate=sample_rate)

    def get_all_samples(self):
        return self.samples
