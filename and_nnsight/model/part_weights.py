"""A part of a checkpoint, without the rest: transformers' own loading, of a model that was cut down to the part.

Names in a checkpoint are not always those of the modules, and transformers knows how the whole model's are to be
changed. So it is the whole model that is loaded; what is not the part was taken out of it before there were weights,
and what the files hold for that is never read.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def only_part(kind: type[Any], path: str) -> type[Any]:
    """A class as a transformers model class, whose instances hold nothing but the part at a path."""

    from transformers import PreTrainedModel

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        kind.__init__(self, *args, **kwargs)
        keep_only(self, path)

    def tie_weights(self: Any, *args: Any, **kwargs: Any) -> None:
        """What is tied to embeddings is not there."""

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return PreTrainedModel.from_pretrained.__func__(cls, *args, **kwargs)  # not the class's own: what else it loads

    return type(
        kind.__name__,
        (kind,),
        {
            "__init__": __init__,
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "tie_weights": tie_weights,
            "from_pretrained": classmethod(from_pretrained),
            "_keys_to_ignore_on_load_unexpected": [".*"],  # all the rest, on purpose
        },
    )


def keep_only(module: nn.Module, path: str) -> None:
    """Take everything out of a module but the part at a path, and what is on the way to it."""
    first, _, further = path.partition(".")
    for registry in (module._parameters, module._buffers):
        registry.clear()
    for name in [name for name in module._modules if name != first]:
        del module._modules[name]
    if getattr(module, "all_tied_weights_keys", None):
        vars(module)["all_tied_weights_keys"] = {}
    if further:
        keep_only(module.get_submodule(first), further)
