"""`clap:REPO`: a CLAP checkpoint as a listener."""

from __future__ import annotations

import torch

from ..encoders.clap import Clap
from .encoder import EncoderListener


class ClapListener(EncoderListener):
    """Hears by CLAP: how near a clip and a statement lie in its space of audio and text."""

    def __init__(self, model: str, *, device: str | torch.device | None = None, batch_size: int | None = None) -> None:
        """`model` is a hub id (laion/clap-htsat-unfused) or a local folder; see `encoders.clap.Clap`."""
        super().__init__(Clap(model, device=device, batch_size=batch_size))
