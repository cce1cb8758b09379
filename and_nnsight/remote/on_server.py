"""What runs on the server: a job's clips through the model, reduced there, so that only a few values a unit come home.

This file travels as source text. It may use torch, and of ours only what travels too: `and_nnsight.kernels`
and `and_nnsight.portable`. No decorators, no classes with generated methods; arrays go up as bytes, so that neither
Python's nor numpy's version matters.
"""

from __future__ import annotations

from typing import Any

import torch

from ..kernels.latents import frames_that_count, latent_parts
from ..kernels.moments import dyadic_nodes
from ..kernels.pooling import pool_frames
from ..kernels.topk import as_candidates, best_clips, border_ties
from ..portable import as_inputs, featurise, renamed

_UNITS = 1 << 14
"""Of so many units at a time the best clips are looked for: sorting takes several times the values' memory."""


def run_job(model: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Run a job's groups of clips through the model and keep each unit's best and worst clips, and its moments.

    `job` holds: sites (`SiteHandle`s in forward order), groups (see `payloads`), extractor, rate, options, extras,
    names (of features, as the model takes them), k, pooling, stop (whether the model may stop after the last site),
    gather: "trace" (reduce while the model runs) or "cache" (let nnsight keep the sites, reduce after), positions (of
    each row in the stream), left_out (positions between them without a clip) and encoders (packed by
    `encoders.pack_encoders`, by the names of the sites whose units are latents).
    Clips are counted by their row in the job; the answer is plain tensors, numbers and one string.
    """
    values, frames, rows, nonfinite = [], [], [], []
    dtypes: set[str] = set()
    job = {**job, "encoders": _encoders(job["encoders"])}
    for group in job["groups"]:
        features = _features(job, group)
        masks = [_mask(mask) for mask in group["masks"]]
        wanted = [masks[index] for index in group["mask_of_site"]]
        with torch.no_grad():
            pooled = _gathered(model, job, features, wanted, dtypes)
        values.append(torch.cat([part[0] for part in pooled], 1))
        frames.append(torch.cat([part[1] for part in pooled], 1))
        nonfinite.append(torch.stack([part[2] for part in pooled]))
        rows += group["rows"]
    state = _best(torch.cat(values), torch.cat(frames), rows, job["k"])
    state |= {"clips": len(rows), "dtype": ", ".join(sorted(dtypes)), "nonfinite": torch.stack(nonfinite).sum(0).cpu()}
    return {**state, **_moments(torch.cat(values), [job["positions"][row] for row in rows], job["left_out"])}


def _gathered(
    model: Any, job: dict[str, Any], features: dict[str, torch.Tensor], masks: list[torch.Tensor], dtypes: set[str]
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    if job["gather"] == "trace":
        return _in_trace(model, job, features, masks, dtypes)
    # Beside the model a cache holds the model's own tensors, which it may go on writing to; a sandbox is sent copies.
    return (_from_copies if job["stop"] else _from_cache)(model, job, features, masks, dtypes)


def _from_copies(
    model: Any, job: dict[str, Any], features: dict[str, torch.Tensor], masks: list[torch.Tensor], dtypes: set[str]
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    sites, copies = job["sites"], []
    with model.trace(features) as tracer:
        for site in sites:
            copies.append(site.folded(site.envoy.output if site.side == "output" else site.envoy.input).clone())
        tracer.stop()
    return [
        _pooled(site, copy, mask, job, dtypes)
        for site, copy, mask in zip(sites, copies, masks)  # noqa: B905  # a server's Python may have no strict=
    ]


def _in_trace(
    model: Any, job: dict[str, Any], features: dict[str, torch.Tensor], masks: list[torch.Tensor], dtypes: set[str]
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    sites, stop = job["sites"], job["stop"]
    pooled = []
    with model.trace(features) as tracer:
        for site, mask in zip(sites, masks):  # noqa: B905  # a server's Python may have no strict=
            value = site.folded(site.envoy.output if site.side == "output" else site.envoy.input)
            pooled.append(_pooled(site, value, mask, job, dtypes))
        if stop:  # in a sandbox a stop would leave the next trace of the job waiting for ever
            tracer.stop()
    return pooled


def _from_cache(
    model: Any, job: dict[str, Any], features: dict[str, torch.Tensor], masks: list[torch.Tensor], dtypes: set[str]
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """One way only: a sandbox sends each value that a trace reads back to the model's process, and no cached one."""
    sites = job["sites"]
    of_outputs = [site.envoy for site in sites if site.side == "output"]
    of_inputs = [site.envoy for site in sites if site.side == "input"]
    with model.trace() as tracer:
        with tracer.invoke(features):
            outputs = tracer.cache(modules=of_outputs, device=None, include_inputs=False)
        with tracer.invoke():  # one of its own: a sandbox takes one cache an invoke
            inputs = tracer.cache(modules=of_inputs, device=None, include_output=False, include_inputs=True)
    pooled = []
    for site, mask in zip(sites, masks):  # noqa: B905  # a server's Python may have no strict=
        path = site.envoy.path
        value = site.folded(outputs[path].output if site.side == "output" else inputs[path].input)
        pooled.append(_pooled(site, value, mask, job, dtypes))
    return pooled


def _pooled(
    site: Any, value: torch.Tensor, mask: torch.Tensor, job: dict[str, Any], dtypes: set[str]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dtypes.add(str(value.dtype).replace("torch.", ""))
    value = site.units(value)
    activations = value[:, None] if value.ndim == 2 else value.flatten(1, -2)
    if tuple(activations.shape[:2]) != tuple(mask.shape):
        raise ValueError(
            f"site {site.name!r} has {tuple(activations.shape[:2])} clips and frames here, {tuple(mask.shape)} at the "
            "client: their versions of transformers, or of the checkpoint, differ"
        )
    activations, mask, encoder = activations.detach(), mask.to(activations.device), job["encoders"].get(site.name)
    if encoder is None:
        return pool_frames(activations, mask, job["pooling"])
    return _pooled_latents(encoder, activations, mask, job["pooling"])


def _pooled_latents(
    encoder: dict[str, Any], activations: torch.Tensor, mask: torch.Tensor, how: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A dictionary's latents, each part pooled before the next is made."""
    frames = frames_that_count(mask)
    activations, mask = activations[:, :frames], mask[:, :frames]
    pooled = []
    for _, latents in latent_parts(activations.flatten(0, 1), _placed(encoder, activations.device)):
        pooled.append(pool_frames(latents.unflatten(0, activations.shape[:2]), mask, how))
    values, places, nonfinite = ([part[index] for part in pooled] for index in range(3))
    return torch.cat(values, 1), torch.cat(places, 1), torch.stack(nonfinite).sum()


def _placed(encoder: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """An encoder on the device of a site; it stays there for the groups to come."""
    if encoder["encoder"].device != device:
        for of in (encoder, encoder["numbers"]):
            of.update({name: value.to(device) for name, value in of.items() if isinstance(value, torch.Tensor)})
    return encoder


def _encoders(packed: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Encoders as `kernels.latents` takes them; one that several sites share is made once."""
    made: dict[int, dict[str, Any]] = {}
    for each in packed.values():
        if id(each) in made:
            continue
        tensors = {name: _array(array).float() for name, array in each["tensors"].items()}
        weights, input_bias = tensors.pop("encoder"), tensors.pop("input_bias", None)
        if each["by_columns"]:
            weights = weights.T
        numbers = {**each["numbers"], **tensors}
        made[id(each)] = {**each["settings"], "encoder": weights, "input_bias": input_bias, "numbers": numbers}
    return {name: made[id(each)] for name, each in packed.items()}


def _features(job: dict[str, Any], group: dict[str, Any]) -> dict[str, torch.Tensor]:
    if "features" in group:
        features = {name: _array(packed) for name, packed in group["features"].items()}
    else:
        samples = _array(group["samples"])
        if samples.dtype == torch.int16:
            samples = samples.float() / 32768
        waveforms = [clip.numpy() for clip in samples.split(group["lengths"])]
        features = featurise(job["extractor"], waveforms, job["rate"], job["options"])
    return as_inputs(renamed(features, job["names"]), _weights(job), job["extras"])


def _weights(job: dict[str, Any]) -> Any:
    """The module whose weights say which dtype inputs must have; None in a sandbox, which has none of them."""
    module = job["sites"][0].envoy.root._module
    parameter = None if module is None else next(iter(module.parameters()), None)
    return None if parameter is None or parameter.device.type == "meta" else module


def _array(packed: tuple[str, list[int], bytes]) -> torch.Tensor:
    dtype, shape, content = packed
    if not content:
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    return torch.frombuffer(bytearray(content), dtype=getattr(torch, dtype)).reshape(shape)


def _mask(packed: tuple[int, list[int], bytes]) -> torch.Tensor:
    """Which frames count, [clip, frame]; one row stands for all where all are alike."""
    clips, shape, content = packed
    return _array(("bool", shape, content)).expand(clips, -1)


def _best(values: torch.Tensor, frames: torch.Tensor, rows: list[int], k: int) -> dict[str, torch.Tensor]:
    """Each unit's best and worst clips, by their row in the job."""
    ids = torch.tensor(rows, dtype=torch.int64, device=values.device)
    small = torch.int16 if max(int(frames.max()), len(rows)) < 32768 else torch.int32
    parts = [
        _best_of(part, places, ids, k, small)
        for part, places in zip(values.split(_UNITS, 1), frames.split(_UNITS, 1))  # noqa: B905  # no strict= there
    ]
    return {name: torch.cat([part[name] for part in parts], -1) for name in parts[0]}


def _best_of(
    values: torch.Tensor, frames: torch.Tensor, ids: torch.Tensor, k: int, small: torch.dtype
) -> dict[str, torch.Tensor]:
    state = {}
    for side, largest in (("top", True), ("bottom", False)):
        candidates = as_candidates(values, ids, frames, largest)
        best = best_clips(*candidates, k, largest, False)
        state[f"{side}_ties"] = border_ties(candidates[0], candidates[1], best[0], best[1]).int().cpu()
        state[f"{side}_values"] = best[0].cpu()
        state[f"{side}_rows"] = best[1].to(small).cpu()
        state[f"{side}_frames"] = best[2].to(small).cpu()
    return state


def _moments(values: torch.Tensor, positions: list[int], left_out: list[int]) -> dict[str, torch.Tensor]:
    """The nodes of the moments, in the order that the positions say. Without gaps they are few, so these are filled."""
    none = torch.full((len(left_out), values.shape[1]), torch.nan, dtype=values.dtype, device=values.device)
    _, number, total, squares, active = dyadic_nodes(torch.cat([values, none]), [*positions, *left_out])
    return {"number": number.int().cpu(), "total": total.cpu(), "squares": squares.cpu(), "active": active.int().cpu()}
