"""What of an AudioModel goes to a server: plain classes that travel as source text, so that a stock server needs
nothing of ours.

No dataclass, named tuple, zero-argument `super` or relative import at run time: none of those survives the journey to
another version of Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class SiteHandle:
    """A site that was resolved outside a trace; inside one, `output` is its activation.

    [clip, frame, unit], or [clip, unit] at a classifier's logits. Where `heads` are asked for, these lie side by side
    in it, and their norms are the units. It works in any later trace of the model, here or on
    a server, and can be edited in place (`handle.output[..., 7] = 0`).
    """

    def __init__(
        self,
        name: str,
        envoy: Any,
        side: str,
        channels_first: bool,
        windows: int,
        layered: bool = False,
        heads: int = 0,
    ) -> None:
        self.name, self.envoy, self.side = name, envoy, side
        self.channels_first, self.windows, self.layered, self.heads = channels_first, windows, layered, heads

    @property
    def output(self) -> torch.Tensor:
        """Inside a trace: the site's activation. Raises ValueError where its module holds no activation tensor."""
        return self.units(self.folded(self.envoy.output if self.side == "output" else self.envoy.input))

    def folded(self, value: Any) -> torch.Tensor:
        """The tensor out of what the site's module took or returned. Raises ValueError if there is none in it."""
        activation = fold(value, self.channels_first, self.windows, self.layered)
        if activation is None:
            raise ValueError(f"site {self.name!r}: {self.envoy.path} has no activation tensor on its {self.side}")
        return activation

    def units(self, folded: torch.Tensor) -> torch.Tensor:
        """The activations of the site's units out of its tensor."""
        return head_norms(folded, self.heads) if self.heads else folded

    def __repr__(self) -> str:
        return f"SiteHandle({self.name!r}): read .output inside a trace"


def fold(value: Any, channels_first: bool, windows: int, layered: bool = False) -> torch.Tensor | None:
    """The site's tensor out of what a module took or returned; None if there is no floating-point tensor in it.

    `layered`: in a block, whose tokens have an axis; where it is the first, they are those of one clip.
    """
    while isinstance(value, (tuple, list, Mapping)) and value:
        value = next(iter(value.values())) if isinstance(value, Mapping) else value[0]
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.ndim < 2:
        return None
    if channels_first:
        return value.movedim(1, -1)
    if layered and value.ndim == 2:
        return value[None]
    return value.unflatten(0, (-1, windows)).flatten(1, 2) if windows > 1 else value


def head_norms(activation: torch.Tensor, heads: int) -> torch.Tensor:
    """The norm of each head's part of the last axis, on which so many lie side by side; float32."""
    return activation.float().unflatten(-1, (heads, -1)).norm(dim=-1)


class SiteTable:
    """`model.site` on a server: the activation at a site, by name, inside a trace."""

    def __init__(self, handles: dict[str, SiteHandle]) -> None:
        self.handles = handles

    def __call__(self, name: str) -> torch.Tensor:
        """The activation. Raises ValueError for an unknown name, and for latents."""
        if "|" in name and not name.endswith("|heads"):
            raise ValueError(latents_stay_here(name))
        if name not in self.handles:
            raise ValueError(f"no site is named {name!r} here: resolve patterns and modules before the block")
        return self.handles[name].output


def latents_stay_here(name: str) -> str:
    """What is said of a dictionary's latents that are read in a trace on a server."""
    site = name.split("|")[0]
    return (
        f"{name!r}: a trace on a server does not read latents, for the dictionary is on your machine. Save the site "
        f"itself there (model.site({site!r})), and make latents of what comes home: "
        f"model.sites({name!r})[0].units(saved). Or dissect the latents there: dissect(model, data, {name!r}, remote=…)"
    )


class PartCall:
    """What a trace of a part that hears runs on a server: the whole model's own code, no further than the part's end.

    whole    the module that hands sound to the part, by the method of this name; it makes masks and lengths
    tower    the part
    text     inputs of text that the method also wants, and does not look at before the part has run
    """

    def __init__(self, whole: Any, tower: Any, method: str, text: tuple[str, ...]) -> None:
        self.whole, self.tower, self.method, self.text = whole, tower, method, text
        # By this name a sandbox has the process that holds the model run it; what comes after the part then runs too.
        self.__name__ = method

    def __call__(self, **features: Any) -> Any:
        """What the part returns."""
        handle = self.tower.register_forward_hook(_leave_part)
        try:
            getattr(self.whole, self.method)(**{**text_before(features, self.text), **features})
        except PartOutput as ended:
            return ended.output
        finally:
            handle.remove()
        raise ValueError(f"{self.whole.__class__.__name__}.{self.method} did not run the part")


def text_before(features: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """In the place of text, beside features of sound: two tokens a clip, or embeddings of them."""
    first = next(iter(features.values()))
    tokens = torch.zeros(len(first), 2, dtype=torch.long, device=first.device)
    made = {"input_ids": tokens, "inputs_embeds": torch.zeros(len(first), 2, 1, device=first.device)}
    return {name: made[name] for name in names}


class PartOutput(Exception):
    """Carries what a part returned out of the model around it."""

    def __init__(self, output: Any) -> None:
        Exception.__init__(self)
        self.output = output


def _leave_part(module: Any, inputs: Any, output: Any) -> None:
    raise PartOutput(output)


class ServedBatch:
    """`model._batch` and `model._batch_size` on a server: invokes of waveforms or ready features as one batch.

    Waveforms must be arrays at the model's rate (or {"array", "sampling_rate"} at that rate): files and resampling are
    for the user's own machine.
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        main_input: str,
        rate: int,
        options: dict[str, Any],
        extras: dict[str, int],
        names: dict[str, str],
    ) -> None:
        self.model, self.extractor, self.main_input = model, extractor, main_input
        self.rate, self.options, self.extras, self.names = rate, options, extras, names

    def size(self, *inputs: Any, **kwargs: Any) -> int:
        """Rows that an invoke has."""
        data = inputs[0] if inputs else kwargs.get(self.main_input)
        if data is None:
            return 0
        if isinstance(data, dict) and self.main_input in data:
            return len(data[self.main_input])
        if isinstance(data, torch.Tensor) and data.ndim > 1:
            return len(data)
        return len(data) if isinstance(data, (list, tuple)) else 1

    def __call__(self, invokes: list[Any], fn: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """One batch of model inputs."""
        ready, waveforms, forward = [], [], {}
        for inputs, kwargs in invokes:
            data = inputs[0] if inputs else None
            forward.update(kwargs)
            if data is None:
                continue
            features = self._ready(data)
            if features is None:
                waveforms.extend(self._clips(data))
            else:
                ready.append(features)
        if waveforms and ready:
            raise ValueError("give every invoke waveforms, or every invoke ready features")
        if waveforms:
            ready = [featurise(self.extractor, waveforms, self.rate, self.options)]
        features = {name: torch.cat([part[name] for part in ready]) for name in ready[0]} if ready else {}
        return (), {**as_inputs(renamed(features, self.names), self.model._module, self.extras), **forward}

    def _ready(self, data: Any) -> dict[str, Any] | None:
        if isinstance(data, dict) and self.main_input in data:
            return dict(data)
        return {self.main_input: data} if isinstance(data, torch.Tensor) and data.ndim > 2 else None

    def _clips(self, data: Any) -> list[np.ndarray]:
        clips = []
        for clip in data if isinstance(data, (list, tuple)) else [data]:
            if isinstance(clip, dict) and clip.get("sampling_rate") == self.rate:
                clip = clip.get("array")
            if not isinstance(clip, (np.ndarray, torch.Tensor)) or clip.ndim != 1 or "float" not in str(clip.dtype):
                raise ValueError(
                    f"a server cannot read this {type(clip).__name__}: give it 1-D float waveforms at {self.rate} Hz, "
                    "or make features before the block, with model.features(audio)"
                )
            clips.append(np.asarray(clip, dtype=np.float32))
        return clips


def featurise(extractor: Any, waveforms: list[Any], rate: int, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Model inputs of one padded batch of waveforms at the extractor's rate."""
    taken = type(extractor).__call__.__code__.co_varnames if hasattr(type(extractor).__call__, "__code__") else ()
    if "audios" in taken and "sampling_rate" not in taken:  # Granite's, which takes tensors and states no rate
        encoded = extractor([torch.as_tensor(waveform) for waveform in waveforms])
    else:
        encoded = extractor(waveforms, sampling_rate=rate, return_tensors="pt", **options)
    features = {name: torch.as_tensor(value) for name, value in encoded.items() if _is_array(value)}
    if "is_longer" in features:
        # transformers marks a random clip as longer when none is; nothing here is, so that runs repeat.
        features["is_longer"] = torch.zeros_like(features["is_longer"])
    return features


def renamed(features: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Features by the names that what is called takes them by; others are left out. No `names`: as they are."""
    return {names[name]: value for name, value in features.items() if name in names} if names else features


def _is_array(value: Any) -> bool:
    """Whether an extractor's value is numbers; some also give lists of indices with gaps."""
    return isinstance(value, (torch.Tensor, np.ndarray)) or all(isinstance(each, (int, float)) for each in value)


def as_inputs(features: dict[str, torch.Tensor], module: Any, extras: dict[str, int]) -> dict[str, torch.Tensor]:
    """Features in the dtype of the weights that multiply them, and a column of tokens for each further input."""
    dtype = None if module is None else _input_dtype(module)
    if dtype is not None:
        features = {name: value.to(dtype) if value.is_floating_point() else value for name, value in features.items()}
    if not features:
        return {}
    rows = len(next(iter(features.values())))
    return {**{name: torch.full((rows, 1), token) for name, token in extras.items()}, **features}


def _input_dtype(module: Any) -> torch.dtype | None:
    """The dtype of a module's first matrix of weights, else of its first weights; None for what is no float."""
    first = None
    for name, weight in module.named_parameters():  # no further than to the first matrix: every step asks
        if weight.is_floating_point():
            first = weight.dtype if first is None else first
            if weight.ndim > 1 and name.endswith("weight"):
                return weight.dtype
    return first


class ServerObject:
    """Stands for an object that the server has itself: only its id travels."""

    def __init__(self, name: str) -> None:
        self._persistent_id = name
