"""The plugin `beats` of the role "model"."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from and_nnsight import AudioModel


class Beats:
    """BEATs checkpoints (.pt as published, or a folder with safetensors): beats:PATH."""

    def open(
        self, argument: str, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> AudioModel:
        """The model in a checkpoint, in eval mode on `device` (None: a GPU if there is one).

        Raises CheckpointError, a ValueError, for what is no BEATs checkpoint.
        """
        import torch
        from and_nnsight import AudioModel

        from .checkpoint import load

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        module = load(argument).to(device=device, dtype=dtype)
        module.name_or_path = f"beats:{argument}"  # what the manifest of a dissection calls it
        return AudioModel(module, feature_extractor=module.audio_spec().extractor)

    def adapt(self, value: Any) -> AudioModel | None:
        """A model around a BEATs of this package, or one of SpeechBrain's, whose parameters it shares; else None."""
        # Whoever holds one of either kind has imported its module.
        ours, theirs = (sys.modules.get(name) for name in ("and_nnsight_beats.model", "speechbrain.lobes.models.beats"))
        if ours is not None and isinstance(value, ours.BEATs):
            module = value
        elif theirs is not None and isinstance(value, theirs.BEATs):
            from .checkpoint import share

            module = share(value)
        else:
            return None
        from and_nnsight import AudioModel

        return AudioModel(module)
