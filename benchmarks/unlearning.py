"""Does pruning the units of a concept unlearn it? The paper's Table 4, beside random units of the same layers.

For classes drawn by the seed, every method chooses 1, 2 and 5 % of all units in a dissection of clips that are not
measured; the classifier then runs on other labelled clips as it is, with the units at zero, and with random ones at
zero, as many at every site. `random` is one more random draw that is treated like a method: what it shows is what
chance shows. ocp's units are amplified as well. Every random draw beside ocp is held against the others as if it were a
choice: of these, one in twenty should be told from chance.

    python -m benchmarks.unlearning [--model DIR --sounds DIR] [--draws 20]

Without `--model`, only the embedded AST over synthetic sounds is measured. `--model` is a folder that
`benchmarks.train_ast` has made of the folder of `--sounds`: units are found by the clips it was trained on, and
measured by those that were held out. `tab` and `icl` need models that are not in the package, and are not measured.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console

from and_nnsight import AudioModel, ConceptScores, Dissection, dissect, explain
from and_nnsight.data import open_source
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.demo.train import HELD_OUT_SEED_OFFSET
from and_nnsight.statistics.bootstrap import Estimate, clip_weights
from and_nnsight.unlearn import ChoiceError, Measurement, UnitChoice, choose, measure
from and_nnsight.unlearn.display import choice_table, class_table, method_table
from and_nnsight.unlearn.effects import chance, changes, prediction
from benchmarks._report import write_report
from benchmarks.train_ast import RECORD

SITES = ("*.hook_attn_out", "*.mlp.hook_pre", "*.hook_mlp_out")
"""The layers that the paper prunes: three linear layers of every block, and not the class head."""
POOL = "mean"
"""How frames become one value. With the maximum over frames, every method finds units that matter less."""
METHODS = (
    "ocp", "ocp_exemplars", "db_top5", "labels_top5", "db", "correlation", "frequency", "entropy", "deviation",
    "contrast",
)  # fmt: skip
CLOSELY = ("ocp", "ocp_exemplars", "random")
"""Measured beside the most draws."""
SHARES = (0.01, 0.02, 0.05)
LARGEST = max(SHARES)
GAIN = 2.0
_APART = 1_000_000  # seeds of random units that no control has

Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A classifier, its units explained by some clips, and others to measure by.

    work  folder of its measurements, which go on from there
    """

    name: str
    model: AudioModel
    dissection: Dissection
    held_out: Sequence[Any]
    about: Row
    work: Path


def embedded_subject(out: Path, per_class: int = 12, measured: int = 8) -> Subject:
    """The embedded AST; it was trained on none of these sounds."""
    finding = [_clip(sound) for sound in make_sounds(per_class, HELD_OUT_SEED_OFFSET + 1)]
    held_out = [_clip(sound) for sound in make_sounds(measured, HELD_OUT_SEED_OFFSET + 2)]
    model = AudioModel(str(tiny_ast_path()), dispatch=True)
    return Subject("embedded AST, synthetic sounds", model, _explained(model, finding, out / "run"), held_out, {}, out)


def trained_subject(folder: Path, sounds: Path, out: Path) -> Subject:
    """A model of `benchmarks.train_ast`; raises ValueError for a folder that is none of its."""
    if not (folder / RECORD).exists():
        raise ValueError(f"{folder} has no {RECORD}: train it with python -m benchmarks.train_ast")
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    apart = set(record.pop("held_out_clips"))
    finding, held_out = [], []
    for item in open_source(sounds).items():
        name = Path(str(item.path)).resolve().relative_to(sounds.resolve()).as_posix()
        clip = {"audio": item.audio, "path": item.path, "label": item.label, "caption": item.caption}
        (held_out if name in apart else finding).append(clip)
    if len(held_out) != len(apart):
        raise ValueError(f"{folder} was not trained on these sounds: {len(apart)} held out, {len(held_out)} here")
    model = AudioModel(str(folder), dispatch=True)
    return Subject(
        "trained AST, recorded sounds", model, _explained(model, finding, out / "run"), held_out, record, out
    )


def _clip(sound: Any) -> Row:
    names = ("sampling_rate", "label", "caption")
    return {"audio": sound.waveform, **{name: getattr(sound, name) for name in names}}


def _explained(model: AudioModel, clips: list[Row], out: Path) -> Dissection:
    scores = ConceptScores.from_labels({place: clip["label"] for place, clip in enumerate(clips)})
    dissection = dissect(
        model, clips, SITES, 16, POOL, out=out, batch_size=16, concepts=scores, keep_activations=True, progress=False
    )  # fmt: skip
    explain.explain(dissection, progress=False)
    explain.label(dissection, "labels", method="db", top=len(scores.names), progress=False)
    return dissection


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    classes  how many classes, drawn by the seed
    draws    random draws beside ocp's choices of the largest share, and beside random ones; `few` beside all others
    others   clips that are measured of each class that was not drawn
    device   where the classifier runs
    """

    classes: int
    draws: int
    few: int
    others: int
    bootstrap: int
    seed: int
    device: str


def choices_of(dissection: Dissection, classes: Sequence[str], share: float, seed: int) -> tuple[list[UnitChoice], Row]:
    """Every method's units for every class, this share of all; and for which classes a method has not so many."""
    choices: list[UnitChoice] = []
    lacking: dict[str, list[str]] = {}
    for place, concept in enumerate(classes):
        like: UnitChoice | None = None
        for method in METHODS:
            try:
                chosen = choose(dissection, concept, method=method, top=10**6, share=share, seed=seed)
            except ChoiceError:
                lacking.setdefault(method, []).append(concept)
                continue
            like = like or chosen
            choices.append(chosen)
        if like is not None:
            choices.append(choose(dissection, concept, method="random", like=like, seed=seed + _APART + place))
    return choices, lacking


def drawn_classes(subject: Subject, settings: Settings) -> tuple[list[str], list[Any]]:
    """The classes that are unlearned, and the clips that are measured."""
    labels = sorted({clip["label"] for clip in subject.held_out})
    drawn = sorted(random.Random(settings.seed).sample(labels, min(settings.classes, len(labels))))
    return drawn, measured_clips(subject, drawn, settings.others)


def measured_clips(subject: Subject, classes: Sequence[str], others: int) -> list[Any]:
    """The held-out clips of the classes, and so many of every other class."""
    seen: Counter[str] = Counter()
    kept = []
    for clip in subject.held_out:
        seen[clip["label"]] += 1
        if clip["label"] in classes or seen[clip["label"]] <= others:
            kept.append(clip)
    return kept


@dataclass(frozen=True)
class TitledMeasurement:
    """What was measured, what of, and for which classes a method had too few units."""

    measurement: Measurement
    title: str
    lacking: Row


@dataclass(frozen=True)
class Part:
    """One measurement: of some choices, each beside so many draws."""

    name: str
    title: str
    choices: list[UnitChoice]
    draws: int
    lacking: Row
    gain: float | None = None

    def measure(self, subject: Subject, clips: list[Any], settings: Settings) -> TitledMeasurement:
        """Measure it, or go on with it, or read it where it is done."""
        measurement = measure(
            subject.model, clips, self.choices, dissection=subject.dissection, draws=self.draws,
            how="zero" if self.gain is None else "amplify", gain=self.gain, bootstrap=settings.bootstrap,
            seed=settings.seed, device=settings.device, overlap="exclude", out=subject.work / self.name,
        )  # fmt: skip
        return TitledMeasurement(measurement, self.title, self.lacking)


def parts_of(subject: Subject, classes: Sequence[str], settings: Settings) -> list[Part]:
    """What is measured; first ocp and random units at the largest share, beside the most draws."""
    chosen = {share: choices_of(subject.dissection, classes, share, settings.seed) for share in SHARES}
    closely = [choice for choice in chosen[LARGEST][0] if choice.method in CLOSELY]
    amplified = [choice for choice in closely if choice.method == "ocp"]
    parts = [Part("zero-ocp", _title(LARGEST), closely, settings.draws, {})]
    for share, (choices, lacking) in chosen.items():
        others = [choice for choice in choices if share != LARGEST or choice not in closely]
        parts.append(Part(f"zero-{share:.0%}", _title(share), others, settings.few, lacking))
    return [*parts, Part("gain", f"{LARGEST:.0%} of the units times {GAIN:g}", amplified, settings.few, {}, GAIN)]


def run(subject: Subject, settings: Settings) -> tuple[Row, list[TitledMeasurement]]:
    """Everything about one subject; the first measurement is that of ocp at the largest share."""
    began = time.perf_counter()
    drawn, clips = drawn_classes(subject, settings)
    tables = [part.measure(subject, clips, settings) for part in parts_of(subject, drawn, settings)]
    largest = tables[0].measurement
    return {
        "subject": subject.name,
        "training": subject.about,
        "found_by_clips": subject.dissection.manifest.clips,
        "pool": POOL,
        "measured_by_clips": len(largest.outcomes.clips),
        "units": sum(width for site, width in subject.dissection.widths().items() if site != "unembed.hook_out"),
        "accuracy": round(largest.outcomes.accuracy(), 4),
        "classes": drawn,
        "aim": aim(largest),
        "aim_by_exemplars_alone": aim(largest, "ocp_exemplars"),
        "calibration": calibration(largest, settings.bootstrap, settings.seed),
        "seconds": round(time.perf_counter() - began),
        "tables": [_table(table) for table in tables],
        "rows": [compact(row.to_json()) for row in largest.rows()],
    }, tables


def _title(share: float) -> str:
    return f"{share:.0%} of the units at zero"


def _table(titled: TitledMeasurement) -> Row:
    measurement, methods = titled.measurement, []
    for row in measurement.by_method():
        places = [place for place, choice in enumerate(measurement.choices) if choice.method == row.method]
        rows = [measurement.summary("logit", [place]) for place in places]
        told = sum(_above_zero(summary.excess) for summary in rows)
        beside_chance = {"classes_told_from_chance": told, "verdict": verdict(row.logit.excess)}
        methods.append(_rounded(row.to_json()) | beside_chance)
    return {
        "what": titled.title,
        "draws": measurement.draws,
        "too_few_units": titled.lacking,
        "methods": methods,
    }


def aim(measurement: Measurement, method: str = "ocp") -> Row:
    """Of a method: the mean selectivity, and in how many classes the interval of the excess excludes zero."""
    rows = [row for row in measurement.rows() if row.method == method]
    selectivity = [row.logit.selectivity.value for row in rows]
    return {
        "classes": len(rows),
        "selectivity": round(float(np.mean(selectivity)), 3),
        "selectivity_of_1.5": sum(value >= 1.5 for value in selectivity),
        "told_from_chance": sum(_above_zero(row.logit.excess) for row in rows),
    }


def calibration(measurement: Measurement, bootstrap: int, seed: int) -> Row:
    """Every draw beside ocp as if it were a choice, against the other draws of its class: what chance is told to be."""
    labels = measurement.outcomes.labels
    weights = clip_weights(labels, bootstrap, seed)
    count = len(measurement.targets)
    delta = measurement.delta("logit")
    excluded, small = 0, []
    for place, choice in enumerate(measurement.choices):
        if choice.method != "ocp":
            continue
        drawn = slice(count + place * measurement.draws, count + (place + 1) * measurement.draws)
        targets = np.full(measurement.draws, measurement.targets[place])
        selectivity = changes(delta[drawn], labels, targets, weights).selectivity
        for first in range(measurement.draws):
            turned = np.roll(selectivity, -first, axis=1)
            _, low, high = prediction(turned[:, None])
            excluded += low is not None and high is not None and not low <= 0 <= high
            small.append(chance(turned[:1], seed))
    return {
        "random_choices": len(small),
        "interval_excludes_zero": round(excluded / max(1, len(small)), 4),
        "p_at_most_0.1": round(float(np.mean([p <= 0.1 for p in small])), 4) if small else None,
        "p_at_most_0.5": round(float(np.mean([p <= 0.5 for p in small])), 4) if small else None,
    }


def verdict(excess: Estimate | None) -> str:
    """Whether a selectivity is beyond that of its controls: by the prediction interval of the excess."""
    if _above_zero(excess):
        return "better than its controls"
    below = excess is not None and excess.high is not None and excess.high < 0
    return "worse than its controls" if below else "no better than chance"


def _above_zero(excess: Estimate | None) -> bool:
    """Whether an interval excludes zero, from above."""
    return excess is not None and excess.low is not None and excess.low > 0


def compact(row: Row) -> Row:
    """A choice's row for the file: with several hundred of them, the logit in full and of the others the changes."""
    names = ("own", "others", "selectivity", "excess")
    logit = {name: list(row["logit"][name].values()) for name in names}
    logit |= {name: row["logit"][name] for name in ("draws", "p")}
    others = {name: {part: row[name][part]["value"] for part in names} for name in ("probability", "accuracy")}
    return _rounded(row | {"logit": logit} | others)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unlearning", description=__doc__)
    parser.add_argument("--sounds", type=Path, help="folder of labelled, captioned audio with a metadata.csv")
    parser.add_argument("--model", type=Path, help="folder that benchmarks.train_ast made of these sounds")
    parser.add_argument("--classes", type=int, default=12, help="how many classes are unlearned, drawn by the seed")
    parser.add_argument("--draws", type=int, default=20, help="random draws beside ocp with 5 %% of the units")
    parser.add_argument("--few", type=int, default=3, help="random draws beside all other choices")
    parser.add_argument("--others", type=int, default=10**6, help="clips measured of each class that was not drawn")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates of the intervals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where the classifier runs while it is measured")
    parser.add_argument("--work", type=Path, help="folder for what is measured; the same command goes on from there")
    parser.add_argument("--no-embedded", action="store_true", help="leave the embedded AST out")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    if (options.model is None) != (options.sounds is None):
        parser.error("--model and --sounds belong together")
    names = ("classes", "draws", "few", "others", "bootstrap", "seed", "device")
    settings = Settings(**{name: getattr(options, name) for name in names})
    with TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        subjects = [] if options.no_embedded else [embedded_subject(folder / "embedded")]
        if options.model is not None:
            subjects.append(trained_subject(options.model, options.sounds, folder / "trained"))
        results = []
        for subject in subjects:
            result, tables = run(subject, settings)
            results.append(result)
            console = Console(width=150)
            console.print(f"{subject.name}: accuracy {result['accuracy']:.1%} on {result['measured_by_clips']} clips")
            for table in tables:
                console.print(f"{table.title} ({table.measurement.draws} draws)")
                console.print(method_table(table.measurement))
                if table.measurement.draws == settings.draws:
                    console.print(choice_table(table.measurement))
                    console.print(class_table(table.measurement, 0))
            console.print(f"aim: {result['aim']}; by exemplars alone: {result['aim_by_exemplars_alone']}")
            console.print(f"calibration: {result['calibration']}")
    if not options.no_write:
        targets = {"selectivity_of_ocp": "at least 1.5", "classes_told_from_chance": "at least 11 of 12"}
        print(write_report("unlearning", torch.device(options.device), {"subjects": results}, targets))


if __name__ == "__main__":
    main()
