"""What an nnsight trace of an audio model is given and gives: audio of any kind in, activations at sites out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nnsight.intervention.envoy import traceable
from nnsight.intervention.interleaver import EarlyStopException
from torch import Tensor, nn

from ..portable import SiteHandle, as_inputs, latents_stay_here
from ..sites.heads import Heads
from ..sites.site import Site, SiteError
from ..sites.wrappers import uncompiled
from ..wording import counted
from .accepted_inputs import accepted
from .checkpoint import ModelError
from .checkpoint_model import CheckpointModel
from .device_features import featuriser_on
from .devices import require_weights
from .features import Features
from .inputs import ARRAYS, audio_forward, fitting, further_inputs, is_batch, one_batch, ready_features, waveforms
from .restoring import eval_mode


class TraceModel(CheckpointModel):
    """Takes audio in nnsight's traces, and reads activations at sites inside them: see AudioModel."""

    def features(self, data: Any, sampling_rate: int | None = None) -> Features:
        """Model inputs of any audio value (or of a list of them), as a trace would make them."""
        audio = self._features_or_waveforms(data, sampling_rate)
        return audio if isinstance(audio, dict) else self._featurise(audio)

    def _featurise(self, clips: list[np.ndarray]) -> Features:
        """Model inputs of waveforms, as a run makes them: on the model's device where a front end is there for it."""
        return featuriser_on(self.featuriser, self.device)(clips)

    def _features_or_waveforms(self, data: Any, sampling_rate: int | None) -> Features | list[np.ndarray]:
        """Ready features as they are; any audio as waveforms at the model's rate."""
        ready = ready_features(self.wrapped, data, self.main_input)
        if ready is not None:
            return ready
        return waveforms(data, self.sampling_rate, sampling_rate, self.featuriser.window_samples)

    def model_inputs(self, features: Features) -> dict[str, Any]:
        """Features in the model's dtype, with the first decoder token where the model has a decoder.

        Raises ValueError for features of a size that the model does not take.
        """
        if self.reader is not None:  # its processor is the checkpoint's own, and the sound no main input
            return as_inputs(self.reader.completed(features), self.wrapped, {})
        fit = fitting(self.wrapped, features, self.main_input)
        if self._opened.host is None:
            fit = accepted(self.wrapped, fit, self.main_input)
        return self._opened.inputs(as_inputs(fit, self.wrapped, further_inputs(self.wrapped)))

    # -- nnsight's entry points ------------------------------------------------------------------------------------

    def trace(self, *inputs: Any, **kwargs: Any) -> Any:
        """nnsight's trace, on audio or on ready features; everything else of nnsight works as ever."""
        inputs, kwargs = self._normalise(inputs, kwargs)
        if isinstance(self.args[0], nn.Module):
            require_weights(self.wrapped)
        return super().trace(*inputs, **kwargs)

    def scan(self, *inputs: Any, **kwargs: Any) -> Any:
        """nnsight's scan: shapes only, no weights needed."""
        # The feature extractor is numpy code, which a scan's fake tensors cannot enter: make features first.
        inputs, kwargs = self._normalise(inputs, kwargs)
        if inputs and not isinstance(inputs[0], dict):
            inputs = (self._featurise(inputs[0]), *inputs[1:])
        return super().scan(*inputs, **kwargs)

    @traceable
    def generate(self, *inputs: Any, **kwargs: Any) -> Any:
        """Generate through the model (Whisper), traced or not: token ids [clip, token]."""
        kwargs.pop("decoder_input_ids", None)
        with eval_mode(self.wrapped), uncompiled():
            tokens = self.wrapped.generate(*inputs, **kwargs)
        return self.generator(tokens, hook=True)

    @traceable
    def pipe(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run the task's whole transformers pipeline, traced or not; it needs the checkpoint's other preprocessors."""
        if self.pipeline is None:
            import transformers

            make: Any = transformers.pipeline
            self.pipeline = make(self.task, model=self.wrapped, feature_extractor=self.own_extractor)
        run: Any = self.pipeline
        return run(*inputs, **kwargs)

    def _normalise(self, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = dict(kwargs)
        if not inputs and isinstance(kwargs.get(self.main_input), ARRAYS):
            names = [name for name, value in kwargs.items() if isinstance(value, ARRAYS)]
            return ({name: torch.as_tensor(kwargs.pop(name)) for name in names},), kwargs
        rate = kwargs.pop("sampling_rate", None)
        if not inputs or inputs[0] is None:
            return inputs, kwargs
        return (self._features_or_waveforms(inputs[0], rate), *inputs[1:]), kwargs

    def _batch_size(self, *inputs: Any, **kwargs: Any) -> int:
        if not inputs or inputs[0] is None:
            given = kwargs.get(self.main_input)
            return len(given) if isinstance(given, ARRAYS) else 0
        ready = ready_features(self.wrapped, inputs[0], self.main_input)
        if ready is not None:
            return len(next(iter(ready.values())))
        return len(inputs[0]) if is_batch(inputs[0]) else 1

    def _batch(self, invokes: list[Any], fn: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        forward: dict[str, Any] = {}
        parts: list[Features | list[np.ndarray]] = []
        for inputs, kwargs in invokes:
            inputs, kwargs = self._normalise(inputs, kwargs)
            forward |= kwargs
            if inputs:
                parts.append(inputs[0])
        features = one_batch(parts, self._featurise) if parts else {}
        return (), {**self.model_inputs(features), **forward}

    def _call(self, *inputs: Any, **kwargs: Any) -> Any:
        with eval_mode(self.wrapped), uncompiled():
            try:
                return audio_forward(self.wrapped)(*inputs, **kwargs)
            except EarlyStopException as stop:
                # nnsight's frames hold the exception that holds them, and all activations of the forward with them:
                # hundreds of megabytes that only the collector of cycles would free, some batches later.
                vars(stop).pop("__intervention_tb__", None)
                raise stop.with_traceback(None) from None

    # -- activations -----------------------------------------------------------------------------------------------

    def site(self, name: str) -> Any:
        """Inside a trace: the activation at a site, [clip, frame, unit] ([clip, unit] at a classifier's logits).

        Outside one: a handle that is good for any trace to come, here or remote; inside it, `handle.output` is the
        activation. Heads' norms (`SITE|heads`) are read like any, a dictionary's latents (`SITE|DICTIONARY`) in
        traces here; `ablate` changes both.
        """
        sites = self.sites(name)
        if len(sites) != 1:
            raise SiteError(f"{name!r} names {counted(len(sites), 'site')}; a trace reads one at a time")
        return self.read(sites[0]) if self.interleaver.interleaving else self.handle(sites[0])

    def handle(self, site: Site) -> SiteHandle:
        """What `model.site` gives outside a trace, of a `Site`."""
        layered = site.layer is not None
        where = (site.name, self.envoy(site.path), site.side, site.channels_first, site.windows, layered)
        if isinstance(site.dictionary, Heads):
            return SiteHandle(*where, heads=site.dictionary.count)
        return SiteHandle(*where) if site.dictionary is None else LatentHandle(site, *where)

    def read(self, site: Site) -> Tensor:
        """Inside a trace: the activation at a `Site`."""
        envoy = self.envoy(site.path)
        return site.units(site.fold(envoy.output if site.side == "output" else envoy.input))


class LatentHandle(SiteHandle):
    """The handle of a dictionary's latents on a site: inside a trace on this machine, `output` is all of them."""

    def __init__(self, site: Site, *where: Any) -> None:
        super().__init__(*where)
        self.site = site

    def units(self, folded: Tensor) -> Tensor:
        """All latents, of the tensor at the site."""
        return self.site.units(folded)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ModelError(latents_stay_here(self.name))  # it is pickled to travel
