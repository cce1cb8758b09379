"""A model whose units are known to listen for one phone each, and clips whose phones are known to the sample.

A phone is a tone of its own. The model's frames are the magnitudes of a spectrum of 20 ms, which its blocks pass on, and
unit i of its MLP is the magnitude where the tone of phone i lies; the units after those lie where no tone is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from and_nnsight import Annotation
from and_nnsight.sites.audio_spec import AudioSpec
from and_nnsight.sites.geometry import Regular

RATE, HOP = 16_000, 320
PHONES = ("AA", "IY", "M", "S", "SH")
BINS = (20, 33, 47, 60, 74)  # 50 Hz each
IDLE = (90, 100, 110)
SITE = "blocks.0.mlp.hook_post"


@dataclass(frozen=True)
class Spectra:
    """A feature extractor: magnitudes of the spectrum of every 20 ms."""

    sampling_rate: int = RATE
    minimum_samples: int = HOP
    window_samples: int = 150 * HOP

    def __call__(self, waveforms: Sequence[np.ndarray], sampling_rate: int, return_tensors: str) -> dict[str, Tensor]:
        padded = np.stack([np.pad(wave, (0, self.window_samples - len(wave))) for wave in waveforms])
        frames = torch.from_numpy(padded).float().unflatten(1, (-1, HOP)) * torch.hann_window(HOP)
        return {"sound": torch.fft.rfft(frames).abs()}


class _Block(nn.Module):
    def __init__(self, bins: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(bins, 1, batch_first=True)
        self.up, self.down = nn.Linear(bins, len(BINS) + len(IDLE)), nn.Linear(len(BINS) + len(IDLE), bins)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        with torch.no_grad():
            for unit, place in enumerate((*BINS, *IDLE)):
                self.up.weight[unit, place] = 1.0

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.attention(hidden, hidden, hidden)[0]
        return hidden + self.down(torch.relu(self.up(hidden)))


class Listener(nn.Module):
    """Its units 0 to 4 fire on `PHONES`, and 5 to 7 on none."""

    main_input_name = "sound"

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_labels=2)
        bins = HOP // 2 + 1
        self.layers = nn.ModuleList([_Block(bins), _Block(bins)])
        self.head = nn.Linear(bins, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, sound: Tensor) -> Tensor:
        for layer in self.layers:
            sound = layer(sound)
        return self.head(sound.mean(1))

    def audio_spec(self) -> AudioSpec:
        return AudioSpec(Regular(hop=HOP / RATE, span=HOP / RATE), Spectra())


@dataclass(frozen=True)
class Utterance:
    """A clip and the phones that are in it."""

    samples: np.ndarray
    phones: tuple[Annotation, ...]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def utterance(seed: int) -> Utterance:
    """Some phones of 60 to 200 ms after one another, some with a pause between, in faint noise."""
    random = np.random.default_rng(seed)
    now, phones, parts = 0.0, [], []
    for _ in range(random.integers(4, 10)):
        gap, length = float(random.choice([0.0, 0.0, random.uniform(0.12, 0.3)])), random.uniform(0.06, 0.2)
        place = int(random.integers(len(PHONES)))
        samples = round((now + gap + length) * RATE) - round((now + gap) * RATE)
        tone = np.sin(2 * np.pi * 50 * BINS[place] * np.arange(samples) / RATE) * random.uniform(0.1, 0.5)
        silence = np.zeros(round((now + gap) * RATE) - round(now * RATE))
        parts += [silence, tone]
        phones.append(Annotation("phones", PHONES[place], now + gap, now + gap + length))
        now += gap + length
    samples = np.concatenate([*parts, np.zeros(int(random.integers(100, 4_000)))])
    return Utterance((samples + random.normal(0, 0.01, len(samples))).astype(np.float32), tuple(phones))


def write_clips(folder: Path, utterances: Sequence[Utterance]) -> Path:
    """A folder of wav files, `clip 00.wav` and so on."""
    folder.mkdir()
    for number, one in enumerate(utterances):
        soundfile.write(folder / f"clip {number:02}.wav", one.samples, RATE)
    return folder


def write_textgrids(folder: Path, utterances: Sequence[Utterance], later: float = 0.0) -> Path:
    """Their TextGrids, in the short form; `later`: by so many seconds turned round within the clip."""
    folder.mkdir()
    for number, one in enumerate(utterances):
        rows = sorted((each.start + later) % one.seconds for each in one.phones)
        turned = {(each.start + later) % one.seconds: each for each in one.phones}
        lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", f"{one.seconds!r}", "<exists>", "1"]
        lines += ['"IntervalTier"', '"phones"', "0", f"{one.seconds!r}", str(len(rows))]
        for start in rows:
            each = turned[start]
            lines += [f"{start!r}", f"{start + each.end - each.start!r}", f'"{each.label}"']
        (folder / f"clip {number:02}.TextGrid").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
