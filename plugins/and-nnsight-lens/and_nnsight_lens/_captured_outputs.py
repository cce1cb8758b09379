"""Hidden states and attentions that a bridged model is asked for: once a layer, as from the model without a bridge.

transformers takes them by hooks that it sets on the first such forward, going through the tree of modules. In a bridged
model the parts of a block stand twice there, and would get two hooks each: so they are set before it is bridged.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.utils.output_capturing import maybe_install_capturing_hooks

_SET = "_and_nnsight_lens_captures"
_MARK = "_output_capturing_hooks_installed"  # transformers' own


def capture_once(model: nn.Module) -> None:
    """Set transformers' hooks, and note on the model which they are, so that `undo_captures` can take them away."""
    if not isinstance(model, PreTrainedModel):
        return
    before = {module: (set(module._forward_hooks), _MARK in vars(module)) for module in model.modules()}
    maybe_install_capturing_hooks(model)
    hooks = [(module, key) for module, (keys, _) in before.items() for key in module._forward_hooks if key not in keys]
    marks = [module for module, (_, marked) in before.items() if _MARK in vars(module) and not marked]
    setattr(model, _SET, (hooks, marks))


def undo_captures(model: nn.Module) -> None:
    """Undo `capture_once`."""
    noted: Any = vars(model).pop(_SET, ((), ()))
    hooks, marks = noted
    for module, key in hooks:
        module._forward_hooks.pop(key, None)
    for module in marks:
        vars(module).pop(_MARK, None)
