"""Hooks that must fire: TransformerLens runs on in silence where one does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transformer_lens.model_bridge import TransformerBridge

FwdHook = tuple[str | Callable[[str], bool], Callable[..., Any]]


class HookError(RuntimeError):
    """A hook that was asked for and never fired."""


def run_with_hooks(bridge: TransformerBridge, input: Any, fwd_hooks: Sequence[FwdHook], **options: Any) -> Any:
    """`bridge.run_with_hooks`, which raises HookError if one of the hooks never fired.

    A hook beyond `stop_at_layer`, or at a module that the model's code passes by, is such a hook. Raises KeyError, as
    TransformerLens does, for a name that does not exist.
    """
    fired = [0] * len(fwd_hooks)

    def counting(index: int, function: Callable[..., Any]) -> Callable[..., Any]:
        def hook_fn(tensor: Any, hook: Any) -> Any:
            fired[index] += 1
            return function(tensor, hook=hook)

        return hook_fn

    counted: list[Any] = [(name, counting(index, function)) for index, (name, function) in enumerate(fwd_hooks)]
    output = bridge.run_with_hooks(input, fwd_hooks=counted, **options)
    silent = [str(name) for (name, _), count in zip(fwd_hooks, fired, strict=True) if not count]
    if silent:
        stopped = options.get("stop_at_layer")
        why = "" if stopped is None else f" before layer {stopped}, where the run stopped"
        raise HookError(f"{len(silent)} of {len(fwd_hooks)} hooks never fired{why}: {', '.join(silent[:5])}")
    return output
