"""One pass over labelled clips: what a classifier says of each as it is, and with each choice of units ablated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ..data import Batch, Clip, Source, batches, open_source
from ..model.adapter import ListenedModel
from ..model.audio_model import AudioModel
from ..model.devices import device_of
from ..model.features import Features, Group
from ..model.opening import as_model, moved
from ..model.restoring import evaluating, leaves_the_model_as_found
from ..progress import ClipProgress
from ..sites.site import Site
from ..wording import counted
from .ablation import Means, fills_of, hooked, model_sites
from .interventions import Intervention, SiteAblation, site_ablations
from .names import plain_name
from .unit_set import UnitChoice

Keep = Callable[[Clip], bool]
_ROWS_ON_CPU, _ROWS = 32, 512


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is said of each clip's true class: its logit, its probability, and whether it is the likeliest class."""

    logit: Float64[np.ndarray, "*choice clip"]
    probability: Float64[np.ndarray, "*choice clip"]
    correct: Bool[np.ndarray, "*choice clip"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What a classifier says of labelled clips, as it is and with units ablated.

    clips     the clips, in the order of the data
    labels    their true classes, as numbers into `classes`
    classes   the model's classes, in the order of its logits
    choices   the choices of units
    baseline  with nothing ablated: the plain forward of the model, [clip]
    ablated   with each choice ablated, [choice, clip]
    left_out  clips that were not measured, by the reason
    """

    clips: tuple[Clip, ...]
    labels: Int64[np.ndarray, " clip"]
    classes: tuple[str, ...]
    choices: tuple[UnitChoice, ...]
    baseline: Outcome
    ablated: Outcome
    left_out: Mapping[str, int]

    def accuracy(self) -> float:
        """Share of the clips whose likeliest class is theirs, with nothing ablated."""
        return float(self.baseline.correct.mean())

    def accuracies(self) -> Float64[np.ndarray, " choice"]:
        """The same with each choice ablated."""
        return self.ablated.correct.mean(1)


@leaves_the_model_as_found
def ablated_outcomes(
    model: Any,
    data: Any,
    choices: Sequence[UnitChoice],
    *,
    how: str = "zero",
    means: Means | None = None,
    gain: float | None = None,
    seed: int = 0,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    limit: int | None = None,
    keep: Keep | None = None,
    batch_size: int = 16,
    rows: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    num_workers: int = 0,
    progress: bool = True,
) -> Outcomes:
    """Run labelled clips through a classifier once: as it is, and with each choice of units ablated.

    Each batch is decoded and made into features once. First the model runs on it as it is; then several choices run
    side by side, as rows of one larger batch.

    model    an AudioModel, a transformers module, a hub id or local folder; its logits must be one row a clip
    data     anything that `dissect` takes, whose labels are names of the model's classes (capitals and underscores do
             not count); clips with another label, or none, are left out
    choices  the choices; with none, only the baseline is run
    how, means, gain, seed   as for `ablate`
    keep     which clips to measure; None: all
    rows     how many rows a forward has at most: as many choices run side by side as fit. None: 32 on a CPU, where more
             are no faster, else 512
    Everything else is as for `dissect`.

    Raises ValueError for a model without a class head, data without a clip whose label is a class, and what `ablate`
    raises it for; ChoiceError for units that the model does not have.
    """
    source = open_source(data, split=split, audio_column=audio_column, label_column=label_column, limit=limit)
    classifier = as_classifier(model, device, dtype)
    run = Pass(classifier, choices, Intervention(how, gain, seed), rows)
    run.fills = fills_of(run.sites, how, None, means)
    for _ in run.over(source, batch_size, num_workers, keep, progress):
        pass
    return run.outcomes()


class Pass:
    """A pass over the data in progress: what it has measured so far."""

    def __init__(
        self,
        model: AudioModel,
        choices: Sequence[UnitChoice],
        intervention: Intervention,
        rows: int | None,
    ) -> None:
        if rows is not None and rows < 1:
            raise ValueError(f"rows must be at least 1, it is {rows}")
        self.model, self.choices, self.intervention = model, choices, intervention
        self.fills: Mapping[str, Tensor] = {}
        self.device = device_of(model.wrapped)
        self.rows = rows or (_ROWS_ON_CPU if self.device.type == "cpu" else _ROWS)
        self.sites: dict[str, Site] = model_sites(model, choices)
        self.classes = class_names(model)
        self._class_of = class_numbers(self.classes)
        self.clips: list[Clip] = []
        self.left_out: Counter[str] = Counter()
        self.strange: Counter[str] = Counter()
        self._together, self._kept = 0, dict[int, list[SiteAblation]]()
        self._measured: list[Tensor] = []  # float64 [3, 1 + choice, clip]: logit, probability, correct
        self._end_batch()

    def over(
        self, source: Source, batch_size: int, num_workers: int, keep: Keep | None, progress: bool, start: int = 0
    ) -> Iterator[int]:
        """Measure the clips of a source; gives the position up to which it has come, after every batch."""
        featuriser = self.model.featuriser
        prepared = batches(
            source,
            sampling_rate=featuriser.sampling_rate,
            featurise=featuriser.groups,
            batch_size=batch_size,
            num_workers=num_workers,
            start=start,
            minimum_samples=featuriser.minimum_samples,
            window_samples=featuriser.window_samples,
        )
        bar = ClipProgress(source.length, start, progress, "measuring")
        with closing(prepared), evaluating(self.model.wrapped), bar:
            for batch in prepared:
                self.left_out["could not be read"] += len(batch.quarantined)
                for group in batch.inputs or ():
                    self._take(batch, group, keep)
                self._end_batch()
                bar.advance(batch.size)
                yield batch.position + batch.size

    def _end_batch(self) -> None:
        """What was measured so far is of whole batches."""
        self._whole = (len(self._measured), len(self.clips), Counter(self.left_out), Counter(self.strange))

    def _take(self, batch: Batch[tuple[Group, ...]], group: Group, keep: Keep | None) -> None:
        chosen: list[int] = []
        clips: list[Clip] = []
        for place, row in enumerate(group.rows):
            clip = batch.clips[row]
            if keep is not None and not keep(clip):
                self.left_out["not to be measured"] += 1
            elif clip.label is None:
                self.left_out["no label"] += 1
            elif plain_name(clip.label) not in self._class_of:
                self.left_out["a label that is no class of the model"] += 1
                self.strange[clip.label] += 1
            else:
                chosen.append(place)
                clips.append(clip)
        if not chosen:
            return
        features = {name: value[chosen] for name, value in group.features.items()}
        labels = torch.from_numpy(label_numbers(clips, self.classes))
        self._measured.append(self._measure(features, labels))
        self.clips += clips

    def _measure(self, features: Features, labels: Int64[Tensor, " clip"]) -> Tensor:
        """Everything about a batch: float64 [3, 1 + choice, clip]."""
        features = moved(features, self.device)
        clips = len(labels)
        together = max(1, self.rows // clips)
        with torch.no_grad():
            parts = [self._score(self._logits(features)[None], labels)]
            for first in range(0, len(self.choices), together):
                some = self.choices[first : first + together]
                stacked = {name: value.repeat(len(some), *(1,) * (value.ndim - 1)) for name, value in features.items()}
                with hooked(self.model.wrapped, self._ablations(first, together)):
                    logits = self._logits(stacked)
                parts.append(self._score(logits.unflatten(0, (len(some), clips)), labels))
        return torch.cat(parts, 1)

    def _ablations(self, first: int, together: int) -> list[SiteAblation]:
        """The changes by the choices from `first` on; kept on the device while as many run side by side."""
        if together != self._together:
            self._kept.clear()
            self._together = together
        if first not in self._kept:
            some = self.choices[first : first + together]
            self._kept[first] = site_ablations(self.sites, some, self.intervention, self.fills)
            for ablation in self._kept[first]:
                ablation.to(self.device)
        return self._kept[first]

    def _logits(self, features: Features) -> Tensor:
        output = self.model._call(**self.model._complete(features))
        logits = getattr(output, "logits", None)
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != len(self.classes):
            raise ValueError(
                f"{type(self.model.wrapped).__name__} gives no logits [clip, class] for its {len(self.classes)} "
                "classes: only a classifier of whole clips can be measured"
            )
        return logits

    def _score(self, logits: Tensor, labels: Int64[Tensor, " clip"]) -> Tensor:
        """[variant, clip, class] to float64 [3, variant, clip], on the CPU."""
        logits = logits.double().cpu()
        places = labels.expand(len(logits), -1)[..., None]
        right = logits.argmax(-1) == labels
        true = (scores.gather(-1, places)[..., 0] for scores in (logits, logits.softmax(-1)))
        return torch.stack([*true, right.double()])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was measured of whole batches, to go on from another time: a tensor, and the rest as JSON."""
        parts, clips, left_out, strange = self._whole
        none = torch.empty(3, 1 + len(self.choices), 0, dtype=torch.float64)
        measured = torch.cat([none, *self._measured[:parts]], 2)
        rest = {"clips": [asdict(clip) for clip in self.clips[:clips]], "left_out": left_out, "strange": strange}
        return {"measured": measured.contiguous()}, rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._measured = [tensors["measured"]]
        self.clips = [Clip(**row) for row in rest["clips"]]
        self.left_out, self.strange = Counter(rest["left_out"]), Counter(rest["strange"])
        self._end_batch()

    def outcomes(self) -> Outcomes:
        """What was measured. Raises ValueError if it is nothing."""
        if not self.clips:
            near = [f"{label!r} ({', '.join(_near(label, self.classes))})" for label, _ in self.strange.most_common(3)]
            reasons = "; ".join(
                f"{counted(count, 'clip')}: {reason}" for reason, count in self.left_out.items() if count
            )
            hint = f"; labels such as {', '.join(near)}" if near else ""
            raise ValueError(f"there is no clip to measure by ({reasons or 'the data is empty'}{hint})")
        measured = torch.cat(self._measured, 2).numpy()
        order = np.argsort([clip.id for clip in self.clips], kind="stable")  # clips of one length ran together
        logit, probability, correct = measured[:, :, order]
        clips = tuple(self.clips[place] for place in order)
        return Outcomes(
            clips,
            label_numbers(clips, self.classes),
            self.classes,
            tuple(self.choices),
            Outcome(logit[0], probability[0], correct[0] > 0),
            Outcome(logit[1:], probability[1:], correct[1:] > 0),
            {reason: count for reason, count in self.left_out.items() if count},
        )


def as_classifier(model: Any, device: str | torch.device | None, dtype: str | torch.dtype | None) -> AudioModel:
    """The AudioModel that is measured. Raises ValueError for a model of another kind, or one with edits."""
    opened = as_model(model, device, dtype)
    if isinstance(opened, ListenedModel):
        raise ValueError(
            f"{type(opened).__name__} cannot be ablated here: give the AudioModel, or the transformers checkpoint"
        )
    if opened._edits:
        raise ValueError("the model has edits, so its baseline would not be the unpruned model: give the original")
    return opened


def class_names(model: AudioModel) -> tuple[str, ...]:
    """The model's classes, in the order of its logits. Raises ValueError for a model that names none."""
    names: Mapping[Any, str] = getattr(getattr(model.wrapped, "config", None), "id2label", None) or {}
    by_number = {int(number): name for number, name in names.items()}
    head = [site for site in model.sites() if site.name == "unembed.hook_out"]
    if not by_number or not head or sorted(by_number) != list(range(head[0].width)):
        raise ValueError(
            f"{type(model.wrapped).__name__} is no classifier whose config names every class: what a concept loses "
            "shows in its class's logit"
        )
    return tuple(by_number[number] for number in range(len(by_number)))


def class_numbers(classes: Sequence[str]) -> dict[str, int]:
    """The number of each class by its name without capitals and underscores.

    Raises ValueError where two classes have one name.
    """
    numbers: dict[str, int] = {}
    for number, name in enumerate(classes):
        if numbers.setdefault(plain_name(name), number) != number:
            raise ValueError(f"two classes of the model are called {name!r}: labels cannot tell them apart")
    return numbers


def label_numbers(clips: Sequence[Clip], classes: Sequence[str]) -> Int64[np.ndarray, " clip"]:
    """The number of each clip's class. Raises KeyError for a label that is no class."""
    numbers = class_numbers(classes)
    return np.array([numbers[plain_name(clip.label or "")] for clip in clips], dtype=np.int64)


def _near(label: str, classes: Iterable[str]) -> list[str]:
    return get_close_matches(label, list(classes), n=2, cutoff=0.3) or ["near no class"]
