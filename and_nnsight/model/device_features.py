"""Features made on a GPU, of waveforms that travel there: a tenth of the bytes, and none of the CPU's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..audio.frontends import FittedFrontEnd
from ..audio.pcm import PCM_STEPS, as_pcm16
from ..kernels.surroundings import plain_torch
from .devices import on_device
from .features import Features, Featuriser, Group, Samples

_SAMPLES_AT_ONCE = 2**22  # float64 spectra of so many samples take some 400 MB


@dataclass(frozen=True, eq=False)  # by identity: an extractor of one's own may not be hashable
class DeviceFeaturiser(Featuriser):
    """A featuriser whose workers send samples, and whose features are made where the model is.

    there  the front end, tried on that device
    """

    there: FittedFrontEnd | None = None

    @property
    def device(self) -> torch.device:
        """Where features are made."""
        return self._front.device

    @property
    def made_by(self) -> str:
        """What makes the features, in words."""
        kind = type(self.extractor).__name__
        return f"a front end on {self.device.type} that equals {kind} but for its rounding"

    @property
    def arithmetic(self) -> str:
        """What the last digits of the features hang on, in words."""
        return f"features made on {self.device.type}"

    @plain_torch()
    def __call__(self, waveforms: Sequence[np.ndarray]) -> Features:
        """Model inputs of one padded batch, on the device. Raises AudioError for a waveform that is too short."""
        clips = self.cut(waveforms)
        return self._made(_samples(clips)) if self._front.takes(self.extractor, clips) else super().__call__(waveforms)

    def groups(self, waveforms: Sequence[np.ndarray]) -> tuple[Group, ...]:
        """Samples, in groups such that no clip's values depend on another's length: those of `together`."""
        clips = self.cut(waveforms)
        if not self._front.takes(self.extractor, clips):
            return super().groups(waveforms)
        return tuple(Group(rows, _samples([clips[row] for row in rows])) for rows in self.together(waveforms))

    @plain_torch()
    def ready(self, group: Group) -> Features:
        """The model inputs of a group, on the device; it is not waited for."""
        return self._made(group.content) if isinstance(group.content, Samples) else group.content

    def _made(self, clips: Samples) -> Features:
        samples, lengths, front = clips.samples, clips.lengths, self._front.front
        there = on_device(samples, self.device)
        step = max(1, _SAMPLES_AT_ONCE // max(front.window_samples or 0, samples.shape[1]))
        parts = [
            front.batch(_as_float(there[first : first + step]), lengths[first : first + step])
            for first in range(0, len(lengths), step)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @property
    def _front(self) -> FittedFrontEnd:
        assert self.there is not None
        return self.there


@lru_cache(maxsize=16)  # a trial is not made twice
@plain_torch()
def featuriser_on(featuriser: Featuriser, device: torch.device) -> Featuriser:
    """The featuriser of a model on that device.

    On a GPU features are made there where a front end equals the extractor within 1e-5; elsewhere on the CPU.
    """
    if device.type != "cuda":
        return featuriser
    there = FittedFrontEnd.tried(featuriser.extractor, featuriser.options, device)
    if there is None:
        return featuriser
    own = {field.name: getattr(featuriser, field.name) for field in fields(Featuriser)}
    return DeviceFeaturiser(**own, there=there)


def _samples(clips: Sequence[np.ndarray]) -> Samples:
    """Clips as they travel: padded with zeros to the longest."""
    exact = [as_pcm16(clip) for clip in clips]
    whole = [clip for clip in exact if clip is not None]
    chosen = whole if len(whole) == len(clips) else clips
    rows = [torch.from_numpy(np.require(clip, None, ["C", "W"])) for clip in chosen]
    return Samples(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), tuple(map(len, clips)))


def _as_float(samples: Tensor) -> Float[Tensor, "clip time"]:
    return samples.float() / PCM_STEPS if samples.dtype == torch.int16 else samples
