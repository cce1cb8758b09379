"""The seconds of frames where neither structure nor config tells them: measured, or none at all with the reason.

Two measurements: which samples reach a step of the features (`feature_steps`), and which steps reach a frame before the
first attention (`reach`). Both are exact, and depend on the config and the feature extractor alone.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..sites.blocks import find_blocks
from ..sites.geometry import Geometry, Measured, Unplaced
from ..wording import first_line
from .feature_steps import Steps, UnclearError, measure_steps
from .features import Features, Featuriser, is_sound
from .inputs import audio_forward
from .reach import FrontEnd, Reach, reaches

_SECONDS = (4.0, 20.0)
"""How long the clips are that frames are measured on, one after the other until they repeat."""
_CHECKED = 29.0
"""A longer clip: the pattern has to hold on it, too."""
_END = 16
"""How many steps before a clip's end may be masked, as what only fills it up."""
_IN_A_ROW = (12, 64)
"""How many frames in a row are looked at: a few, and where these do not repeat, more."""


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


_KNOWN: dict[tuple[Any, ...], Geometry] = {}

Inputs = Callable[[nn.Module, Features], dict[str, Any]]
"""What a module is called with, by the names of its forward, for features as they come from the extractor."""


def measured_frames(module: nn.Module, featuriser: Featuriser, inputs: Inputs) -> Geometry:
    """The frames of a model's blocks on the clip, measured; without seconds, and why, where that is not clean."""
    key = _key(module, featuriser.extractor)
    if key not in _KNOWN or None in key:
        _KNOWN[key] = _measured(module, featuriser, inputs)
    return _KNOWN[key]


def _key(module: nn.Module, extractor: Any) -> tuple[Any, ...]:
    """What frames hang on: the class, the config and the extractor's settings; with None where one does not tell."""
    config, settings = (
        getattr(each, "to_json_string", lambda: None)() for each in (getattr(module, "config", None), extractor)
    )
    return type(module), config, type(extractor), settings


def _measured(module: nn.Module, featuriser: Featuriser, inputs: Inputs) -> Geometry:
    """By the first of the features that reaches the blocks; where none does, what is said of the first."""
    found = [Unplaced(why="its feature extractor gives no sound")]
    for name in _sounds(featuriser):
        try:
            return _measured_by(name, module, featuriser, inputs)
        except UnclearError as error:
            found.append(Unplaced(why=str(error)))
        except Exception as error:  # models and extractors raise anything
            why = f"its front end could not be measured: {type(error).__name__}: {first_line(error)}"
            found.append(Unplaced(why=why))
    return found[:2][-1]


def _sounds(featuriser: Featuriser) -> list[str]:
    """The features that are sound, by their names: a codec may hear samples and a spectrogram, and its blocks one."""
    made = featuriser([np.zeros(featuriser.sampling_rate, np.float32)])
    return [name for name, value in made.items() if is_sound(value)]


def _measured_by(name: str, module: nn.Module, featuriser: Featuriser, inputs: Inputs) -> Measured:
    """The frames as they hear the features of this name. Raises UnclearError where that is not clean."""
    steps = measure_steps(functools.partial(_padded, _undithered(featuriser), name), _samples(featuriser, 2.0))
    pattern = _pattern(module, _Clips(featuriser, name, steps, inputs))
    rate = float(featuriser.sampling_rate)
    return Measured(
        special_tokens=pattern.special,
        period=pattern.turn * steps.hop / rate,
        starts=tuple((first * steps.hop + steps.first) / rate for first, _ in pattern.reaches),
        stops=tuple((last * steps.hop + steps.stop) / rate for _, last in pattern.reaches),
    )


def _samples(featuriser: Featuriser, seconds: float) -> int:
    return min(int(seconds * featuriser.sampling_rate), featuriser.window_samples or 1 << 60)


def _undithered(featuriser: Featuriser) -> Featuriser:
    """Without the noise that some extractors add: it would be heard in silence."""
    if not getattr(featuriser.extractor, "dither", 0):
        return featuriser
    extractor = copy.copy(featuriser.extractor)
    extractor.dither = 0.0
    return replace(featuriser, extractor=extractor, front=None)


def _padded(featuriser: Featuriser, name: str, wave: np.ndarray) -> np.ndarray:
    """The features of this name with NaN at the steps that the extractor says are padding."""
    made = featuriser([wave])
    sound = made[name].numpy().copy()
    for name, mask in made.items():
        for axis in range(1, sound.ndim):
            if "mask" in name and mask.ndim == 2 and mask.shape[1] == sound.shape[axis]:
                np.moveaxis(sound, axis, 0)[~mask[0].bool().numpy()] = np.nan
    return sound


@dataclass(frozen=True)
class _Clips:
    """How clips become what the model is called with."""

    featuriser: Featuriser
    sound: str
    steps: Steps
    inputs: Inputs


def _pattern(module: nn.Module, clips: _Clips) -> Pattern:
    try:
        return _found(_front_end(module, "meta"), clips)
    except UnclearError:
        raise
    except Exception:  # some compute with numbers while they are built
        return _found(_front_end(module, "cpu"), clips)


def _found(front: FrontEnd, clips: _Clips) -> Pattern:
    for seconds, most in itertools.product(_SECONDS, _IN_A_ROW):
        pattern = _repeating(front, clips, seconds, most)
        if pattern is not None and _holds(front, clips, pattern):
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


def _run(front: FrontEnd, clips: _Clips, seconds: float) -> Run:
    noise = np.random.default_rng(0).standard_normal(_samples(clips.featuriser, seconds)).astype(np.float32)
    features = clips.featuriser([noise])
    inputs = clips.inputs(front.module, features)
    name = clips.sound if clips.sound in inputs else next(name for name, value in inputs.items() if is_sound(value))
    random = torch.Generator().manual_seed(1)
    sound = (torch.rand(inputs[name].shape, generator=random) + 0.5).requires_grad_()
    counts = _step_counts(features, clips.sound, clips.steps.axis)
    axes = [axis for axis, size in enumerate(sound.shape) if size in counts and size > 1]
    frames = front.into_blocks(lambda module: audio_forward(module)(**{**inputs, name: sound * 1.0}))
    if frames.ndim != 2 or len(axes) != 1:
        raise UnclearError("its features, or what goes into its blocks, have no one axis that is time")
    return Run(frames, sound, axes[0], sound.shape[axes[0]])


def _step_counts(features: Features, name: str, axis: int) -> set[int]:
    """How many steps a clip has, by the axis of time of the features of this name, and by their masks."""
    return {features[name].shape[axis]} | {int(value.sum()) for name, value in features.items() if "mask" in name}


def _repeating(front: FrontEnd, clips: _Clips, seconds: float, most: int) -> Pattern | None:
    """The pattern of the frames of a clip; None where they show none."""
    run = _run(front, clips, seconds)
    special = next((frame for frame, reach in enumerate(run.reaches(range(min(8, len(run.frames))))) if reach), 0)
    first = special + max(0, (len(run.frames) - special - most) // 2)
    inside = _inside(run, range(first, min(first + most, len(run.frames))))
    frames, found = list(inside), list(inside.values())
    if not frames or frames != list(range(frames[0], frames[-1] + 1)):
        return None
    for length in range(1, len(found) // 3 + 1):
        turn = _turn(found, length)
        if turn:
            return _aligned(frames[0], found[:length], turn, special)
    return None


def _inside(run: Run, frames: range) -> dict[int, Reach]:
    """The steps that reach each of these frames, but for those that the clip's ends may have cut."""
    found = zip(frames, run.reaches(frames), strict=True)
    return {frame: reach for frame, reach in found if reach and reach[0] > 0 and reach[1] < run.steps - 1 - _END}


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


def _holds(front: FrontEnd, clips: _Clips, pattern: Pattern) -> bool:
    """Whether a longer clip has the frames that the pattern expects; at its ends the front end may hear less."""
    run = _run(front, clips, _CHECKED)
    count = len(run.frames)
    chosen = sorted({pattern.special + (count - 1 - pattern.special) * part // 3 for part in range(4)})
    for frame, reach in zip(chosen, run.reaches(chosen), strict=True):
        first, last = pattern.expected(frame)
        near_an_end = first <= 0 or last >= run.steps - 1 - _END
        if reach is None and near_an_end:
            continue
        if reach is None or not first <= reach[0] <= reach[1] <= last:
            return False
        if not near_an_end and (first, last) != reach:
            return False
    return True
