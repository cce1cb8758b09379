"""The plugin of the role "model": `dissect(bridge, …)`, and `transformer-lens:MODEL` by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .bridged import BridgedModel


class TransformerLensModels:
    """Any acoustic transformer through the hooks of a TransformerBridge; takes in bridges."""

    def open(self, argument: str, *, device: str | torch.device | None, dtype: torch.dtype | None) -> BridgedModel:
        """A hub id or local folder, loaded as an AudioModel and bridged in place."""
        import torch
        from and_nnsight import AudioModel

        from .bridged import BridgedModel
        from .convert import to_transformer_lens

        options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = AudioModel(argument, dispatch=True, device=device, **options)
        return BridgedModel(to_transformer_lens(model, copy=False))

    def adapt(self, value: Any) -> BridgedModel | None:
        """A model around a bridge; None for anything else."""
        if "transformer_lens" not in sys.modules:
            return None
        from transformer_lens.model_bridge import TransformerBridge

        if not isinstance(value, TransformerBridge):
            return None
        from .bridged import BridgedModel

        return BridgedModel(value)
