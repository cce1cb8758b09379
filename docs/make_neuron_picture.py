"""Draw what a neuron listens for: spectrograms of its clips, its activation over them, and its words.

    python docs/make_neuron_picture.py MODEL SOUNDS [--site S --unit U] [--run FOLDER] [--out FILE]

README's picture is of Whisper tiny.en (MIT licence, OpenAI) over 510 clips of 3 s: 10 notes of each of 47 instruments
and effects of the sound font FluidR3 (MIT licence, Frank Wen), which are shown, and recorded speech, which is not:

    python docs/make_neuron_picture.py WHISPER_TINY_EN SOUNDS --unit 1231 --seconds 1 --name "Whisper tiny.en"

SOUNDS is a folder of audio with a metadata.csv (file_name, label, caption). The dissection is kept in --run, where the
next call finds it. Needs the extra `figures`.
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import soundfile
import torch
import torchaudio
from PIL import Image

from and_nnsight import AudioModel, Dissection, dissect
from and_nnsight.explain import card, explain

# One dark card, opaque: the same on a light page and on a dark one.
PAPER, INK, FAINT, CURVE = "#0d1117", "#f0f6fc", "#9198a1", "#7ee8fa"
RATE, BINS = 16_000, 80


def main() -> None:
    """Dissect if there is no dissection yet, and draw one neuron."""
    options = argparse.ArgumentParser(description="Draw what a neuron listens for.")
    options.add_argument("model", help="hub id or folder")
    options.add_argument("sounds", type=Path, help="folder of audio with labels and captions")
    options.add_argument("--site", default="blocks.0.mlp.hook_post")
    options.add_argument("--unit", type=int, default=1231)
    options.add_argument("--run", type=Path, default=Path("runs/picture"))
    options.add_argument("--seconds", type=float, help="show so much of each clip; default: all of it")
    options.add_argument("--name", help="how the model is called in the picture; default: as it is given")
    options.add_argument("--out", type=Path, default=Path(__file__).with_name("neuron.png"))
    given = options.parse_args()

    model = AudioModel(given.model)
    dissection = dissect(model, given.sounds, k=16, out=given.run)
    explain(dissection, sites=given.site, units=[given.unit])
    name = given.name or given.model
    figure = draw(model, dissection, given.site, given.unit, given.sounds, name, given.seconds)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=125, facecolor=PAPER)
    Image.open(drawn).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(given.out, optimize=True)
    print(f"{given.out}: {given.out.stat().st_size / 1000:.0f} kB")


def draw(
    model: AudioModel, dissection: Dissection, site: str, unit: int, sounds: Path, name: str, most: float | None
) -> Any:
    """Its two highest clips, and the highest of any other kind, on one scale: a matplotlib figure."""
    mpl.use("agg")
    mpl.rcParams |= {"font.family": "sans-serif", "font.size": 11, "text.color": INK, "axes.labelcolor": FAINT}
    from matplotlib import pyplot

    top = dissection.unit(site, unit).top
    shown = [*top[:2], next(exemplar for exemplar in top if exemplar.label != top[0].label)]
    heads = ["highest clip", "second", "best of all other kinds"]
    curves = [curve(model, site, unit, sounds / str(exemplar.path)) for exemplar in shown]
    highest = max(values.max() for _, values in curves)

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 4.1), sharey=True)
    figure.subplots_adjust(left=0.055, right=0.985, top=0.74, bottom=0.12, wspace=0.05)
    words = card(dissection, site, unit).calibrated
    figure.text(0.055, 0.895, f"“{words}”", fontsize=19, fontweight="bold")
    figure.text(0.055, 0.835, f"{name}, block {site.split('.')[1]}, neuron {unit}", fontsize=11.5, color=FAINT)
    figure.text(0.985, 0.835, "— activation, on one scale", fontsize=11.5, color=CURVE, ha="right")
    for axis, exemplar, head, (seconds, values) in zip(axes, shown, heads, curves, strict=True):
        spectrogram, length = mel(sounds / str(exemplar.path))
        until = min(most or length, length)
        axis.imshow(
            spectrogram, origin="lower", aspect="auto", cmap="magma", extent=(0, length, 0, 1), vmin=-70, vmax=0,
            interpolation="bilinear",
        )  # fmt: skip
        height = 0.03 + 0.9 * np.clip(values, 0, None) / highest
        axis.fill_between(seconds, 0.03, height, color=CURVE, alpha=0.18, linewidth=0)
        axis.plot(seconds, height, color=PAPER, linewidth=4, alpha=0.7)
        axis.plot(seconds, height, color=CURVE, linewidth=2)
        axis.set(xlim=(0, until), ylim=(0, 1), yticks=[], xticks=np.arange(0, until, until / 4 if until < 2 else 1))
        kind = str(exemplar.label).replace("_", " ")
        axis.set_title(f"{head}: {kind}", fontsize=11.5, color=INK, loc="left", pad=8)
        axis.tick_params(colors=FAINT, length=3)
        for spine in axis.spines.values():
            spine.set_visible(False)
    axes[0].set_ylabel("mel frequency, 0 to 8 kHz")
    axes[1].set_xlabel("seconds")
    return figure


def curve(model: AudioModel, site: str, unit: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and activation of the unit's frames, within the clip."""
    with torch.inference_mode(), model.trace(str(path)):
        activations = model.site(site).save()
    values = activations[0, :, unit].float().cpu().numpy()
    (found,) = model.sites(site)
    middles = found.geometry.times(np.arange(len(values))).mean(axis=1)
    heard = middles <= soundfile.info(path).duration
    return middles[heard], values[heard]


def mel(path: Path) -> tuple[np.ndarray, float]:
    """A mel spectrogram in dB below its peak, [bin, time], and the clip's seconds."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    waveform = torchaudio.functional.resample(torch.from_numpy(samples.mean(axis=1)), rate, RATE)
    power = torchaudio.transforms.MelSpectrogram(RATE, n_fft=512, hop_length=40, n_mels=BINS)(waveform)
    decibels = 10 * torch.log10(power.clamp(min=1e-10))
    return (decibels - decibels.max()).numpy(), len(samples) / rate


if __name__ == "__main__":
    main()
