"""The transformers module inside of what people hold it in, or the reason why there is none that could be read."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .checkpoint import ModelError

_HELD_AS_MODULE = {"DataParallel", "DistributedDataParallel", "AveragedModel", "DeepSpeedEngine"}
_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
# PEFT's kinds that act outside the modules, by the name of the kind.
_OUTSIDE = {"XLORA", "POLY"}


def bare(module: nn.Module) -> nn.Module:
    """The module that a wrapper around the whole model runs, with the same values; any other module as it is.

    torch.compile, DataParallel and its kin, and PEFT are seen through. Raises ModelError, naming what to call, for
    weights that are cut up over processes (FSDP), for TorchScript, and for adapters that are not in the modules.
    """
    while True:
        _refuse(module)
        inner = _inside(module)
        if inner is None:
            return module
        module = inner


def _refuse(module: nn.Module) -> None:
    name = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"{name} is TorchScript, whose modules cannot be watched while they run: give the module that was passed "
            "to torch.jit.trace or torch.jit.script"
        )
    for child in module.modules():
        if sharded := _kinds(child, "torch.distributed") & _SHARDED:
            raise ModelError(
                f"the weights of this {name} are cut up over processes ({min(sharded)}): gather them with "
                "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
                "options=StateDictOptions(full_state_dict=True)) and load_state_dict() them into a plain module"
            )


def _inside(module: nn.Module) -> nn.Module | None:
    held: Any = module._modules
    kinds = _kinds(module)
    if isinstance(inner := held.get("_orig_mod"), nn.Module):
        return inner
    if kinds & _HELD_AS_MODULE and isinstance(inner := held.get("module"), nn.Module):
        return inner
    if not (peft := _kinds(module, "peft")):
        return None
    if "BaseTuner" in peft:  # a PeftModel's base_model
        return held["model"]
    return _adapted(module) if peft & {"PeftModel", "PeftMixedModel"} else None


def _adapted(model: Any) -> nn.Module:
    """The module that PEFT's adapters were put into."""
    for name in model.active_adapters:
        config = model.peft_config[name]
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        outside = getattr(config, "is_prompt_learning", False) or getattr(config, "is_adaption_prompt", False)
        if outside or kind in _OUTSIDE:
            raise ModelError(
                f"a PEFT adapter of the kind {kind} changes what the model is called with, not its modules: call "
                "get_base_model() on it to have the model without the adapter"
            )
    return model.get_base_model()


def _kinds(module: nn.Module, package: str = "") -> set[str]:
    """Names of a module's classes and their bases, of those that a package defines."""
    return {kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith(package)}
