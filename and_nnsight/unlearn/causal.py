"""What ablating a unit, or a few, does to the concept that they are said to be for, against other units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ..data import Clip
from ..data.options import DataOptions
from ..dissection.dissection import Dissection
from ..dissection.rows import Rows
from ..explain.records.claim_rows import EffectNumbers
from ..model.restoring import preserves_model
from ..run.options import RunOptions
from ..statistics.bootstrap import clip_weights, estimate
from .ablation import Means, fills_of, model_sites
from .classes import as_classifier
from .effects import changes, prediction
from .forward import Outcomes, Pass
from .interventions import Intervention
from .names import plain_name
from .overlap import unseen
from .result_rows import OUTCOMES, CausalEffect
from .unit_set import RANDOM, UnitChoice, matched

Belongs = Callable[[str, Clip], bool]


@preserves_model
def causal_effects(
    model: Any,
    data: Any,
    dissection: Dissection | None,
    units: Mapping[tuple[str, int], str] | Iterable[UnitChoice],
    *,
    controls: int = 20,
    how: str = "zero",
    means: Means | None = None,
    gain: float | None = None,
    belongs: Belongs | None = None,
    outcome: str = "logit",
    overlap: str = "refuse",
    bootstrap: int = 1000,
    seed: int = 0,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    rows: int | None = None,
    num_workers: int = 0,
    device: Any = None,
    dtype: Any = None,
    progress: bool = True,
) -> Rows[CausalEffect]:
    """For each unit (or set of units): what ablating it changes on its concept's clips and on others.

    units     the concept of each (site, index); or choices, each with a concept. Sets as large at the same sites share
              their controls, so a thousand units of one site cost no more than a thousand and twenty
    controls  random sets of other units, as many of the same sites, none of them of the set itself
    belongs   whether a clip is of a concept; None: its label is the concept (capitals and underscores do not count)
    outcome   logit, probability or accuracy, of the clip's true class
    Everything else, and what is raised, is as for `measure`.

    A concept of which there is no clip, or no other clip, has a `failure` and no numbers. Intervals need a `bootstrap`
    of some hundreds. What comes back has `to_pandas`.
    """
    if controls < 1:
        raise ValueError(f"controls must be at least 1, it is {controls}")
    if outcome not in OUTCOMES:
        raise ValueError(f"unknown outcome {outcome!r}: one of {', '.join(OUTCOMES)}")
    choices = _choices(units)
    if not choices:
        return Rows([], CausalEffect)
    source = DataOptions(split, audio_column, label_column, limit=limit).open(data)
    options = RunOptions(device, dtype, batch_size, num_workers, progress)
    classifier = as_classifier(model, device, dtype)
    sites = model_sites(classifier, choices, alike=True)
    pools = _pools(choices, {name: site.width for name, site in sites.items()}, controls, seed)
    drawn = list(dict.fromkeys(chain.from_iterable(pools.values())))
    fills = fills_of(sites, how, dissection, means)
    keep = unseen(source, dissection, choices, overlap)
    run = Pass(classifier, sites, [*choices, *drawn], Intervention(how, gain, seed), fills, keep, rows)
    for _ in run.over(source, options):
        pass
    outcomes = run.outcomes()
    changed = _changed(outcomes, outcome)
    place_of = {control: len(choices) + place for place, control in enumerate(drawn)}
    clips_of = _ConceptClips(outcomes, belongs, bootstrap, seed)
    effects = []
    for place, choice in enumerate(choices):
        others = [place_of[control] for control in _apart(pools[choice], choice)]
        effects.append(_effect(choice, changed[[place, *others[:controls]]], *clips_of(str(choice.concept))))
    return Rows(effects, CausalEffect)


def _choices(units: Mapping[tuple[str, int], str] | Iterable[UnitChoice]) -> list[UnitChoice]:
    """A choice for each unit or set of units. Raises ValueError for one without a concept."""
    if isinstance(units, Mapping):
        concepts: list[tuple[Any, Any]] = list(units.items())
        return [UnitChoice({site: [index]}, concept=concept) for (site, index), concept in concepts]
    choices = list(units)
    if any(choice.concept is None for choice in choices):
        raise ValueError("every choice needs a concept, to see what ablating its units does to it")
    return choices


def _pools(
    choices: Sequence[UnitChoice], widths: Mapping[str, int], controls: int, seed: int
) -> dict[UnitChoice, list[UnitChoice]]:
    """Enough random sets for each choice; single units of a site share theirs, so there is one more than is needed."""
    of_site: dict[str, list[UnitChoice]] = {}
    pools: dict[UnitChoice, list[UnitChoice]] = {}
    for choice in choices:
        if choice.count == 1:
            (site,) = choice.units
            if site not in of_site:
                of_site[site] = _single_units(site, widths[site], controls + 1, seed)
            pools[choice] = of_site[site]
        else:
            sets = (matched(choice, widths, seed + draw, apart=True).units for draw in range(controls))
            pools[choice] = [UnitChoice(units, RANDOM) for units in sets]
    return pools


def _single_units(site: str, width: int, count: int, seed: int) -> list[UnitChoice]:
    """So many random units of a site, each as a choice; all, where it has fewer."""
    indices = np.random.default_rng([seed, 2]).permutation(width)[:count].tolist()
    return [UnitChoice({site: [index]}, RANDOM) for index in indices]


def _apart(pool: Sequence[UnitChoice], choice: UnitChoice) -> list[UnitChoice]:
    """The sets of a pool that have no unit of the choice."""
    return [control for control in pool if not _share_units(control, choice)]


def _share_units(first: UnitChoice, second: UnitChoice) -> bool:
    return any(set(indices) & set(second.units.get(site, ())) for site, indices in first.units.items())


def _changed(outcomes: Outcomes, outcome: str) -> Float64[np.ndarray, "variant clip"]:
    """What every variant changes of each clip's number."""
    if outcome == "accuracy":
        return outcomes.ablated.correct.astype(np.float64) - outcomes.baseline.correct.astype(np.float64)
    return getattr(outcomes.ablated, outcome) - getattr(outcomes.baseline, outcome)


class _ConceptClips:
    """Which clips are of a concept, and how often each clip counts in every replicate; made once a concept.

    Replicates draw a concept's own clips and the others each for themselves, so that neither is ever without.
    """

    def __init__(self, outcomes: Outcomes, belongs: Belongs | None, bootstrap: int, seed: int) -> None:
        self._clips, self._belongs = outcomes.clips, belongs or _has_label
        self._bootstrap, self._seed = bootstrap, seed
        self._of: dict[str, tuple[Bool[np.ndarray, " clip"], Int64[np.ndarray, "replicate clip"]]] = {}

    def __call__(self, concept: str) -> tuple[Bool[np.ndarray, " clip"], Int64[np.ndarray, "replicate clip"]]:
        """Whether each clip is of the concept, and the weights of the clips."""
        if concept not in self._of:
            own = np.array([bool(self._belongs(concept, clip)) for clip in self._clips], dtype=bool)
            self._of[concept] = own, clip_weights(own.astype(np.int64), self._bootstrap, self._seed)
        return self._of[concept]


def _has_label(concept: str, clip: Clip) -> bool:
    return plain_name(clip.label or "") == plain_name(concept)


def _effect(
    choice: UnitChoice,
    delta: Float64[np.ndarray, "variant clip"],
    own: Bool[np.ndarray, " clip"],
    weights: Int64[np.ndarray, "replicate clip"],
) -> CausalEffect:
    """`delta`: the unit's change of each clip's number, then those of its controls."""
    site, unit = _single_unit(choice)
    clips, other_clips, controls = int(own.sum()), int((~own).sum()), len(delta) - 1
    failure = _failure(choice, clips, other_clips, controls)
    numbers = None if failure else _numbers(delta, own, weights)
    return CausalEffect(site, unit, choice.count, str(choice.concept), clips, other_clips, controls, numbers, failure)


def _failure(choice: UnitChoice, clips: int, other_clips: int, controls: int) -> str | None:
    """Why nothing can be measured; None where it can."""
    if not clips:
        return f"there is no clip of {choice.concept!r}"
    if not other_clips:
        return f"there is no clip but those of {choice.concept!r}"
    if not controls:
        return "there are no other units to compare with"
    return None


def _single_unit(choice: UnitChoice) -> tuple[str, int] | tuple[None, None]:
    """The site and index of the one unit of a choice; None for several."""
    if choice.count != 1:
        return None, None
    ((site, (index,)),) = choice.units.items()
    return site, index


def _numbers(
    delta: Float64[np.ndarray, "variant clip"],
    own: Bool[np.ndarray, " clip"],
    weights: Int64[np.ndarray, "replicate clip"],
) -> EffectNumbers:
    changed = changes(delta, own.astype(np.int64), np.ones(len(delta), dtype=np.int64), weights)
    selectivity = changed.selectivity
    at_least = int((selectivity[0, 1:] >= selectivity[0, 0]).sum())
    return EffectNumbers(
        own=estimate(changed.own[:, 0]),
        others=estimate(changed.others[:, 0]),
        selectivity=estimate(selectivity[:, 0]),
        control_selectivity=estimate(selectivity[:, 1:].mean(1)),
        excess=prediction(selectivity[:, None]),
        p=(1 + at_least) / len(delta),
    )
