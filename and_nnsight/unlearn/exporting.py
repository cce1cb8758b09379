"""Export a model without some units, or with them amplified: a checkpoint that plain transformers loads."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..kernels.surroundings import plain_torch
from ..model.audio_model import AudioModel
from ..model.devices import to_device
from ..model.features import probe_features
from ..model.inputs import audio_forward
from ..model.restoring import eval_mode
from ..sites.heads import OUTPUT_PROJECTIONS, Heads
from ..sites.site import MODULE_PREFIX, Site
from ..sites.wrappers import through, unadapted
from ..storage import make_folder, write_json, writing
from ..wording import counted
from .ablation import ablating, model_sites
from .interventions import Intervention
from .unit_set import UnitChoice

RECORD = "unlearned.json"
TOLERANCE = 1e-5
"""How far the checkpoint's outputs may be from the ablated model's, relative to the largest (in float32)."""


class ExportError(ValueError):
    """Units that no checkpoint can be without, exactly; the message says why."""


class Scaled(NamedTuple):
    """Rows (or columns) of a parameter that are multiplied by the gain in the checkpoint; by zero, to be without."""

    parameter: str
    axis: int
    units: tuple[int, ...]


@plain_torch()
def export(model: AudioModel, choice: UnitChoice, folder: str | Path, *, gain: float = 0.0) -> list[Scaled]:
    """Save a checkpoint in which the units are always zero, with the model's feature extractor; returns what is zeroed.

    `from_pretrained` of the model's own class loads it, and no code of ours is needed. With another `gain` the units
    are not zero but so many times what they were, as with `ablate(..., "amplify", gain=gain)`. What is zeroed (or
    multiplied), by site:

    blocks.i.mlp.hook_pre, hook_mlp_out, hook_attn_out, unembed.hook_out, module:PATH of a linear layer
        the units' rows of the weight of the linear layer whose output the site is, and their biases
    blocks.i.mlp.hook_post, blocks.i.attn.hook_z (and the heads in it)
        the units' columns of the weight of the linear layer that reads the site: what comes of them is zero whatever
        is made of their own input. That layer's bias belongs to others, and stays

    Sites that no one linear layer produces (blocks.i.hook_resid_post, other modules) are refused, and so are weights
    that several layers share. Before the checkpoint is in its place, it is loaded and compared with the ablated
    model on a second of noise: outputs must agree to 1e-5 of the largest.

    Raises ExportError where it cannot be done, saying why; FileExistsError for a folder that holds something; and what
    `ablate` raises for units that the model does not have.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds something already: name a new folder")
    if model.edits:
        raise ExportError("the model has edits, which no checkpoint can hold: export the original with all the units")
    intervention = Intervention("zero") if gain == 0 else Intervention("amplify", gain)
    if not choice.count:
        raise ExportError("no unit is chosen: the checkpoint would be the model itself")
    sites = model_sites(model, [choice])
    module = model.wrapped
    _check_exportable(module)
    scaled = [part for name, site in sites.items() for part in _scaled(module, site, tuple(choice.units[name]))]
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(folder):
            module.save_pretrained(temporary, state_dict=_with_gain(module, scaled, gain))
            model.featuriser.extractor.save_pretrained(temporary)
        write_json(temporary / RECORD, _record(model, choice, scaled, gain))
        _compare(model, choice, intervention, temporary)
        if folder.exists():
            folder.rmdir()
        make_folder(folder.parent)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return scaled


def _check_exportable(module: nn.Module) -> None:
    """Raise ExportError for a module that no checkpoint holds as it is."""
    if not hasattr(module, "save_pretrained"):
        raise ExportError(f"{type(module).__name__} is no transformers model: it has no save_pretrained")
    wrapper = next((child for child in module.modules() if through(child)[1] is not child), None)
    if wrapper is not None:
        raise ExportError(
            f"a {type(wrapper).__name__} stands in the model for another module, and no checkpoint holds it: export "
            "the model as it was before"
        )
    if any(unadapted(child) is not child for child in module.modules()):
        raise ExportError("the model has a PEFT adapter in it: export what merge_and_unload() makes of the PeftModel")


def _scaled(module: nn.Module, site: Site, units: tuple[int, ...]) -> list[Scaled]:
    """What of the module's parameters a site's units are proportional to. Raises ExportError if nothing is, exactly."""
    if isinstance(site.dictionary, Heads):
        heads = torch.zeros(site.width, dtype=torch.bool).index_fill_(0, torch.tensor(units), True)
        return _scaled(module, site.tensor, tuple(site.dictionary.spread(heads).nonzero()[:, 0].tolist()))
    if site.dictionary is not None:
        raise ExportError(
            f"{site.name}: latents of a dictionary, which no weights of the model are; ablate() changes them in a trace"
        )
    if site.name.endswith("hook_resid_post"):
        raise ExportError(
            f"{site.name}: a sum of the residual stream and what a block adds to it, which no weights make zero; "
            "export units of hook_attn_out, mlp.hook_pre, mlp.hook_post or hook_mlp_out, or ablate() in a trace"
        )
    reads = site.side == "input"
    path, linear = _linear(module, site)
    _refuse_shared(module, path, linear, site)
    weight = Scaled(f"{path}.weight", 1 if reads else 0, units)
    return [weight] if reads or linear.bias is None else [weight, Scaled(f"{path}.bias", 0, units)]


def _linear(module: nn.Module, site: Site) -> tuple[str, nn.Linear]:
    """The linear layer whose output, or input, the site is; that it truly is shows when outputs are compared."""
    owner = module.get_submodule(site.path)
    if isinstance(owner, nn.Linear):
        return site.path, owner
    if site.name.startswith(MODULE_PREFIX):
        raise ExportError(
            f"{site.name}: a {type(owner).__name__}, not a linear layer whose weights could be zeroed; ablate() does "
            "it in a trace"
        )
    # An attention ends in its output projection, a class head in its last layer.
    path = _last_linear(owner, site.width, named=site.name.endswith("hook_attn_out"))
    if path is None:
        raise ExportError(f"{site.name}: no linear layer in {site.path!r} ends it; ablate() does it in a trace")
    linear = owner.get_submodule(path)
    assert isinstance(linear, nn.Linear)
    return f"{site.path}.{path}", linear


def _last_linear(owner: nn.Module, width: int, *, named: bool) -> str | None:
    """Path of the last linear layer of this width in a module; `named`: of those called as output projections are."""
    paths = [
        path for path, child in owner.named_modules() if isinstance(child, nn.Linear) and child.out_features == width
    ]
    if named:
        paths = [path for path in paths if path.rpartition(".")[2] in OUTPUT_PROJECTIONS]
    return paths[-1] if paths else None


def _refuse_shared(module: nn.Module, path: str, linear: nn.Linear, site: Site) -> None:
    if type(linear) is not nn.Linear and type(linear).forward is not nn.Linear.forward:
        raise ExportError(f"{site.name}: {path} is a {type(linear).__name__}, no plain linear layer; ablate() does it")
    own = {f"{path}.{name}": parameter for name, parameter in linear.named_parameters()}
    if set(own) - {f"{path}.weight", f"{path}.bias"} or not linear.weight.is_floating_point():
        raise ExportError(f"{site.name}: the weight of {path} is computed or quantised, so its rows cannot be zeroed")
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if name not in own and any(parameter is mine for mine in own.values()):
            raise ExportError(f"{site.name}: {path} shares its weight with {name}, which would lose the units too")


def _with_gain(module: nn.Module, scaled: list[Scaled], gain: float) -> dict[str, Tensor]:
    """The module's weights with the units' multiplied; only the parameters that change are copied."""
    state: dict[str, Tensor] = dict(module.state_dict())
    for name, axis, units in scaled:
        places = torch.tensor(units, device=state[name].device)
        if gain == 0:
            state[name] = state[name].clone().index_fill_(axis, places, 0)  # also what is not finite
        else:
            state[name] = state[name].clone().index_copy_(axis, places, state[name].index_select(axis, places) * gain)
    return state


def _compare(model: AudioModel, choice: UnitChoice, intervention: Intervention, folder: Path) -> None:
    """Raise ExportError unless the checkpoint gives what the model gives with the units ablated."""
    module = model.wrapped
    parameter = next(module.parameters())
    exported: Any = type(module).from_pretrained(folder, dtype=parameter.dtype).to(parameter.device).eval()
    features = to_device(probe_features(model.featuriser, level=0.1), parameter.device)
    with torch.no_grad(), eval_mode(module):
        with ablating(model, choice, intervention.how, gain=intervention.gain):
            expected = _first_tensor(model.plain_forward(features))
        actual = _first_tensor(audio_forward(exported)(**model.model_inputs(features)))
    size = max(1.0, float(expected.float().abs().max()))
    epsilon = TOLERANCE if parameter.dtype == torch.float32 else float(torch.finfo(parameter.dtype).eps)
    difference = float((actual.float() - expected.float()).abs().max())
    if not difference <= epsilon * size:
        raise ExportError(
            f"the checkpoint with {counted(choice.count, 'unit')} ablated differs from the ablated model by "
            f"{difference:.3g} (outputs go up to {size:.3g}): {', '.join(choice.units)} cannot be "
            "exported exactly; ablate() does it in a trace"
        )


def _first_tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output
    return next(_first_tensor(value) for value in values if value is not None)


def _record(model: AudioModel, choice: UnitChoice, scaled: list[Scaled], gain: float) -> dict[str, Any]:
    return {
        "model": model.repo_id or type(model.wrapped).__name__,
        "revision": model.revision,
        "choice": choice.to_json(),
        "gain": gain,
        "scaled": [{"parameter": name, "axis": axis, "units": list(units)} for name, axis, units in scaled],
    }
