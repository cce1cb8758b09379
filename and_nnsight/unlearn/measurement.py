"""Measure what choices of units unlearn, beside random units, in one pass over held-out clips."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from ..data import Source
from ..data.options import DataOptions
from ..dissection.dissection import Dissection
from ..model.devices import dtype_of
from ..model.fingerprint import package_versions
from ..model.restoring import preserves_model
from ..run.options import RunOptions
from ..storage import short_hash
from .ablation import Means, fills_of, model_sites
from .classes import as_classifier, class_names, class_numbers
from .controls import Comparison
from .forward import Pass
from .interventions import Intervention
from .measurement_folder import MeasurementFolder, measurement_folder
from .names import plain_name
from .overlap import unseen, warn_of_another_model
from .provenance import Provenance
from .result import Measurement
from .unit_set import ChoiceError, UnitChoice

CHECKPOINT_SECONDS = 20.0


@preserves_model
def measure(
    model: Any,
    data: Any,
    choices: UnitChoice | Sequence[UnitChoice],
    *,
    dissection: Dissection | None = None,
    draws: int = 20,
    how: str = "zero",
    means: Means | None = None,
    gain: float | None = None,
    targets: Mapping[str, str] | None = None,
    overlap: str = "refuse",
    bootstrap: int = 1000,
    seed: int = 0,
    out: str | Path | None = None,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    rows: int | None = None,
    num_workers: int = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: bool = True,
) -> Measurement:
    """What ablating each choice changes of true-class logit, probability and accuracy, on its class's clips and others.

    One pass over the data serves all choices and controls: a batch is decoded and made into features once, the model
    runs on it as it is (with nothing attached to it), then with several choices ablated side by side.

    model     a classifier: an AudioModel, a transformers module, a hub id or local folder
    data      labelled clips that the units were not found by
    choices   each with a concept, which names a class of the model (capitals and underscores do not count), or is
              given one in `targets`
    dissection  in which the units were chosen: its clips are not measured by. Without it, what the choices say of their
              data is gone by
    draws     random draws beside every choice, each as many units of every site, or other sites of the same kind
              beside a whole one (`matched`; every one has a seed of its own, from `seed` on). With few the interval of
              the excess is wide (5: half as wide again as 20), and p is at least 1 / (1 + draws)
    how       zero, mean (with `means`, or a `dissection` of pool="mean"), resample, or amplify (with `gain`): see
              `ablate`
    overlap   clips that the units were found by: refuse (raise), exclude (leave out) or allow (warn)
    bootstrap replicates of the intervals over clips
    out       folder to write to. The same call goes on where it was stopped, and returns what is complete. Nothing of
              a measurement is left there in which `overlap` refuses a clip
    Everything else is as for `ablated_outcomes`.

    Raises OverlapError for clips that the units were found by; ChoiceError for a concept that is no class, and for
    units that the model does not have; ValueError for a model or data that cannot be measured, and for a class without
    clips; DissectionError for a folder that holds something else.
    """
    choices = [choices] if isinstance(choices, UnitChoice) else list(choices)
    comparison = Comparison(draws, bootstrap, seed)
    if not choices:
        raise ValueError("there is no choice of units to measure")
    columns = DataOptions(split, audio_column, label_column, limit=limit)
    options = RunOptions(device, dtype, batch_size, num_workers, progress)
    source = columns.open(data)
    classifier = as_classifier(model, device, dtype)
    sites = model_sites(classifier, choices, alike=draws > 0)
    fills = fills_of(sites, how, dissection, means)
    numbers = _class_numbers(choices, class_names(classifier), targets or {})
    keep = unseen(source, dissection, choices, overlap)
    variants = [*choices, *comparison.controls(choices, sites)]
    run = Pass(classifier, sites, variants, Intervention(how, gain, seed), fills, keep, rows)
    provenance = _provenance(run, source, columns, dissection, overlap)
    warn_of_another_model(dissection, provenance.model, dtype_of(classifier.wrapped))
    key = _key(provenance, run, numbers, batch_size, means)
    with nullcontext() if out is None else measurement_folder(Path(out).expanduser(), key, source) as folder:
        complete = None if folder is None else folder.complete(comparison)
        if complete is not None:
            return complete
        _run(run, source, folder, options)
        measurement = Measurement(run.outcomes(), numbers, draws, bootstrap, seed, replace(provenance, key=key))
        _check_classes(measurement)
        if folder is not None:
            folder.finish(measurement)
    return measurement


def _run(run: Pass, source: Source, folder: MeasurementFolder | None, options: RunOptions) -> None:
    """Measure all clips; with a folder, from its checkpoint on, and to a new one every while and at Ctrl-C."""
    start = 0 if folder is None else folder.restore(run)
    position, saved = start, time.monotonic()
    try:
        for position in run.over(source, options, start):
            if folder is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                folder.checkpoint(run, position)
                saved = time.monotonic()
    except KeyboardInterrupt:
        if folder is not None:
            folder.checkpoint(run, position)
        raise


def _class_numbers(
    choices: Sequence[UnitChoice], classes: Sequence[str], targets: Mapping[str, str]
) -> Int64[np.ndarray, " choice"]:
    """The class that each choice is to unlearn."""
    return np.array([_class_number(choice, classes, targets) for choice in choices], dtype=np.int64)


def _class_number(choice: UnitChoice, classes: Sequence[str], targets: Mapping[str, str]) -> int:
    if choice.concept is None:
        raise ChoiceError("a choice without a concept cannot be measured: say what its units are to unlearn (concept=)")
    name = targets.get(choice.concept, choice.concept)
    number = class_numbers(classes).get(plain_name(name))
    if number is None:
        near = get_close_matches(name, classes, n=5, cutoff=0.4)
        hint = f" (near ones: {', '.join(near)})" if near else ""
        raise ChoiceError(
            f"{name!r} is no class of the model{hint}: name the class that the concept is in targets= (--class)"
        )
    return number


def _check_classes(measurement: Measurement) -> None:
    """Raise ValueError for a choice whose class has no clip, or all of them."""
    labels = measurement.outcomes.labels
    for target in measurement.targets:
        own = int((labels == target).sum())
        if own in (0, len(labels)):
            which = "no clip" if own == 0 else "no clip but those"
            raise ValueError(f"there is {which} of the class {measurement.outcomes.classes[target]!r} to measure by")


def _provenance(
    run: Pass, source: Source, columns: DataOptions, dissection: Dissection | None, overlap: str
) -> Provenance:
    dataset = {name: getattr(source, name) for name in ("kind", "name", "split", "fingerprint")}
    dataset |= {name: getattr(columns, name) for name in ("limit", "audio_column", "label_column")}
    return Provenance(
        versions=package_versions(),
        model=run.model.describe(),
        dataset=dataset,
        dissection=None if dissection is None else _origin(dissection),
        how=run.intervention.how,
        gain=run.intervention.gain,
        overlap=overlap,
    )


def _origin(dissection: Dissection) -> dict[str, Any]:
    manifest = dissection.manifest
    return {"folder": str(dissection.folder), "dataset": manifest.dataset.to_json(), "clips": manifest.clips}


def _key(provenance: Provenance, run: Pass, numbers: np.ndarray, batch_size: int, means: Means | None) -> str:
    """What a measurement is of: it goes on only as the same."""
    given_fills = None if means is None else {name: fill.tolist() for name, fill in run.fills.items()}
    about = provenance.to_json()
    del about["key"]
    identity = [
        about,
        [choice.to_json() for choice in run.choices],
        numbers.tolist(),
        run.intervention.seed,
        batch_size,
        given_fills,
    ]
    return short_hash(json.dumps(identity, sort_keys=True, default=str))
