"""A small transformer whose units have known meanings: its weights are set, not learnt.

Its feature extractor measures, every 50 ms, how loud a sound is, whether there is one low or one high spectral line,
how noisy it is, whether it has just begun, and whether its level swings 8 to 16 times a second. The first block's units
read these numbers frame by frame; its down-projection writes them into the residual stream. The second block's
attention averages the stream over the clip (queries and keys are zero), and its units combine the averages.

To dissect it there is nothing special: it is a module with a method `audio_spec`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from and_nnsight.demo import SAMPLING_RATE
from and_nnsight.sites.audio_spec import AudioSpec
from and_nnsight.sites.geometry import Regular

HOP_SECONDS = 0.05
HOP = round(HOP_SECONDS * SAMPLING_RATE)
FEATURES = ("one", "level", "sounding", "low", "high", "noise", "onset", "swing")
CHANCE = 8
"""Features beside these that have nothing to do with what is heard: hashes of the samples."""
_INPUTS = len(FEATURES) + CHANCE
_FAINTEST_DBFS = -90.0
_SOUNDING_DBFS = -72.0
_ENVELOPE = 160  # samples of a step of the envelope: 10 ms
_SWING_STEPS = 50
_SLOW_HZ, _FAST_HZ = np.arange(2.0, 6.0), np.arange(8.0, 15.0)
_ONSET_DB = 14.0

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Planted:
    """A unit. `weights` of its inputs: features, and in the second block averages of features and of first units.

    classes  the kinds of sound that it is for, as the truth has it; empty for a distractor
    words    an explanation must have one of them
    wrong    and none of these
    halves   of a disjunction, the words of each half: read strictly, an explanation must have one of each
    null     the null model that tells as much as any name could; None where the name must beat them all
    """

    name: str
    block: int
    weights: Weights
    classes: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()
    null: str | None = None
    halves: tuple[frozenset[str], ...] = ()


def _set(said: str) -> frozenset[str]:
    return frozenset(part.strip() for part in said.split(","))


NOISES = _set("white noise, low noise, middle noise, high noise, surf, rain, faint hiss, engine")
LOW_TONES = _set("low tone, drum")
HIGH_TONES = _set("high tone, beeps, bird chirps")
STRUCK = _set("slow clicks, fast clicks, hi-hat, drum, knock pairs, beeps, chirp train, bird chirps")
FAST = _set("fast tremolo, fast clicks")
HELD = _set(
    "low tone, middle tone, high tone, rising sweep, falling sweep, slow tremolo, fast tremolo, swelling tone, "
    "vibrato, siren, major chord, minor chord, dissonant cluster, buzz, plucked string, bell"
)
_NOISE_WORDS = _set("noise, noisy, hiss, hissing, rumble, rumbling, surf, patter, rain-like, engine-like, broadband")
_LOW_WORDS = _set("low-pitched, low, thumps")
_HIGH_WORDS = _set("high-pitched, chirps, beeps, bird-like")
_FAST_WORDS = _set("flutter, flutters, fluttering, fast, repeating, clicks")
_SLOW_WORDS = _set("slow, slowly, steady")
_TONE_WORDS = _set("tone, tones, pure, steady, chord, rises, falls, sweep, low-pitched, mid-pitched, high-pitched")

MEANINGS: tuple[Planted, ...] = (
    Planted("low tone", 0, {"low": 2.0, "one": -1.6}, LOW_TONES, _LOW_WORDS, _set("high-pitched, noise")),
    Planted("high tone", 0, {"high": 2.0, "one": -1.2}, HIGH_TONES, _HIGH_WORDS, _set("low-pitched, noise, hissing")),
    Planted("noise", 0, {"noise": 2.0, "one": -1.0}, NOISES | _set("slow clicks, fast clicks, hi-hat"),
            _NOISE_WORDS | _set("clicks, ticks, hi-hat-like"), _set("tone, pure, chord")),
    Planted("fast swing", 0, {"swing": 2.0, "one": -0.4}, FAST, _FAST_WORDS, _SLOW_WORDS),
    Planted("noise throughout", 1, {"mean noise": 1.0, "one": -0.1}, NOISES, _NOISE_WORDS, _set("tone, pure, chord")),
    Planted("onsets", 1, {"mean onset": 1.0, "one": -0.12}, STRUCK,
            _set("train, click, clicks, row, repeating, repeats, onset, onsets, ticks, beat, thumps, chirps, beeps, "
                 "knocks, pattern, short"), _set("steady, gradually")),
    Planted("silence", 1, {"mean level": -0.5, "mean sounding": 20.0, "one": -22.5}, _set("faint hiss"),
            _set("faint, silence, hiss, quiet"), _set("loud"), null="loudness"),
    Planted("noise or high tone", 1, {"mean noise": 1.0, "mean high": 1.5, "one": -0.25}, NOISES | HIGH_TONES,
            _NOISE_WORDS | _HIGH_WORDS, _set("low-pitched, mid-pitched"), halves=(_NOISE_WORDS, _HIGH_WORDS)),
    Planted("not noise", 1, {"mean sounding": 1.0, "mean noise": -1.5}, HELD, _TONE_WORDS,
            _set("noise, hissing, clicks")),
    Planted("low tone throughout", 1, {"mean unit low tone": 1.0}, LOW_TONES, _LOW_WORDS, _set("high-pitched, noise")),
    Planted("fast swing throughout", 1, {"mean unit fast swing": 1.0}, FAST, _FAST_WORDS, _SLOW_WORDS),
)  # fmt: skip
"""Units of known meaning."""

DISTRACTORS: tuple[Planted, ...] = (
    *(
        Planted(f"chance {number}", block, {f"chance {number}": 1.0})
        for number, block in zip(range(CHANCE), [0, 0, 0, 0, 1, 1, 1, 1], strict=True)
    ),
    *(Planted(f"loudness {block}", block, {"level": 0.1, "one": 9.0}, null="loudness") for block in (0, 1)),
    *(Planted(f"dead {block}", block, {"one": -100.0}) for block in (0, 1)),
    *(Planted(f"constant {block}", block, {"one": 1.0}) for block in (0, 1)),
)
"""Units of which there is nothing true to say beyond a null model."""


@dataclass(frozen=True)
class Measuring:
    """The feature extractor: [clip, frame, feature] of 2-s clips."""

    sampling_rate: int = SAMPLING_RATE
    minimum_samples: int = 4 * HOP
    window_samples: int = 40 * HOP
    version: int = 1

    def __call__(
        self, waveforms: Sequence[Float32[np.ndarray, " _"]], sampling_rate: int, return_tensors: str
    ) -> dict[str, Tensor]:
        """The model's input, `sound`."""
        padded = [np.pad(wave, (0, self.window_samples - len(wave))) for wave in waveforms]
        return {"sound": torch.from_numpy(np.stack([_measured(wave) for wave in padded]).astype(np.float32))}


def _measured(wave: np.ndarray) -> np.ndarray:
    frames = wave.astype(np.float64).reshape(-1, HOP)
    level = np.maximum(10 * np.log10(np.square(frames).mean(1) + 1e-12), _FAINTEST_DBFS)
    sounding = (level > _SOUNDING_DBFS) * 1.0
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(HOP), 2 * HOP)))
    frequencies = np.fft.rfftfreq(2 * HOP, 1 / SAMPLING_RATE)
    peak = power.argmax(1)
    around = np.abs(np.arange(power.shape[1]) - peak[:, None]) <= 4  # the window's main lobe
    line = (power * around).sum(1) / (power.sum(1) + 1e-12) * sounding
    heights = frequencies[peak]
    before = np.concatenate([[level[0]], level[:-1]])
    onset = np.clip((level - before - _ONSET_DB) / 10, 0, 2) * sounding
    columns = [
        np.ones(len(frames)),
        level / 10,
        sounding,
        line * (heights < 260),
        line * (heights > 1900) * (heights < 5200),
        (1 - line) * sounding,
        onset,
        _swing(wave),
    ]
    key = zlib.crc32(np.ascontiguousarray(wave, np.float32).tobytes())
    chance = np.random.default_rng(key).uniform(0, 1, CHANCE)
    return np.column_stack([*columns, np.tile(chance, (len(frames), 1))])


def _swing(wave: np.ndarray) -> np.ndarray:
    """How deeply the envelope swings at a regular 8 to 14 Hz, over half a second around each frame: 0 to 1.

    It comes near 1 and does not reach it: where many sounds had one value, no exemplar would be decided.

    0 where it swings as deeply at 2 to 5 Hz: so does a single beginning, and a slower row of events.
    """
    envelope = np.sqrt(np.square(wave.astype(np.float64)).reshape(-1, _ENVELOPE).mean(1))
    steps = np.arange(_SWING_STEPS)
    tapered = np.hanning(_SWING_STEPS)
    rates = np.concatenate([_SLOW_HZ, _FAST_HZ])
    waves = tapered * np.exp(-2j * np.pi * rates[:, None] * steps * _ENVELOPE / SAMPLING_RATE)
    floor = 10 ** (_SOUNDING_DBFS / 20)
    a_frame = HOP // _ENVELOPE
    swings = []
    for middle in range(a_frame // 2, len(envelope), a_frame):
        first = min(max(0, middle - _SWING_STEPS // 2), len(envelope) - _SWING_STEPS)
        part = envelope[first : first + _SWING_STEPS]
        mean = float((part * tapered).sum() / tapered.sum())
        strength = np.abs(waves @ (part - mean)) / (tapered.sum() * max(mean, floor))
        slow, fast = strength[: len(_SLOW_HZ)].max(), strength[len(_SLOW_HZ) :].max()
        swings.append(np.tanh(2 * fast) * (fast > 1.5 * slow) * (mean > floor))
    return np.array(swings)


class Block(nn.Module):
    """Attention that averages, and an MLP."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.up, self.down = nn.Linear(width, units), nn.Linear(units, width)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor) -> Tensor:
        """[clip, frame, width] to the same."""
        hidden = hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]
        return hidden + self.down(torch.relu(self.up(hidden)))


class PlantedModel(nn.Module):
    """Two blocks: see the module. `units[block]` are the planted units and distractors in the order of the site."""

    main_input_name = "sound"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        everything = (*MEANINGS, *DISTRACTORS)
        self.units: tuple[tuple[Planted, ...], ...] = tuple(
            tuple(here[place] for place in rng.permutation(len(here)))
            for here in ([unit for unit in everything if unit.block == block] for block in (0, 1))
        )
        names = [*FEATURES, *(f"chance {number}" for number in range(CHANCE))]
        written = [f"unit {unit.name}" for unit in self.units[0]]
        averaged = [f"mean {name}" for name in (*names, *written)]
        self.coordinates = {name: place for place, name in enumerate((*names, *written, *averaged))}
        width = len(self.coordinates)
        self.config = SimpleNamespace(num_labels=0)
        self.embed = nn.Linear(_INPUTS, width, bias=False)
        self.layers = nn.ModuleList([Block(width, len(here)) for here in self.units])
        with torch.no_grad():
            self._set_weights(names, written)

    def _set_weights(self, names: Sequence[str], written: Sequence[str]) -> None:
        at = self.coordinates
        self.embed.weight.zero_()
        self.embed.weight[: len(names)] = torch.eye(len(names))
        first, second = self.layers[0], self.layers[1]
        assert isinstance(first, Block)
        assert isinstance(second, Block)
        for block, here in zip((first, second), self.units, strict=True):
            for place, unit in enumerate(here):
                for name, weight in unit.weights.items():
                    block.up.weight[place, at[name]] = weight
        for place, name in enumerate(written):
            first.down.weight[at[name], place] = 1.0
        width = len(at)
        for name in (*names, *written):
            second.attention.in_proj_weight[2 * width + at[name], at[name]] = 1.0
            second.attention.out_proj.weight[at[f"mean {name}"], at[name]] = 1.0

    def forward(self, sound: Tensor) -> Tensor:
        """[clip, frame, feature] to the residual stream [clip, frame, width]."""
        hidden = self.embed(sound)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden

    def audio_spec(self) -> AudioSpec:
        """Frames of 50 ms."""
        return AudioSpec(Regular(hop=HOP_SECONDS, span=HOP_SECONDS), Measuring())
