"""One pass over labelled clips: what a classifier says of each as it is, and with each choice of units ablated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ..data import Clip, Source
from ..data.options import DataOptions
from ..model.audio_model import AudioModel
from ..model.device_features import featuriser_on
from ..model.devices import to_device
from ..model.features import Features
from ..model.restoring import eval_mode, preserves_model
from ..run.loop import GroupedBatch, run_batches
from ..run.options import RunOptions
from ..sites.site import Site
from ..wording import Brief, counted
from .ablation import Means, fills_of, model_sites
from .classes import as_classifier, class_names, class_numbers, label_numbers
from .hooks import hooked
from .interventions import Intervention, SiteAblation, site_ablations
from .names import plain_name
from .unit_set import UnitChoice

Keep = Callable[[Clip], bool]
_ROWS_ON_CPU, _ROWS = 32, 512


@dataclass(frozen=True, eq=False)
class Outcome(Brief):
    """What is said of each clip's true class: its logit, its probability, and whether it is the likeliest class."""

    logit: Float64[np.ndarray, "*choice clip"]
    probability: Float64[np.ndarray, "*choice clip"]
    correct: Bool[np.ndarray, "*choice clip"]


@dataclass(frozen=True, eq=False)
class Outcomes(Brief):
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


@preserves_model
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
    source = DataOptions(split, audio_column, label_column, limit=limit).open(data)
    options = RunOptions(device, dtype, batch_size, num_workers, progress)
    classifier = as_classifier(model, device, dtype)
    sites = model_sites(classifier, choices)
    fills = fills_of(sites, how, None, means)
    run = Pass(classifier, sites, choices, Intervention(how, gain, seed), fills, keep, rows)
    for _ in run.over(source, options):
        pass
    return run.outcomes()


class Pass:
    """A pass over the data in progress: what it has measured so far.

    sites         the sites that the choices have units of, in forward order
    choices       the choices to ablate, each for itself
    intervention  what becomes of their units; `fills` is what takes their place, where that is a mean
    keep          which clips to measure; None: all
    rows          how many rows a forward has at most; None: as many as pay
    """

    def __init__(
        self,
        model: AudioModel,
        sites: Mapping[str, Site],
        choices: Sequence[UnitChoice],
        intervention: Intervention,
        fills: Mapping[str, Tensor],
        keep: Keep | None = None,
        rows: int | None = None,
    ) -> None:
        if rows is not None and rows < 1:
            raise ValueError(f"rows must be at least 1, it is {rows}")
        self.model, self.sites, self.choices = model, sites, choices
        self.intervention, self.fills = intervention, fills
        self.device = model.device
        self.rows = rows or (_ROWS_ON_CPU if self.device.type == "cpu" else _ROWS)
        self.classes = class_names(model)
        self._class_of = class_numbers(self.classes)
        self.clips: list[Clip] = []
        self.left_out: Counter[str] = Counter()
        self.strange: Counter[str] = Counter()
        self._keep = keep
        self._together, self._ablations = 0, dict[int, list[SiteAblation]]()
        self._scores: list[Tensor] = []  # float64 [3, 1 + choice, clip]: logit, probability, correct
        self._mark_whole()

    def over(self, source: Source, options: RunOptions, start: int = 0) -> Generator[int, None, None]:
        """Measure the clips of a source; gives the position up to which it has come, after every batch."""
        with eval_mode(self.model.wrapped):
            featuriser = featuriser_on(self.model.featuriser, self.device)
            yield from run_batches(source, featuriser, options, self, start=start, title="measuring")

    def begin_batch(self, batch: GroupedBatch) -> None:
        """Count the clips of a batch that could not be read."""
        self.left_out["could not be read"] += len(batch.quarantined)

    def run_group(self, clips: Sequence[Clip], features: Features) -> None:
        """Measure the clips of a group that are to be measured."""
        places = [place for place, clip in enumerate(clips) if self._is_measured(clip)]
        if not places:
            return
        measured = [clips[place] for place in places]
        labels = torch.from_numpy(label_numbers(measured, self.classes))
        self._scores.append(self._measure({name: value[places] for name, value in features.items()}, labels))
        self.clips += measured

    def end_batch(self, batch: GroupedBatch) -> None:
        """All groups of a batch have been measured."""
        self._mark_whole()

    def _mark_whole(self) -> None:
        """What was measured so far is of whole batches."""
        self._whole = (len(self._scores), len(self.clips), Counter(self.left_out), Counter(self.strange))

    def _is_measured(self, clip: Clip) -> bool:
        """Whether a clip is measured; where it is not, the reason is counted."""
        if self._keep is not None and not self._keep(clip):
            self.left_out["not to be measured"] += 1
        elif clip.label is None:
            self.left_out["no label"] += 1
        elif plain_name(clip.label) not in self._class_of:
            self.left_out["a label that is no class of the model"] += 1
            self.strange[clip.label] += 1
        else:
            return True
        return False

    def _measure(self, features: Features, labels: Int64[Tensor, " clip"]) -> Tensor:
        """Everything about a batch: float64 [3, 1 + choice, clip]."""
        features = to_device(features, self.device)
        clips = len(labels)
        together = max(1, self.rows // clips)
        with torch.no_grad():
            parts = [self._score(self._logits(features)[None], labels)]
            for first in range(0, len(self.choices), together):
                some = self.choices[first : first + together]
                stacked = {name: value.repeat(len(some), *(1,) * (value.ndim - 1)) for name, value in features.items()}
                with hooked(self.model.wrapped, self._ablations_from(first, together)):
                    logits = self._logits(stacked)
                parts.append(self._score(logits.unflatten(0, (len(some), clips)), labels))
        return torch.cat(parts, 1)

    def _ablations_from(self, first: int, together: int) -> list[SiteAblation]:
        """The changes by the choices from `first` on; kept on the device while as many run side by side."""
        if together != self._together:
            self._ablations.clear()
            self._together = together
        if first not in self._ablations:
            some = self.choices[first : first + together]
            self._ablations[first] = site_ablations(self.sites, some, self.intervention, self.fills)
            for ablation in self._ablations[first]:
                ablation.to(self.device)
        return self._ablations[first]

    def _logits(self, features: Features) -> Tensor:
        output = self.model.plain_forward(features)
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
        measured = torch.cat([none, *self._scores[:parts]], 2)
        rest = {"clips": [asdict(clip) for clip in self.clips[:clips]], "left_out": left_out, "strange": strange}
        return {"measured": measured.contiguous()}, rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._scores = [tensors["measured"]]
        self.clips = [Clip(**row) for row in rest["clips"]]
        self.left_out, self.strange = Counter(rest["left_out"]), Counter(rest["strange"])
        self._mark_whole()

    def outcomes(self) -> Outcomes:
        """What was measured. Raises ValueError if it is nothing."""
        if not self.clips:
            raise ValueError(self._nothing_measured())
        measured = torch.cat(self._scores, 2).numpy()
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

    def _nothing_measured(self) -> str:
        near = [f"{label!r} ({', '.join(_near(label, self.classes))})" for label, _ in self.strange.most_common(3)]
        reasons = [f"{counted(count, 'clip')}: {reason}" for reason, count in self.left_out.items() if count]
        hint = f"; labels such as {', '.join(near)}" if near else ""
        return f"there is no clip to measure by ({'; '.join(reasons) or 'the data is empty'}{hint})"


def _near(label: str, classes: Iterable[str]) -> list[str]:
    return get_close_matches(label, list(classes), n=2, cutoff=0.3) or ["near no class"]
