"""Measure what choices of units unlearn, beside random units, in one pass over held-out clips."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import UNKNOWN, Source, open_source
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..model.devices import dtype_of
from ..model.fingerprint import describe_model, package_versions
from ..model.restoring import leaves_the_model_as_found
from ..storage import locked, read_tensors, short_hash, undamaged, write_tensors
from .ablation import Means, fills_of
from .forward import Pass, as_classifier, class_numbers
from .interventions import Intervention
from .names import plain_name
from .overlap import OverlapError, unseen, warn_of_another_model
from .result import RECORD, Measured
from .unit_set import ChoiceError, UnitChoice, matched

CHECKPOINT_SECONDS = 20.0
_PARTIAL = ".partial.safetensors"


@leaves_the_model_as_found
def measure(
    model: Any,
    data: Any,
    choices: UnitChoice | Sequence[UnitChoice],
    *,
    found: Dissection | None = None,
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
) -> Measured:
    """What ablating each choice changes of true-class logit, probability and accuracy, on its class's clips and others.

    One pass over the data serves all choices and controls: a batch is decoded and made into features once, the model
    runs on it as it is (with nothing attached to it), then with several choices ablated side by side.

    model     a classifier: an AudioModel, a transformers module, a hub id or local folder
    data      labelled clips that the units were not found by
    choices   each with a concept, which names a class of the model (capitals and underscores do not count), or is
              given one in `targets`
    found     the dissection that the units were chosen in: its clips are not measured by. Without it, what the choices
              say of their data is gone by
    draws     random draws beside every choice, each as many units of every site (`matched`; every one has a seed of its
              own, from `seed` on). With few the interval of the excess is wide (5: half as wide again as 20), and p
              is at least 1 / (1 + draws)
    how       zero, mean (with `means`, or a `found` with pool="mean"), resample, or amplify (with `gain`): see `ablate`
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
    for name, value, least in (("draws", draws, 0), ("bootstrap", bootstrap, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, it is {value}")
    if not choices:
        raise ValueError("there is no choice of units to measure")
    columns = {"audio_column": audio_column, "label_column": label_column}
    source = open_source(data, split=split, limit=limit, **columns)
    classifier = as_classifier(model, device, dtype)
    run = Pass(classifier, choices, Intervention(how, gain, seed), rows)
    run.fills = fills_of(run.sites, how, found, means)
    aims = np.array([_target(choice, run.classes, targets or {}) for choice in choices], dtype=np.int64)
    widths = {name: site.width for name, site in run.sites.items()}
    controls = [
        matched(choice, widths, seed + place * draws + draw)
        for place, choice in enumerate(choices)
        for draw in range(draws)
    ]
    run.choices = [*choices, *controls]
    keep = unseen(source, found, choices, overlap)
    about = {
        "versions": package_versions(),
        "model": describe_model(classifier),
        "dataset": {name: getattr(source, name) for name in ("kind", "name", "split", "fingerprint")}
        | {"limit": limit, **columns},
        "dissection": None if found is None else _origin(found),
        "how": how,
        "gain": gain,
        "overlap": overlap,
    }
    warn_of_another_model(found, about["model"], dtype_of(classifier.wrapped))
    key = _key(about, run, aims, batch_size, means)
    with ExitStack() as stack:
        folder = None if out is None else _Folder(Path(out).expanduser(), key, source, stack)
        if folder is not None and (done := folder.complete(draws, bootstrap, seed)) is not None:
            return done
        try:
            _run(run, source, folder, batch_size, num_workers, keep, progress)
        except OverlapError:  # told by what a clip holds, which shows only when it is decoded
            if folder is not None:
                stack.callback(folder.discard)
            raise
        measured = Measured(run.outcomes(), aims, draws, bootstrap, seed, {**about, "key": key})
        _check(measured)
        if folder is not None:
            folder.finish(measured)
    return measured


def _run(
    run: Pass, source: Source, folder: _Folder | None, batch_size: int, num_workers: int, keep: Any, progress: bool
) -> None:
    start = 0 if folder is None else folder.restore(run)
    position, saved = start, time.monotonic()
    try:
        for position in run.over(source, batch_size, num_workers, keep, progress, start):
            if folder is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                folder.checkpoint(run, position)
                saved = time.monotonic()
    except KeyboardInterrupt:
        if folder is not None:
            folder.checkpoint(run, position)
        raise


def _target(choice: UnitChoice, classes: Sequence[str], targets: Mapping[str, str]) -> int:
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


def _check(measured: Measured) -> None:
    labels = measured.outcomes.labels
    for target in measured.targets:
        own = int((labels == target).sum())
        if own in (0, len(labels)):
            which = "no clip" if own == 0 else "no clip but those"
            raise ValueError(f"there is {which} of the class {measured.outcomes.classes[target]!r} to measure by")


def _origin(found: Dissection) -> dict[str, Any]:
    return {"folder": str(found.folder), "dataset": found.manifest.dataset.to_json(), "clips": found.manifest.clips}


def _key(about: Mapping[str, Any], run: Pass, aims: np.ndarray, batch_size: int, means: Means | None) -> str:
    """What a measurement is of: it goes on only as the same."""
    filled = {name: fill.tolist() for name, fill in run.fills.items()} if means is not None else None
    said = [
        dict(about),
        [choice.to_json() for choice in run.choices],
        aims.tolist(),
        run.intervention.seed,
        batch_size,
        filled,
    ]
    return short_hash(json.dumps(said, sort_keys=True, default=str))


class _Folder:
    """Where a measurement is kept while it runs, and when it is done."""

    def __init__(self, path: Path, key: str, source: Source, stack: ExitStack) -> None:
        self.path, self.key = path, key
        self._known = source.fingerprint != UNKNOWN
        if path.exists() and not path.is_dir():
            raise DissectionError(f"{path} is a file: name a folder")
        if (path / RECORD).exists():
            said = Measured.load(path).about.get("key")
            if said != key or not self._known:
                raise DissectionError(f"{path} holds another measurement: name a new folder")
        self._new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock = stack.enter_context(locked(path / ".lock"))
        except BlockingIOError as error:
            raise DissectionError(f"another process is measuring into {path}") from error
        stack.callback(lambda: (path / ".lock").unlink(missing_ok=True))
        assert lock

    def complete(self, draws: int, bootstrap: int, seed: int) -> Measured | None:
        """What is there already; with other intervals, if others are asked for."""
        if not (self.path / RECORD).exists():
            return None
        done = Measured.load(self.path)
        if done.bootstrap != bootstrap:
            done = Measured(done.outcomes, done.targets, draws, bootstrap, seed, done.about)
            done.save(self.path)
        return done

    def restore(self, run: Pass) -> int:
        """Go on from the last checkpoint; gives the position it ended at."""
        partial = self.path / _PARTIAL
        if not partial.exists():
            return 0
        with undamaged(partial, "remove it to begin again", DissectionError):
            tensors, metadata = read_tensors(partial)
            said = json.loads(metadata["rest"])
            if said["key"] != self.key or not self._known:
                raise DissectionError(f"{self.path} holds part of another measurement: name a new folder")
            run.restore(tensors, said["state"])
            return int(said["position"])

    def checkpoint(self, run: Pass, position: int) -> None:
        """Keep what was measured up to a position, if the data can be recognised when it comes again."""
        if self._known:
            tensors, state = run.state()
            rest = json.dumps({"key": self.key, "position": position, "state": state})
            write_tensors(self.path / _PARTIAL, tensors, {"rest": rest})

    def discard(self) -> None:
        """Leave nothing behind of a measurement that must not be."""
        (self.path / _PARTIAL).unlink(missing_ok=True)
        (self.path / ".lock").unlink(missing_ok=True)
        if self._new:
            self.path.rmdir()

    def finish(self, measured: Measured) -> None:
        """Write the whole."""
        measured.save(self.path)
        (self.path / _PARTIAL).unlink(missing_ok=True)
