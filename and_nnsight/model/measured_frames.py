"""The seconds of frames where neither structure nor config tells them: measured, or none at all with the reason.

Two measurements: which samples reach a step of the features (`feature_steps`), and which steps reach a frame before the
first attention (`reach`). Both are exact, and depend on the config and the feature extractor alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..portable import as_inputs
from ..sites.blocks import find_blocks
from ..sites.geometry import Geometry, Measured, Unplaced
from ..wording import first_line
from .feature_steps import Steps, UnclearError, measure_steps
from .features import Featuriser
from .inputs import audio_forward, fitting, further_inputs, main_input
from .reach import FrontEnd, Reach, reaches

_SECONDS = (4.0, 20.0)
"""How long the clips are that frames are measured on, one after the other until they repeat."""
_CHECKED = 31.0
"""A longer clip: the pattern has to hold on it, too."""
_END = 16
"""How many steps before a clip's end may be masked, as what only fills it up."""
_MOST = 64
"""How many frames in a row are looked at."""


@dataclass(frozen=True)
class Pattern:
    """Frames that repeat: the steps that reach each of them, and by how many steps one turn lies after the other.

    special  frames at the beginning that no step reaches
    """

    special: int
    turn: int
    reaches: tuple[Reach, ...]

    def expected(self, frame: int) -> Reach:
        """The steps that would reach a frame of a clip without end."""
        turns, place = divmod(frame - self.special, len(self.reaches))
        first, last = self.reaches[place]
        return first + turns * self.turn, last + turns * self.turn


def measured_frames(module: nn.Module, featuriser: Featuriser) -> Geometry:
    """The frames of a model's blocks on the clip, measured. Where that is not clean: frames without seconds, and why."""
    try:
        steps = measure_steps(functools.partial(_padded, module, featuriser), _samples(featuriser, 2.0))
        pattern = _pattern(module, featuriser, steps)
    except UnclearError as error:
        return Unplaced(why=str(error))
    except Exception as error:  # models and extractors raise anything
        return Unplaced(why=f"its front end could not be measured: {type(error).__name__}: {first_line(error)}")
    rate = float(featuriser.sampling_rate)
    return Measured(
        special_tokens=pattern.special,
        period=pattern.turn * steps.hop / rate,
        starts=tuple((first * steps.hop + steps.first) / rate for first, _ in pattern.reaches),
        stops=tuple((last * steps.hop + steps.stop) / rate for _, last in pattern.reaches),
    )


def _samples(featuriser: Featuriser, seconds: float) -> int:
    return min(int(seconds * featuriser.sampling_rate), featuriser.window_samples or 1 << 60)


def _features(featuriser: Featuriser, wave: np.ndarray, module: nn.Module) -> tuple[dict[str, Tensor], str]:
    """The model inputs of one clip, and the name of the one that holds the sound."""
    return fitting(module, featuriser([wave])), main_input(module)


def _padded(module: nn.Module, featuriser: Featuriser, wave: np.ndarray) -> np.ndarray:
    """The sound's features with NaN at the steps that the extractor says are padding."""
    made = featuriser([wave])
    sound = next(value for value in made.values() if value.is_floating_point() and value.ndim > 1).numpy().copy()
    for name, mask in made.items():
        for axis in range(1, sound.ndim):
            if "mask" in name and mask.ndim == 2 and mask.shape[1] == sound.shape[axis]:
                np.moveaxis(sound, axis, 0)[~mask[0].bool().numpy()] = np.nan
    return sound


def _pattern(module: nn.Module, featuriser: Featuriser, steps: Steps) -> Pattern:
    try:
        return _found(_front_end(module, "meta"), featuriser, steps)
    except UnclearError:
        raise
    except Exception:  # some compute with numbers while they are built
        return _found(_front_end(module, "cpu"), featuriser, steps)


def _found(front: FrontEnd, featuriser: Featuriser, steps: Steps) -> Pattern:
    for seconds in _SECONDS:
        pattern = _repeating(front, featuriser, steps, _samples(featuriser, seconds))
        if pattern is not None and _holds(front, featuriser, steps, pattern):
            return pattern
    raise UnclearError("the stretches of sound that reach its frames do not repeat evenly")


def _front_end(module: nn.Module, device: str) -> FrontEnd:
    kind: Any = type(module)
    config = getattr(module, "config", None)
    if config is None:
        raise UnclearError("it has no config that its front end could be built of")
    with torch.device(device), torch.random.fork_rng(devices=[]):
        built = kind(config)
    return FrontEnd(built, find_blocks(built)[0].path)


@dataclass(frozen=True)
class Run:
    """What went into the first block, [frame, width], and the features that it came of."""

    frames: Tensor
    features: Tensor
    axis: int
    steps: int

    def reaches(self, chosen: range | list[int]) -> list[Reach | None]:
        """The steps that reach each of the chosen frames."""
        return reaches(self.frames, self.features, self.axis, list(chosen))


def _run(front: FrontEnd, featuriser: Featuriser, steps: Steps, samples: int) -> Run:
    noise = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    features, main = _features(featuriser, noise, front.module)
    packed = features[main].ndim < 3 and "feature_lens" in features  # clips in one row have no axis of clips
    random = torch.Generator().manual_seed(1)
    sound = (torch.rand(features[main].shape, generator=random) + 0.5).requires_grad_()
    inputs = as_inputs({**features, main: sound * 1.0}, front.module, further_inputs(front.module))
    frames = front.into_blocks(lambda module: audio_forward(module)(**inputs))
    axis = steps.axis - packed
    if frames.ndim != 2:
        raise UnclearError("what goes into its blocks has no one axis of frames")
    return Run(frames, sound, axis, sound.shape[axis])


def _repeating(front: FrontEnd, featuriser: Featuriser, steps: Steps, samples: int) -> Pattern | None:
    """The pattern of the frames of a clip; None where they show none."""
    run = _run(front, featuriser, steps, samples)
    special = next((frame for frame, reach in enumerate(run.reaches(range(min(8, len(run.frames))))) if reach), 0)
    first = special + max(0, (len(run.frames) - special - _MOST) // 2)
    looked = range(first, min(first + _MOST, len(run.frames)))
    inside = [
        (frame, reach)
        for frame, reach in zip(looked, run.reaches(looked), strict=True)
        if reach is not None and reach[0] > 0 and reach[1] < run.steps - 1 - _END
    ]
    for length in range(1, len(inside) // 3 + 1):
        turn = _turn([reach for _, reach in inside], length)
        if turn and [frame for frame, _ in inside] == list(range(inside[0][0], inside[-1][0] + 1)):
            return _aligned(inside[0][0], [reach for _, reach in inside[:length]], turn, special)
    return None


def _turn(found: list[Reach], length: int) -> int | None:
    """By how many steps frames lie after those `length` places before; None where that differs."""
    turns = {(b[0] - a[0], b[1] - a[1]) for a, b in zip(found, found[length:], strict=False)}
    first, last = turns.pop() if len(turns) == 1 else (0, 1)
    return first if first == last and first > 0 else None


def _aligned(at: int, reach: list[Reach], turn: int, special: int) -> Pattern:
    """The pattern, told from the first frame that is no special one on."""
    turns, place = divmod(at - special, len(reach))
    back = [(first - turns * turn, last - turns * turn) for first, last in reach]
    moved = [(first - turn, last - turn) for first, last in back[len(reach) - place :]]
    return Pattern(special, turn, tuple(moved + back[: len(reach) - place]))


def _holds(front: FrontEnd, featuriser: Featuriser, steps: Steps, pattern: Pattern) -> bool:
    """Whether a longer clip has the frames that the pattern expects; at its ends the front end may hear less."""
    run = _run(front, featuriser, steps, _samples(featuriser, _CHECKED))
    count = len(run.frames)
    chosen = sorted({pattern.special + (count - 1 - pattern.special) * part // 6 for part in range(7)})
    for frame, reach in zip(chosen, run.reaches(chosen), strict=True):
        first, last = pattern.expected(frame)
        near_an_end = first <= 0 or last >= run.steps - 1 - _END
        if reach is None or not first <= reach[0] <= reach[1] <= last:
            return False
        if not near_an_end and (first, last) != reach:
            return False
    return True


Measure = Callable[[nn.Module, Featuriser], Geometry]
