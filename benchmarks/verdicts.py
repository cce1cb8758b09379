"""Do verdicts have power, and are they calibrated? True claims, claims of other units, claims about noise.

Each dissection is scored (`explain.score`) with the claims that were made of its units; with the same claims dealt out
anew among the units of each site (`other units'`); and over held-out clips whose activations were dealt out anew, so
that no claim can be true (`noise`). Planted units (see `planted`) say which claims are right.

    python -m benchmarks.verdicts [--seeds 0 1 2] [--per-class 12] [--real NAME DIR HELD_OUT_DIR] ...

`--real` adds the dissection of a real model that has been explained, and one of the same model over held-out, captioned
clips (--keep-activations). Nothing in their folders is changed. What the rule before this one says of the same claims
stands beside it, without its comparison with other claims, so that no more than these passed: Pearson and AUPRC above
those of the null that goes best with the unit, and Pearson above 1.645 / √clips.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch
from rich.console import Console
from rich.table import Table

from and_nnsight import Dissection, dissect
from and_nnsight.demo import make_sounds
from and_nnsight.dissection.files import activation_file
from and_nnsight.explain import caption, explain, label, score, score_concepts
from and_nnsight.explain.evaluate.baselines import NULLS
from and_nnsight.explain.evaluate.verdicts import verdict
from and_nnsight.explain.records.claim_rows import ScoreRow
from and_nnsight.storage import array_checksum, write_json
from benchmarks._report import write_report
from benchmarks.planted import CAPTIONERS, HELD_OUT_SEED, SITES, says_rightly
from benchmarks.planted_model import Planted, PlantedModel

TARGETS = {"rightly_named_hold": 0.9, "noise_holds": 0.05, "other_units_hold_and_are_distinctive": 0.05}
_SEED = 7  # of what is dealt out anew
_K = 16
_TEXTS = {"summaries": "highly", "calibrated": "calibrated", "labels": "concept"}

Row = dict[str, Any]


def planted(seed: int, per_class: int, folder: Path) -> list[Row]:
    """Every claim about the units of one planted model, by each captioner: what it is, and what was said of it."""
    model = PlantedModel(seed)
    sounds, others = (list(make_sounds(per_class, number)) for number in (seed, seed + HELD_OUT_SEED))
    options: dict[str, Any] = {"sites": SITES, "k": _K, "progress": False, "batch_size": 16}
    dissection = dissect(model, sounds, out=folder / "run", **options)
    held_out = dissect(model, others, out=folder / "held-out", keep_activations=True, **options)
    kinds = sorted({sound.label for sound in sounds})
    rows: list[Row] = []
    for captioner in CAPTIONERS:
        caption(held_out, captioner, data=others, every_clip=True, progress=False)
        explain(dissection, captioner=captioner, data=sounds, every_clip=True, progress=False)
        label(dissection, score_concepts(dissection, kinds, progress=False), similarity="cos_cubed", progress=False)
        scored = every_way(dissection, held_out, folder / "ways", data=sounds, held_out_data=others)
        rows += [{**row, "data": "planted", "captions": captioner} | _truth(model, row) for row in scored]
    return rows


def _truth(model: PlantedModel, row: Row) -> Row:
    """Whether a claim is right, and may hold: no null alone detects the clips of its unit as well as the claim does."""
    unit = model.units[int(row["site"].split(".")[1])][row["unit"]]
    right = _is_right(unit, row)
    acoustic = unit.null is not None or (right and row["auprc"] is not None and _best_null(row) >= row["auprc"])
    return {"name": unit.name, "right": right, "acoustic": acoustic, "meaningless": not unit.classes}


def _is_right(unit: Planted, row: Row) -> bool:
    if row["source"] == "explanation":
        return bool(unit.classes) and says_rightly(unit, row["text"])
    return row["text"] in unit.classes


def _best_null(row: Row) -> float:
    return max(row[f"{null}_auprc"] for null in NULLS)


def every_way(dissection: Dissection, held_out: Dissection, folder: Path, **options: Any) -> list[Row]:
    """The scores of the claims that were made, of those dealt out anew among units, and of those about noise.

    Scored are copies in the folder: what is given is not written to.
    """
    random = np.random.default_rng(_SEED)
    own, judges = _copy(dissection, folder / "own"), _copy(held_out, folder / "judges")
    rows = _scored("own", own, judges, options)
    others = _copy(own, folder / "others")
    _deal_out_claims(others, random)
    rows += _scored("other units'", others, judges, options)
    noise = activations_dealt_out(_copy(judges, folder / "noise"), random)
    (own.folder / "explanations" / "scores.parquet").unlink()  # what was scored would not be scored again
    rows += _scored("noise", own, noise, options)
    for name in ("own", "judges", "others", "noise"):
        shutil.rmtree(folder / name)
    return rows


def _scored(way: str, dissection: Dissection, held_out: Dissection, options: Mapping[str, Any]) -> list[Row]:
    return [{**row.columns(), "way": way} for row in score(dissection, held_out, progress=False, **options)]


def _copy(dissection: Dissection, folder: Path) -> Dissection:
    shutil.copytree(dissection.folder, folder)
    return Dissection.load(folder)


def _deal_out_claims(dissection: Dissection, random: np.random.Generator) -> None:
    """What is claimed of the units of a site by one source is claimed of others of them."""
    for name, column in _TEXTS.items():
        path = dissection.folder / "explanations" / f"{name}.parquet"
        if not path.exists():
            continue
        table = parquet.read_table(path)
        rows = table.to_pylist()
        groups: dict[tuple[Any, ...], list[int]] = {}
        for place, row in enumerate(rows):
            if row[column] and not row.get("rank"):
                source = tuple(row.get(part) for part in ("site", "method", "similarity", "concepts", "encoder"))
                groups.setdefault(source, []).append(place)
        for places in groups.values():
            dealt = [rows[places[other]][column] for other in random.permutation(len(places))]
            for place, text in zip(places, dealt, strict=True):
                rows[place][column] = text
        parquet.write_table(arrow.Table.from_pylist(rows, table.schema), path)


def activations_dealt_out(held_out: Dissection, random: np.random.Generator) -> Dissection:
    """Every clip has the activations of another, so that no claim is true, while units stay as alike as they were.

    The folder itself is changed, checksums included.
    """
    order = random.permutation(len(held_out.clips))
    manifest = held_out.folder / "manifest.json"
    described = json.loads(manifest.read_text(encoding="utf-8"))
    for site in held_out.sites:
        path = activation_file(held_out.folder, site)
        dealt = np.load(path)[order]
        np.save(path, dealt)
        described["checksums"][path.relative_to(held_out.folder).as_posix()] = array_checksum(dealt).hexdigest()
    write_json(manifest, described)
    return Dissection.load(held_out.folder)


def summary(rows: Sequence[Row]) -> list[Row]:
    """By data, captions, source and way: how many claims could be judged, and the shares that passed what."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["p"] is not None:
            kind = " ".join(row["source"].split()[:3])
            groups.setdefault((row["data"], row["captions"], kind, row["way"], "all"), []).append(row)
            for among in _groups(row):
                groups.setdefault((row["data"], row["captions"], kind, row["way"], among), []).append(row)
    return [
        dict(zip(("data", "captions", "source", "claims", "among"), group, strict=True)) | _shares(some)
        for group, some in groups.items()
    ]


def _groups(row: Row) -> list[str]:
    """Of planted units: what is right and not acoustic must hold; what is acoustic, or means nothing, must not."""
    if "right" not in row or row["way"] == "noise":
        return []
    if row["meaningless"]:
        return ["meaningless units"]
    if not row["right"]:
        return ["not right"]
    return [
        "right",
        "right, and an acoustic null does as well" if row["acoustic"] else "right, and no null does as well",
    ]


def _shares(rows: Sequence[Row]) -> Row:
    verdicts = [verdict(ScoreRow.of_columns(row)) for row in rows]
    shares = {
        "p_at_most_5_percent": [row["p"] <= 0.05 for row in rows],
        "p_beyond_at_most_5_percent": [row["p_beyond"] <= 0.05 for row in rows],
        "predict": [known.predicts for known in verdicts],
        "hold": [known.holds for known in verdicts],
        "hold_and_are_distinctive": [known.holds and known.distinctive for known in verdicts],
        "old_rule_at_most": [_old_rule(row) for row in rows],
    }
    return {"of": len(rows), **{name: round(float(np.mean(passed)), 4) for name, passed in shares.items()}}


def _old_rule(row: Row) -> bool:
    """Without its comparison with other claims: no more than these passed."""
    chance = 1.645 / (row["clips"] - 1) ** 0.5
    return row["auprc"] > row["null_auprc"] and row["pearson"] > max(row["null_pearson"], chance)


def print_summary(rows: Iterable[Row]) -> None:
    """The summary as a table."""
    columns = ("p", "p beyond", "predict", "hold", "distinctive", "old rule")
    table = Table("data", "captions", "source", "claims", "among", "of", *columns, title="Shares of claims")
    for row in rows:
        shares = [f"{value:.1%}" for value in list(row.values())[6:]]
        table.add_row(*(str(value) for value in list(row.values())[:6]), *shares)
    Console(width=170).print(table)


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="of planted units and their sounds")
    parser.add_argument("--per-class", type=int, default=12, help="clips of each kind of sound")
    parser.add_argument(
        "--real", nargs=3, action="append", default=[], metavar=("NAME", "DIR", "HELD_OUT_DIR"),
        help="an explained dissection, and one over held-out clips",
    )  # fmt: skip
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    rows: list[Row] = []
    for seed in options.seeds:
        with TemporaryDirectory() as folder:
            rows += planted(seed, options.per_class, Path(folder))
    for name, dissection, held_out in options.real:
        with TemporaryDirectory() as folder:
            scored = every_way(Dissection.load(dissection), Dissection.load(held_out), Path(folder))
        rows += [{**row, "data": name, "captions": ""} for row in scored]
    shares = summary(rows)
    print_summary(shares)
    if not options.no_write:
        numbers = {"seeds": options.seeds, "per_class": options.per_class, "summary": shares}
        print(write_report("verdicts", torch.device("cpu"), numbers, TARGETS))


if __name__ == "__main__":
    main()
