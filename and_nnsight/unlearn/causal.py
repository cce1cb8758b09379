"""What ablating a unit, or a few, does to the concept that they are said to be for, against other units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from ..data import Clip, open_source
from ..dissection.dissection import Dissection
from ..model.restoring import leaves_the_model_as_found
from ..statistics.bootstrap import clip_weights, estimate
from .ablation import Means, fills_of
from .effects import changes, prediction
from .forward import Outcomes, Pass, as_classifier
from .interventions import Intervention
from .names import plain_name
from .overlap import unseen
from .unit_set import UnitChoice, matched

Belongs = Callable[[str, Clip], bool]
Row = dict[str, Any]


@leaves_the_model_as_found
def causal_effects(
    model: Any,
    data: Any,
    found: Dissection | None,
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
) -> list[Row]:
    """A row for each unit (or set of units): what ablating it changes on its concept's clips and on others.

    units     the concept of each (site, index); or choices, each with a concept. Sets as large at the same sites share
              their controls, so a thousand units of one site cost no more than a thousand and twenty
    controls  random sets of other units, as many of the same sites, none of them of the set itself
    belongs   whether a clip is of a concept; None: its label is the concept (capitals and underscores do not count)
    outcome   logit, probability or accuracy, of the clip's true class
    Everything else, and what is raised, is as for `measure`.

    Rows: site and unit (None for sets of several), units, concept, clips, other_clips; own, others and selectivity
    (others minus own) as estimates with intervals over clips; control_selectivity (the mean over controls), excess,
    which is the selectivity beyond it, with a prediction interval over controls and clips (`deltas.prediction`);
    controls, their number; and p, the share of controls and the unit itself
    whose selectivity is at least the unit's. A concept of which there is no clip, or no other clip, has a `failure`
    and no numbers. Intervals need a `bootstrap` of some hundreds.
    """
    if controls < 1:
        raise ValueError(f"controls must be at least 1, it is {controls}")
    if outcome not in ("logit", "probability", "accuracy"):
        raise ValueError(f"unknown outcome {outcome!r}: one of logit, probability, accuracy")
    choices = _choices(units)
    if not choices:
        return []
    source = open_source(data, split=split, audio_column=audio_column, label_column=label_column, limit=limit)
    run = Pass(as_classifier(model, device, dtype), choices, Intervention(how, gain, seed), rows)
    run.fills = fills_of(run.sites, how, found, means)
    widths = {name: site.width for name, site in run.sites.items()}
    pools = _pools(choices, widths, controls, seed)
    drawn = list(dict.fromkeys(choice for pool in pools.values() for choice in pool))
    place_of = {choice: len(choices) + place for place, choice in enumerate(drawn)}
    run.choices = [*choices, *drawn]
    for _ in run.over(source, batch_size, num_workers, unseen(source, found, choices, overlap), progress):
        pass
    outcomes = run.outcomes()
    after, before = (
        part.correct.astype(np.float64) if outcome == "accuracy" else getattr(part, outcome)
        for part in (outcomes.ablated, outcomes.baseline)
    )
    concepts = dict.fromkeys(str(choice.concept) for choice in choices)
    own_of = {concept: _own_clips(outcomes, concept, belongs) for concept in concepts}
    # Replicates draw a concept's own clips and the others each for themselves, so that neither is ever without.
    weights = {concept: clip_weights(own.astype(np.int64), bootstrap, seed) for concept, own in own_of.items()}
    found_rows = []
    for place, choice in enumerate(choices):
        others = [place_of[control] for control in pools[choice] if not _overlap(control, choice)][:controls]
        concept = str(choice.concept)
        found_rows.append(_row(choice, (after - before)[[place, *others]], own_of[concept], weights[concept]))
    return found_rows


def _choices(units: Mapping[tuple[str, int], str] | Iterable[UnitChoice]) -> list[UnitChoice]:
    if isinstance(units, Mapping):
        named: list[Any] = list(units.items())
        return [UnitChoice({site: [index]}, concept=concept) for (site, index), concept in named]
    choices = list(units)
    if any(choice.concept is None for choice in choices):
        raise ValueError("every choice needs a concept, to see what ablating its units does to it")
    return choices


def _pools(
    choices: Sequence[UnitChoice], widths: Mapping[str, int], controls: int, seed: int
) -> dict[UnitChoice, list[UnitChoice]]:
    """Enough random sets for each choice; single units of a site share theirs, so there is one more than is needed."""
    shared: dict[tuple[Any, ...], list[UnitChoice]] = {}
    pools: dict[UnitChoice, list[UnitChoice]] = {}
    for choice in choices:
        if choice.count == 1:
            (site,) = choice.units
            key = (site,)
            if key not in shared:
                drawn = np.random.default_rng([seed, 2]).permutation(widths[site])[: controls + 1].tolist()
                shared[key] = [UnitChoice({site: [index]}, "random") for index in drawn]
            pools[choice] = shared[key]
        else:
            pools[choice] = [
                UnitChoice(matched(choice, widths, seed + draw, apart=True).units, "random") for draw in range(controls)
            ]
    return pools


def _overlap(first: UnitChoice, second: UnitChoice) -> bool:
    return any(set(indices) & set(second.units.get(site, ())) for site, indices in first.units.items())


def _own_clips(outcomes: Outcomes, concept: str, belongs: Belongs | None) -> Bool[np.ndarray, " clip"]:
    if belongs is None:
        wanted = plain_name(concept)
        return np.array([plain_name(clip.label or "") == wanted for clip in outcomes.clips], dtype=bool)
    return np.array([bool(belongs(concept, clip)) for clip in outcomes.clips], dtype=bool)


def _row(choice: UnitChoice, delta: np.ndarray, own: np.ndarray, weights: np.ndarray) -> Row:
    """`delta`: the unit's change of each clip's number, then those of its controls."""
    single = choice.count == 1
    (site, index) = next((site, indices[0]) for site, indices in choice.units.items()) if single else (None, None)
    row: Row = {
        "site": site,
        "unit": index,
        "units": choice.count,
        "concept": choice.concept,
        "clips": int(own.sum()),
        "other_clips": int((~own).sum()),
        "controls": len(delta) - 1,
    }
    if not own.any() or own.all():
        which = "no clip" if not own.any() else "no clip but those"
        return row | {"failure": f"there is {which} of {choice.concept!r}"}
    if len(delta) == 1:
        return row | {"failure": "there are no other units to compare with"}
    numbers = np.where(own, 1, 0)
    changed = changes(delta, numbers, np.ones(len(delta), dtype=np.int64), weights)
    selectivity = changed.selectivity
    control = selectivity[:, 1:].mean(1)
    estimates = {
        "own": changed.own[:, 0],
        "others": changed.others[:, 0],
        "selectivity": selectivity[:, 0],
        "control_selectivity": control,
    }
    at_least = int((selectivity[0, 1:] >= selectivity[0, 0]).sum())
    return {
        **row,
        **{name: estimate(values)._asdict() for name, values in estimates.items()},
        "excess": prediction(selectivity[:, None])._asdict(),
        "p": (1 + at_least) / len(delta),
        "failure": None,
    }
