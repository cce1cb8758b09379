"""Activations to the latents of a sparse autoencoder, some latents at a time: the one home of the encoders' arithmetic.

An encoder here is a plain dict, so that it goes wherever plain values go:

encoder      [latent, width]: W
input_bias   [width]: what is subtracted from a frame first, once it is scaled; None: nothing
scaling      of a frame: see `scaled_frames`
form         what makes latents of W x: "rectified", "jump", "gated", "group maximum" or "top"
numbers      of the form: tensors [latent], and plain values
group        how many neighbours are decided of together: parts are whole groups
most_values  at most so many values of a part are made at a time, however many frames and latents there are

This file is sent to servers as source text, with its encoder: plain functions of torch, plain tuples, no decorators.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_LAYER_NORM_EPSILON = 1e-5
_LEAST_PART = 64


def latent_parts(
    activations: Float[Tensor, "frame width"], encoder: dict[str, Any], wanted: Int64[Tensor, " chosen"] | None = None
) -> Iterator[tuple[slice, Float[Tensor, "frame part"]]]:
    """The latents, part by part, float32; NaN of a frame that is not finite.

    `wanted`: only the parts that hold one of these; None: all. The encoder lies where the activations lie.
    """
    frames = activations.float()
    spoilt = ~frames.isfinite().all(1)
    any_spoilt = bool(spoilt.any())
    ready = scaled_frames(frames, encoder["scaling"])[0]
    if encoder["input_bias"] is not None:
        ready = ready - encoder["input_bias"]
    every = _part_slices(len(frames), encoder)
    some = every if wanted is None else [part for part in every if bool(inside(wanted, part).any())]
    for part, latents in _unspoilt_parts(ready, encoder, every, some):
        yield part, latents.masked_fill(spoilt[:, None], torch.nan) if any_spoilt else latents


def scaled_frames(
    frames: Float[Tensor, "frame width"], scaling: str
) -> tuple[Float[Tensor, "frame width"], Float[Tensor, "frame 1"]]:
    """Frames as they are encoded, and what directions are multiplied by to be the site's again.

    none                   as they are
    layer_norm             each frame to mean 0 and standard deviation 1
    constant_norm_rescale  each frame to the norm √width
    """
    if scaling == "layer_norm":
        centred = frames - frames.mean(-1, keepdim=True)
        deviation = centred.std(-1, keepdim=True)
        return centred / (deviation + _LAYER_NORM_EPSILON), deviation
    if scaling == "constant_norm_rescale":
        factor = frames.shape[-1] ** 0.5 / frames.norm(dim=-1, keepdim=True)
        return frames * factor, 1 / factor
    return frames, torch.ones_like(frames[..., :1])


def inside(wanted: Int64[Tensor, " chosen"], part: slice) -> Bool[Tensor, " chosen"]:
    """Which of the wanted latents are in a part."""
    return (wanted >= part.start) & (wanted < part.stop)


def frames_that_count(mask: Bool[Tensor, "clip frame"]) -> int:
    """How many frames there are up to the last that counts of any clip; at least the first, which may be a token.

    A window's padding is not worth encoding.
    """
    counts = mask.any(0).nonzero()
    return int(counts[-1]) + 1 if len(counts) else min(1, mask.shape[1])


def _part_slices(frames: int, encoder: dict[str, Any]) -> list[slice]:
    latents, group = len(encoder["encoder"]), encoder["group"]
    step = max(encoder["most_values"] // max(frames, 1), _LEAST_PART) // group * group or group
    return [slice(start, min(start + step, latents)) for start in range(0, latents, step)]


def _unspoilt_parts(
    ready: Float[Tensor, "frame width"], encoder: dict[str, Any], every: list[slice], some: list[slice]
) -> Iterator[tuple[slice, Float[Tensor, "frame part"]]]:
    form, numbers = encoder["form"], encoder["numbers"]
    if form == "top":
        values, places = _highest(ready, encoder, every)
        for part in some:
            yield part, _dense(values, places, part)
        return
    for part in some:
        yield part, _latents_of(form, _output(ready, encoder, part), numbers, part)


def _output(ready: Float[Tensor, "frame width"], encoder: dict[str, Any], part: slice) -> Float[Tensor, "frame part"]:
    return torch.nn.functional.linear(ready, encoder["encoder"][part])


def _latents_of(
    form: str, output: Float[Tensor, "frame part"], numbers: dict[str, Any], part: slice
) -> Float[Tensor, "frame part"]:
    """Latents that are decided of each by itself, or of neighbours together. Raises ValueError for another form."""
    if form == "rectified":
        return (output + numbers["bias"][part]).relu()
    if form == "jump":
        before = output + numbers["bias"][part]
        return before.relu() * (before > numbers["threshold"][part])
    if form == "gated":
        magnitude = (output * numbers["log_gain"][part].exp() + numbers["bias"][part]).relu()
        return magnitude * (output + numbers["gate_bias"][part] > 0)
    if form == "group maximum":
        values = (output + numbers["bias"][part]).relu().unflatten(-1, (-1, numbers["size"]))
        best, place = values.max(-1, keepdim=True)
        return torch.zeros_like(values).scatter(-1, place, best).flatten(-2)
    raise ValueError(f"unknown form of an encoder: {form!r}")


def _highest(
    ready: Float[Tensor, "frame width"], encoder: dict[str, Any], every: list[slice]
) -> tuple[Float[Tensor, "frame k"], Int64[Tensor, "frame k"]]:
    """The k highest of each frame over all parts, and which latents they are.

    Which they are shows only when all parts have been seen. A running list of a frame's k highest goes through them
    once: the encoder is multiplied once, and exactly k are kept, as without parts.
    """
    numbers = encoder["numbers"]
    values, places = ready.new_zeros(len(ready), 0), torch.zeros(len(ready), 0, dtype=torch.int64, device=ready.device)
    for part in every:
        output = _output(ready, encoder, part) + numbers["bias"][part]
        output = output if numbers["scale"] is None else output * numbers["scale"][part]
        best = _best_places(output, numbers)
        values = torch.cat([values, output.gather(1, best)], 1)
        places = torch.cat([places, best + part.start], 1)
        if part.start:
            best = _best_places(values, numbers)
            values, places = values.gather(1, best), places.gather(1, best)
    return values if numbers["by_magnitude"] else values.relu(), places


def _best_places(values: Float[Tensor, "frame candidate"], numbers: dict[str, Any]) -> Int64[Tensor, "frame best"]:
    ranked = values.abs() if numbers["by_magnitude"] else values
    return ranked.topk(min(numbers["k"], values.shape[1]), dim=1).indices


def _dense(
    values: Float[Tensor, "frame k"], places: Int64[Tensor, "frame k"], part: slice
) -> Float[Tensor, "frame part"]:
    """Some latents of all, of which all but the kept ones are 0."""
    width = part.stop - part.start
    here = (places >= part.start) & (places < part.stop)
    where = torch.where(here, places - part.start, width)  # what is elsewhere goes behind the end
    latents = values.new_zeros(len(values), width + 1)
    return latents.scatter(1, where, values)[:, :width]
