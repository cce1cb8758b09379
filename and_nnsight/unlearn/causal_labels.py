"""Are labels true of what the model does? The concept of a unit's label, with the unit ablated and with others."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..data.options import DataOptions
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.next_step import run_first
from ..dissection.rows import Rows
from ..explain.records.claim_rows import EffectRow, LabelRow
from ..explain.records.reading import read_table
from ..explain.records.tables import Table
from ..explain.records.unit_selection import chosen_units
from ..model.restoring import preserves_model
from .causal import causal_effects
from .classes import as_classifier, class_names, class_numbers
from .label_kinds import LabelFilter, one_kind
from .names import plain_name
from .prunable_sites import site_widths
from .unit_set import ChoiceError


@preserves_model
def label_effects(
    model: Any,
    data: Any,
    dissection: Dissection,
    *,
    method: str = "db",
    similarity: str | None = None,
    encoder: str | None = None,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    most: int = 50,
    **options: Any,
) -> Rows[EffectRow]:
    """What ablating units does to the concept of their label, against other units: `explanations/causal.parquet`.

    Of the units whose first label is a class of the model, the `most` that score highest are ablated one at a time, as
    `causal_effects` does it; what it takes goes into `options` (controls, how, overlap, bootstrap, seed, …).

    method, similarity, encoder   which labels; they may be left out where there is one kind
    sites, units   which units; None: every site but the class logits

    Raises DissectionError where there are no labels; ChoiceError where no label is a class, or where labels are of
    several kinds; and what `causal_effects` raises.
    """
    classifier = as_classifier(model, options.pop("device", None), options.pop("dtype", None))
    wanted = chosen_units(dissection, list(site_widths(dissection, sites)), units)
    labels = _first_labels(dissection, LabelFilter(method, similarity, encoder))
    concepts = _classes_of_units(labels, set(wanted), class_numbers(class_names(classifier)))
    if not concepts:
        raise ChoiceError(f"no unit's label by {method} is a class of the model, so no logit shows what it does")
    measured = causal_effects(classifier, data, dissection, dict(concepts[:most]), **options)
    effects = Rows((EffectRow.of_columns(effect.columns()) for effect in measured), EffectRow)
    settings = {"model": classifier.describe(), "data": _fingerprint(data, options), "method": method}
    settings |= {name: options.get(name) for name in ("controls", "how", "gain", "overlap", "outcome", "seed", "limit")}
    with Table(dissection, EffectRow, settings) as table:
        table.add(effects)
    return effects


def _classes_of_units(
    labels: Iterable[LabelRow], units: set[tuple[str, int]], classes: Container[str]
) -> list[tuple[tuple[str, int], str]]:
    """Of some units, those whose label is a class, with it: the one that scores highest first."""
    of_units = [row for row in labels if (row.site, row.unit) in units]
    of_classes = [row for row in of_units if plain_name(row.concept or "") in classes]
    of_classes.sort(key=lambda row: (-(row.score or 0.0), row.site, row.unit))
    return [((row.site, row.unit), row.concept or "") for row in of_classes]


def _first_labels(dissection: Dissection, kind: LabelFilter) -> list[LabelRow]:
    """The first label of every unit that has one of this kind; of a union the concept that is closest.

    Raises DissectionError where there are none, ChoiceError where they are of several kinds.
    """
    rows = read_table(dissection, LabelRow)
    labels = [row for row in rows if row.rank == 0 and row.concept is not None and kind.includes(row)]
    if not labels:
        raise DissectionError(
            f"{dissection.place} has no such labels by {kind.method}: "
            f"{run_first(dissection, 'label', '--method', kind.method, '--concepts', 'FILE')}"
        )
    one_kind(labels, kind.method)
    return [replace(row, concept=row.members[0]) if row.members else row for row in labels]


def _fingerprint(data: Any, options: Mapping[str, Any]) -> str:
    """Which data that is."""
    names = ("split", "audio_column", "label_column")
    return DataOptions(**{name: options[name] for name in names if name in options}).open(data).fingerprint
