"""What pruning units rich in one type of word does to accuracy, against matched random units (the paper's Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Clip
from ..dissection.dissection import Dissection
from ..dissection.same_clips import KnownClips
from ..statistics.bootstrap import RESAMPLES, Bootstrap, Estimate
from .explanations import read_explanations
from .names import KINDS
from .pruned_accuracy import AccuracyByWordType, PruningResult, PruningRow
from .statistics import prediction_half_width
from .units_by_word_type import RichUnits, rich_units

if TYPE_CHECKING:
    from ..unlearn import Outcomes, UnitChoice

SHARES = (0.02, 0.04, 0.06, 0.08, 0.10, 0.12)
"""Of all units: the paper's 2 to 12 %."""


def accuracy_by_word_type(
    dissection: Dissection,
    model: Any,
    data: Any,
    *,
    shares: Sequence[float] = SHARES,
    parts: Sequence[str] = KINDS,
    draws: int = 5,
    how: str = "zero",
    sites: str | Iterable[str] | None = None,
    seed: int = 0,
    dissected_too: bool = False,
    keep: Callable[[Clip], bool] | None = None,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    device: Any = None,
    dtype: Any = None,
    num_workers: int = 0,
    progress: bool = True,
) -> AccuracyByWordType:
    """Prune the units whose explanations are richest in one type of word, more and more, and measure accuracy.

    dissection  a dissection of the model that has been explained
    model       the model that was dissected, with a classifier: what `AudioModel` takes, or an AudioModel
    data        labelled clips, as `dissect` takes them; clips of the dissection are left out, since the units were
                found with them, unless `dissected_too`. They are known by their samples or paths: `facts["held_out"]`
                is "unknown" where clips have neither
    shares      of all units of the sites, between 0 and 1
    parts       types of words (`names.KINDS`): adjective (acoustic ones only), noun, verb, preposition, basic
                adjective (acoustic ones of loudness, pitch, timbre …), high-level adjective (the other acoustic ones),
                and length, for the units with the longest explanations
    draws       how often units are chosen: units with equally many words are taken in random order. Each choice has a
                control of its own, random units, as many at each site
    how         what becomes of a pruned unit: see `unlearn.ablated_outcomes`
    sites       names or globs; None: all in blocks, but each neuron once (see `site_selection.select_sites`)
    keep        which clips are measured, of those that are left

    Where fewer units have such a word than a share asks for, nothing is measured: the row says so. Everything is
    measured in one pass over the data; nothing in the model is changed. Raises DissectionError, which names the command
    to run, if the dissection has not been explained; ValueError for impossible numbers, and if no clip is left.
    """
    from ..unlearn import ablated_outcomes

    parts, shares = tuple(dict.fromkeys(parts)), sorted({float(share) for share in shares})
    _check(shares, parts, draws)
    explanations = read_explanations(dissection, sites, in_blocks=True)
    plan = [one for part in parts for one in rich_units(dissection, explanations, part, shares, draws, seed)]
    places = _places(plan)
    unseen = _UnseenClips(None if dissected_too else KnownClips(dissection), keep)
    try:
        outcomes = ablated_outcomes(
            model, data, list(places), how=how, seed=seed, split=split, audio_column=audio_column,
            label_column=label_column, limit=limit, keep=unseen, batch_size=batch_size, device=device, dtype=dtype,
            num_workers=num_workers, progress=progress,
        )  # fmt: skip
    except ValueError as error:
        if unseen.refused and not unseen.let_in:
            raise ValueError(
                f"all {unseen.refused:,} clips are among those that the units were found with: give clips that were "
                f"not dissected, or dissected_too=True, --dissected-too ({error})"
            ) from error
        raise
    bootstrap = Bootstrap(len(outcomes.clips), draws, seed)
    rows = [_row(one, explanations.selection.units, places, outcomes, bootstrap) for one in plan]
    facts = {
        **explanations.facts(),
        "model": str(model) if isinstance(model, str | Path) else type(model).__name__,
        "parts": list(parts),
        "shares": shares,
        "draws": draws,
        "how": how,
        "seed": seed,
        "clips": len(outcomes.clips),
        "held_out": unseen.held_out,
        "left_out_as_dissected": unseen.refused,
        **_facts_of(outcomes, bootstrap),
        "intervals": f"95 %; of accuracy: percentiles of {RESAMPLES:,} bootstrap samples of clips and of draws; of the "
        "difference and of random choices: prediction by Student's t over the draws of the controls",
    }
    return AccuracyByWordType(rows, facts)


def _places(plan: Iterable[RichUnits]) -> dict[UnitChoice, int]:
    """Every choice and its place among those that are measured: none is measured twice."""
    choices = dict.fromkeys(choice for one in plan for pair in one.pairs for choice in pair)
    return {choice: place for place, choice in enumerate(choices)}


def _facts_of(outcomes: Outcomes, bootstrap: Bootstrap) -> dict[str, Any]:
    """What the data is, and how well the model does with nothing pruned."""
    low, high = bootstrap.interval(outcomes.baseline.correct[None].astype(np.float64))
    return {
        "left_out_of_the_data": dict(outcomes.left_out),
        "classes": len(outcomes.classes),
        "baseline": outcomes.accuracy(),
        "baseline_low": low,
        "baseline_high": high,
        "commonest_class": float(np.bincount(outcomes.labels).max() / len(outcomes.labels)),
    }


def _check(shares: Sequence[float], parts: Sequence[str], draws: int) -> None:
    if not shares or not all(0 < share < 1 for share in shares):
        raise ValueError(f"shares are of all units, between 0 and 1, not {list(shares)}")
    if not parts or not set(parts) <= set(KINDS):
        raise ValueError(f"types of words are {', '.join(KINDS)}, not {', '.join(parts) or 'none'}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, it is {draws}")


class _UnseenClips:
    """Lets in the clips that the units were not found with (see `same_clips`), and counts. `known` None: all clips."""

    def __init__(self, known: KnownClips | None, keep: Callable[[Clip], bool] | None) -> None:
        self._known = known
        self._keep = keep
        self.refused = self.let_in = 0
        self.certain = known is None or known.tell

    @property
    def held_out(self) -> str:
        """Whether the units were found with none of the clips: yes, no, or unknown."""
        if self._known is None:
            return "no"
        return "yes" if self.certain else "unknown"

    def __call__(self, clip: Clip) -> bool:
        if self._known is not None and self._known.has(clip.id, clip.path, clip.content, None):
            self.refused += 1
            return False
        self.let_in += 1
        self.certain &= bool(clip.path or clip.content)
        return self._keep is None or self._keep(clip)


def _row(
    one: RichUnits, units: int, places: Mapping[UnitChoice, int], outcomes: Outcomes, bootstrap: Bootstrap
) -> PruningRow:
    return PruningRow(
        part=one.part,
        asked_share=one.wanted_share,
        units=one.units,
        share=one.units / units,
        rich_units=one.rich,
        words=one.words,
        result=_result(one.pairs, places, outcomes, bootstrap) if one.pairs else None,
    )


def _result(
    pairs: Sequence[tuple[UnitChoice, UnitChoice]],
    places: Mapping[UnitChoice, int],
    outcomes: Outcomes,
    bootstrap: Bootstrap,
) -> PruningResult:
    """The accuracy with each choice pruned, and with its control."""
    chosen, drawn = (
        outcomes.ablated.correct[[places[pair[side]] for pair in pairs]].astype(np.float64) for side in (0, 1)
    )
    accuracy = Estimate(float(chosen.mean()), *bootstrap.interval(chosen))
    control = Estimate(float(drawn.mean()), *bootstrap.interval(drawn))
    half = prediction_half_width(drawn.mean(1))
    difference, random = (_with_bounds(middle, half) for middle in (accuracy.value - control.value, control.value))
    return PruningResult(accuracy, control, difference, random.low, random.high)


def _with_bounds(middle: float, half: float | None) -> Estimate:
    return Estimate(middle, None, None) if half is None else Estimate(middle, middle - half, middle + half)
