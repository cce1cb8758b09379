"""Does pruning the units of a concept unlearn it? The paper's Table 4, beside random units of the same layers.

For every class, each method chooses units in a dissection of clips that are not measured; the classifier then runs on
other labelled clips as it is, with the units at zero, and with random ones at zero, as many at every site. Two
comparisons: all units that a method finds; and, at equal size, each method's best, as many as the method that finds
fewest. `random` is one more random draw that is treated like a method: what it shows is what chance shows.

    python -m benchmarks.unlearning [--model DIR --sounds DIR] [--draws 5]

Without `--model`, only the embedded AST over synthetic sounds is measured. `--model` is a folder that
`benchmarks.train_ast` has made of the folder of `--sounds`: units are found by the clips it was trained on, and
measured by those that were held out. `tab` and `icl` need models that are not in the package, and are not measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console

from and_nnsight import AudioModel, ConceptScores, Dissection, dissect, explain
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.demo.train import HELD_OUT_SEED_OFFSET
from and_nnsight.stream import open_source
from and_nnsight.unlearn import ChoiceError, Measured, UnitChoice, choose, measure, ranked
from and_nnsight.unlearn.tables import class_table, method_table
from benchmarks._report import write_report
from benchmarks.train_ast import RECORD

SITES = ("*.hook_attn_out", "*.mlp.hook_pre", "*.hook_mlp_out")
"""The layers that the paper prunes: three linear layers of every block, and not the class head."""
METHODS = ("ocp", "db", "correlation")
TOP = 3
FEWEST = 5  # units: with fewer there is nothing to compare
OWN_SIZE = ", all it finds"
_APART = 1_000_000  # seeds of random units that no control has

Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A classifier, its units explained by some clips, and others to measure by."""

    name: str
    model: AudioModel
    found: Dissection
    held_out: Sequence[Any]
    about: Row


def embedded_subject(out: Path, per_class: int = 12, measured: int = 8) -> Subject:
    """The embedded AST; it was trained on none of these sounds."""
    finding = [_clip(sound) for sound in make_sounds(per_class, HELD_OUT_SEED_OFFSET + 1)]
    held_out = [_clip(sound) for sound in make_sounds(measured, HELD_OUT_SEED_OFFSET + 2)]
    model = AudioModel(str(tiny_ast_path()), dispatch=True)
    return Subject("embedded AST, synthetic sounds", model, _explained(model, finding, out), held_out, {})


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
    return Subject("trained AST, recorded sounds", model, _explained(model, finding, out), held_out, record)


def _clip(sound: Any) -> Row:
    names = ("sampling_rate", "label", "caption")
    return {"audio": sound.waveform, **{name: getattr(sound, name) for name in names}}


def _explained(model: AudioModel, clips: list[Row], out: Path) -> Dissection:
    scores = ConceptScores.from_labels({place: clip["label"] for place, clip in enumerate(clips)})
    found = dissect(model, clips, SITES, 16, out=out, batch_size=16, concepts=scores, progress=False)
    explain.explain(found, progress=False)
    explain.label(found, "labels", method="db", progress=False)
    return found


def choices_of(found: Dissection, classes: Sequence[str], seed: int) -> tuple[list[UnitChoice], Row]:
    """Every method's units for every class, at the method's own size and at equal size; and what was not found."""
    choices: list[UnitChoice] = []
    lacking: dict[str, list[str]] = {"ocp": [], "db": []}
    compared = 0
    for place, concept in enumerate(classes):
        sizes: dict[str, int] = {}
        for method in ("ocp", "db"):
            try:
                sizes[method] = len(ranked(found, concept, method=method, top=TOP, seed=seed).units)
            except ChoiceError:
                lacking[method].append(concept)
                continue
            chosen = choose(found, concept, method=method, top=TOP, seed=seed)
            choices.append(replace(chosen, method=f"{method}{OWN_SIZE}"))
        count = min(sizes.values(), default=0)
        if len(sizes) < 2 or count < FEWEST:
            continue
        compared += 1
        equal = [choose(found, concept, method=method, top=TOP, count=count, seed=seed) for method in METHODS]
        choices += [*equal, choose(found, concept, method="random", like=equal[0], seed=seed + _APART + place)]
    return choices, {"classes": len(classes), "compared_at_equal_size": compared, "no_units": lacking}


def run(subject: Subject, draws: int, bootstrap: int, seed: int) -> tuple[Row, Measured]:
    """Everything about one subject."""
    began = time.perf_counter()
    labels = sorted({clip["label"] for clip in subject.held_out})
    choices, about = choices_of(subject.found, labels, seed)
    measured = measure(
        subject.model, subject.held_out, choices, found=subject.found, draws=draws, bootstrap=bootstrap, seed=seed,
        batch_size=8, device="cpu",
    )  # fmt: skip
    rows = measured.by_method()
    return {
        "subject": subject.name,
        "training": subject.about,
        "found_by_clips": subject.found.manifest["clips"],
        "measured_by_clips": len(measured.outcomes.clips),
        "units": sum(subject.found.widths().values()),
        "accuracy": round(measured.outcomes.accuracy(), 4),
        **about,
        "forwards_of_a_clip": len(measured.outcomes.choices) + 1,
        "seconds": round(time.perf_counter() - began),
        "methods": [_rounded(row) | {"verdict": verdict(row)} for row in rows],
        "rows": [compact(row) for row in measured.rows()],
    }, measured


def verdict(row: Row) -> str:
    """Whether a method's selectivity in the logit is beyond that of its controls.

    By the interval of the excess, which is over clips and control draws, and by p, which is over the choice of units: a
    random draw may beat others by its luck on any number of clips.
    """
    low, high = (row["logit"]["excess"][name] for name in ("low", "high"))
    if low > 0 and row["logit"]["p"] < 0.01:
        return "better than its controls"
    return "worse than its controls" if high < 0 and row["logit"]["p"] > 0.99 else "no better than chance"


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
    parser.add_argument("--draws", type=int, default=5, help="random draws beside every choice")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates of the intervals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    if (options.model is None) != (options.sounds is None):
        parser.error("--model and --sounds belong together")
    with TemporaryDirectory() as folder:
        subjects = [embedded_subject(Path(folder) / "embedded")]
        if options.model is not None:
            subjects.append(trained_subject(options.model, options.sounds, Path(folder) / "trained"))
        results = []
        for subject in subjects:
            result, measured = run(subject, options.draws, options.bootstrap, options.seed)
            results.append(result)
            console = Console(width=140)
            console.print(f"{subject.name}: accuracy {result['accuracy']:.1%} on {result['measured_by_clips']} clips")
            console.print(method_table(measured))
            console.print(class_table(measured, 0))
            for row in result["methods"]:
                console.print(f"{row['method']}: {row['verdict']} ({row['classes']} classes)")
    if not options.no_write:
        targets = {"excess_of_ocp_at_equal_size": "above 0"}
        print(write_report("unlearning", torch.device("cpu"), {"subjects": results}, targets))


if __name__ == "__main__":
    main()
