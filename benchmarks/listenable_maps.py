"""Does a listenable map keep the sound that its unit answers to? Measured on mixtures of it with another sound.

For units of a dissection whose highest clips have a label in common, a clip of that label is mixed, equally loud, with
one of another label on which the unit is below its median. The mixture counts if the unit answers to one of the two: at
least half as far above silence on the one alone as on the mixture, at most a quarter as far on the other. Then `hear`
is asked of the mixture. The nearness of what is kept to the sound that is answered to, by scale-invariant SDR, minus
that of the whole mixture, is the gain; beside it that of parts kept at random, as many.

    python -m benchmarks.listenable_maps [--dissection DIR --model MODEL] [--units 24] [--seed 0] [--workers 1]

The dissection has to hold activations (`keep_activations=True`), and labels. Without one, the embedded AST over its
generated sounds is measured. Units of odd index are measured; the settings of `hear` were chosen on even ones
(--tuning).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from and_nnsight import Dissection, dissect, hear
from and_nnsight.audio.loading import load
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.maps.errors import MapError
from and_nnsight.maps.hearing import unit_response
from and_nnsight.maps.spectrum import Spectrum
from and_nnsight.model.opening import open_model
from benchmarks._report import RESULTS, device_slug, write_report

LEVEL = 0.05
"""Of each sound of a mixture: RMS over the frames within 30 dB of its loudest."""
ANSWERS, SILENT = 0.5, 0.25
"""Of the activation on the mixture above silence: at least so much on the one sound, at most so much on the other."""
MOST_A_LABEL = 2  # units of a site
DRAWS = 10_000
TARGETS = {"gain": "above 0 dB on average over at least 20 units, its interval too", "seconds": "at most 20 a map, CPU"}


@dataclass(frozen=True)
class Pair:
    """A unit, a clip that it answers to and one that it does not, by the labels."""

    site: str
    unit: int
    clips: tuple[int, int]
    labels: tuple[str, str]


@dataclass(frozen=True)
class Row:
    """A map that was measured; gains in dB.

    gain       SI-SDR of what is kept against the sound that is answered to, minus that of the mixture
    random     the same of as many parts at random, on average
    other      SI-SDR of what is kept against the other sound, minus that of the mixture
    kept, removed, moved  activations as shares: 0 is silence's, 1 the mixture's; moved is the mean of masks elsewhere,
               None where the clip has none
    seconds    CPU seconds
    """

    site: str
    unit: int
    labels: tuple[str, str]
    gain: float
    random: float
    other: float
    kept: float
    removed: float
    moved: float | None
    p: float
    area: float
    steps: int
    seconds: float


def pairs(dissection: Dissection, seed: int, parity: int) -> Iterator[Pair]:
    """Units with clips to mix, site after site in turn, at random."""
    by_site = [list(_site_pairs(dissection, site, seed, parity)) for site in dissection.sites]
    for turn in range(max(map(len, by_site))):
        yield from (some[turn] for some in by_site if turn < len(some))


def _site_pairs(dissection: Dissection, site: str, seed: int, parity: int) -> Iterator[Pair]:
    random = np.random.default_rng(seed)
    activations = dissection.activations(site)
    if activations is None:
        raise ValueError(f"{dissection.folder} holds no activations: dissect with keep_activations=True")
    rows = list(dissection.clips.values())
    labels = np.array([row.label or "" for row in rows])
    usable = np.array([bool(row.label) and not row.silent for row in rows])
    scores = (activations - activations.mean(0)) / (activations.std(0) + 1e-9)
    names = np.unique(labels[usable])
    means = np.stack([scores[labels == name].mean(0) for name in names])
    units = [unit for unit in np.flatnonzero(means.max(0) > 1.5) if unit % 2 == parity]
    counts: Counter[str] = Counter()
    for unit in random.permutation(units).tolist():
        name = names[means[:, unit].argmax()]
        high = np.flatnonzero(usable & (labels == name) & (scores[:, unit] > np.quantile(scores[:, unit], 0.97)))
        low = np.flatnonzero(usable & (labels != name) & (scores[:, unit] < np.median(scores[:, unit])))
        if counts[name] < MOST_A_LABEL and len(high) and len(low):
            counts[name] += 1
            one, other = int(random.choice(high)), int(random.choice(low))
            yield Pair(site, unit, (rows[one].clip, rows[other].clip), (str(name), str(labels[other])))


def measure(pair: Pair, *, folder: str, model: str, sounds: dict[int, Any] | None) -> Row | str | None:
    """Make the pair's map, unless the unit does not answer to the one sound alone; a str: why there is no map."""
    torch.set_num_threads(1)
    adapter = _opened(model)
    response = unit_response(adapter, pair.site, pair.unit)
    rate = response.front_end.sampling_rate
    clips = Dissection.load(folder).clips
    audio = [clips[clip].path if sounds is None else sounds[clip] for clip in pair.clips]
    one, other = (_levelled(load(value, rate).samples, rate) for value in audio)
    length = min(len(one), len(other), response.front_end.window_samples)
    one, other = one[:length], other[:length]
    mixture = one + other
    if not _answers(response, mixture, one, other):
        return None
    began = time.process_time()
    try:
        heard = hear((pair.site, pair.unit), mixture, model=adapter)
    except MapError as error:
        return str(error)
    seconds = time.process_time() - began
    shares = heard.activations.share
    return Row(
        pair.site,
        pair.unit,
        pair.labels,
        gain=si_sdr(heard.kept, one) - si_sdr(mixture, one),
        random=_random_gain(mixture, one, rate, heard.area),
        other=si_sdr(heard.kept, other) - si_sdr(mixture, other),
        kept=shares(heard.activations.kept),
        removed=shares(heard.activations.removed),
        moved=_mean([shares(value) for value in heard.activations.moved]),
        p=heard.p,
        area=heard.area,
        steps=heard.steps,
        seconds=seconds,
    )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


_models: dict[str, Any] = {}


def _opened(model: str) -> Any:
    """The model, opened once a process."""
    if model not in _models:
        _models[model] = open_model(model, device="cpu")
    return _models[model]


def _levelled(samples: np.ndarray, rate: int) -> np.ndarray:
    frames = samples[: len(samples) // (rate // 100) * (rate // 100)].reshape(-1, rate // 100)
    power = np.square(frames).mean(1)
    return samples * np.float32(LEVEL / np.sqrt(power[power >= power.max() * 1e-3].mean()))


def _answers(response: Any, mixture: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the unit's highest activation on the mixture is that on one of its sounds."""
    with torch.no_grad():
        values = response(torch.from_numpy(np.stack([mixture, one, other, np.zeros_like(one)]))).numpy()
    seconds = np.array([len(one) / response.front_end.sampling_rate])
    heard = response.site.geometry.valid(seconds, values.shape[1])[0]
    whole, first, second, silence = values[:, heard].max(1)
    return first - silence >= ANSWERS * (whole - silence) > 0 and second - silence <= SILENT * (whole - silence)


def _random_gain(mixture: np.ndarray, one: np.ndarray, rate: int, area: float) -> float:
    """The gain of parts that are kept at random, of which about as much is kept, on average over twenty draws."""
    spectrum = Spectrum(torch.from_numpy(mixture), rate)
    random = torch.Generator().manual_seed(0)
    rows, columns = spectrum.cells
    gains = []
    for _ in range(20):
        kept = (torch.rand(rows, 1, generator=random) < area).float().expand(rows, columns)
        if kept.any():
            gains.append(si_sdr(spectrum.sound(kept).numpy(), one) - si_sdr(mixture, one))
    return float(np.mean(gains))


def si_sdr(estimate: np.ndarray, target: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    estimate, target = estimate.astype(float) - estimate.mean(), target.astype(float) - target.mean()
    scaled = (estimate @ target) / (target @ target + 1e-12) * target
    error = estimate - scaled
    return float(10 * np.log10((scaled @ scaled + 1e-12) / (error @ error + 1e-12)))


def summary(rows: list[Row]) -> dict[str, Any]:
    """Means over units, with 95 % bootstrap intervals over units."""
    random = np.random.default_rng(0)
    draws = random.integers(len(rows), size=(DRAWS, len(rows)))
    columns = ("gain", "random", "other", "kept", "removed", "moved", "area", "seconds")
    means: dict[str, Any] = {"units": len(rows)}
    for name in columns:
        values = np.array([getattr(row, name) for row in rows], float)  # None becomes NaN, which counts nowhere
        low, high = np.quantile(np.nanmean(values[draws], 1), [0.025, 0.975])
        means[name] = {
            "mean": round(float(np.nanmean(values)), 3),
            "interval": [round(float(low), 3), round(float(high), 3)],
        }
    means["median gain"] = round(float(np.median([row.gain for row in rows])), 3)
    means["share with a gain"] = round(float(np.mean([row.gain > 0 for row in rows])), 3)
    means["share with p at most 0.05"] = round(float(np.mean([row.p <= 0.05 for row in rows])), 3)
    return means


def print_rows(name: str, rows: list[Row], means: dict[str, Any]) -> None:
    """Every unit, and the means."""
    columns = (
        "site",
        "unit",
        "answers to",
        "beside",
        "gain",
        "random",
        "kept",
        "removed",
        "moved",
        "p",
        "area",
        "CPU s",
    )
    table = Table(*columns, title=f"{name}: {len(rows)} units")
    for row in rows:
        numbers = (row.gain, row.random, row.kept, row.removed, row.moved, row.p, row.area, row.seconds)
        shown = ("" if number is None else f"{number:.2f}" for number in numbers)
        table.add_row(row.site, str(row.unit), *row.labels, *shown)
    console = Console(width=160)
    console.print(table)
    console.print_json(data=means)


def measured(
    folder: Path, model: str, options: argparse.Namespace, sounds: dict[int, Any] | None
) -> tuple[list[Row], list[str]]:
    """As many units as were asked for, of those that answer to one of two sounds; and why some have no map."""
    coming = pairs(Dissection.load(folder), options.seed, 0 if options.tuning else 1)
    run = partial(measure, folder=str(folder), model=model, sounds=sounds)
    rows: list[Row] = []
    refusals: list[str] = []
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        while len(rows) < options.units:
            some = [pair for pair, _ in zip(coming, range(options.workers * 2), strict=False)]
            if not some:
                break
            for outcome in pool.map(run, some):
                if isinstance(outcome, str):
                    refusals.append(outcome)
                elif outcome is not None:
                    rows.append(outcome)
    return rows[: options.units], refusals


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listenable_maps", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--dissection", type=Path, help="of recorded sounds, with activations and labels")
    parser.add_argument("--model", help="the model that was dissected")
    parser.add_argument("--name", default="model", help="what the model is called in the file")
    parser.add_argument("--units", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--tuning", action="store_true", help="measure units of even index; nothing is written")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder, model, sounds, name = options.dissection, options.model, None, options.name
        if folder is None:
            folder, model, name = Path(temporary) / "run", str(tiny_ast_path()), "embedded AST"
            clips = list(make_sounds(per_class=6, seed=3))
            dissect(model, clips, out=folder, keep_activations=True, progress=False)
            sounds = dict(enumerate(clip.waveform for clip in clips))
        rows, refusals = measured(folder, model, options, sounds)
    means = {**summary(rows), "without a map": refusals}
    print_rows(name, rows, means)
    if not (options.no_write or options.tuning):
        entry = {"seed": options.seed, "summary": means, "rows": [asdict(row) for row in rows]}
        models = {**_earlier(), name: entry}
        print(write_report("listenable_maps", torch.device("cpu"), {"models": models}, TARGETS))


def _earlier() -> dict[str, Any]:
    """What was measured of other models on this machine."""
    path = RESULTS / device_slug(torch.device("cpu")) / "listenable_maps.json"
    return json.loads(path.read_text(encoding="utf-8"))["models"] if path.exists() else {}


if __name__ == "__main__":
    main()
