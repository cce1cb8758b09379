"""Are labels true of what the model does? The concept of a unit's label, with the unit ablated and with others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..data import open_source
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..explain.records.claim_rows import EffectRow, LabelRow
from ..explain.records.reading import read_table
from ..explain.records.tables import Table
from ..explain.records.unit_selection import chosen_units
from ..model.fingerprint import describe_model
from ..model.restoring import leaves_the_model_as_found
from ..wording import command
from .causal import Row, causal_effects
from .forward import as_classifier, class_names, class_numbers
from .names import plain_name
from .selection import site_widths
from .unit_set import ChoiceError

NUMBERS = ("own", "others", "selectivity", "control_selectivity", "excess")


@leaves_the_model_as_found
def label_effects(
    model: Any,
    data: Any,
    found: Dissection,
    *,
    method: str = "db",
    similarity: str | None = None,
    encoder: str | None = None,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    most: int = 50,
    **options: Any,
) -> list[EffectRow]:
    """What ablating units does to the concept of their label, against other units: `explanations/causal.parquet`.

    Of the units whose first label is a class of the model, the `most` that score highest are ablated one at a time, as
    `causal_effects` does it; what it takes goes into `options` (controls, how, overlap, bootstrap, seed, …).

    method, similarity, encoder   which labels; they may be left out where there is one kind
    sites, units   which units; None: every site but the class logits

    Rows: site, unit, concept, the numbers of `causal_effects` with their bounds, p (share of units, this one and the
    controls, that are at least as selective), failure. Raises DissectionError where there are no labels; ChoiceError
    where no label is a class, or where labels are of several kinds; and what `causal_effects` raises.
    """
    classifier = as_classifier(model, options.pop("device", None), options.pop("dtype", None))
    classes = class_numbers(class_names(classifier))
    wanted = set(chosen_units(found, list(site_widths(found, sites)), units))
    labels = [
        replace(row, concept=row.members[0]) if row.members else row  # of a union the concept that is closest
        for row in read_table(found, LabelRow)
        if row.method == method and row.rank == 0 and row.concept is not None
        and similarity in (None, row.similarity) and encoder in (None, row.encoder)
    ]  # fmt: skip
    if not labels:
        raise DissectionError(
            f"{found.folder} has no such labels by {method}: run "
            f"`{command('label', found.folder, '--method', method, '--concepts', 'FILE')}` first"
        )
    kinds = {(row.similarity, row.concepts, row.encoder) for row in labels}
    if len(kinds) > 1:
        said = "; ".join(sorted(" ".join(str(part) for part in kind if part) for kind in kinds))
        raise ChoiceError(f"there are labels by {method} of several kinds ({said}): say similarity= or encoder=")
    known = [
        row for row in labels if (row.site, row.unit) in wanted and plain_name(row.concept or "") in classes
    ]  # fmt: skip
    if not known:
        raise ChoiceError(f"no unit's label by {method} is a class of the model, so no logit shows what it does")
    known.sort(key=lambda row: (-(row.score or 0.0), row.site, row.unit))
    concepts = {(row.site, row.unit): row.concept or "" for row in known[:most]}
    effects = [_effect(row) for row in causal_effects(classifier, data, found, concepts, **options)]
    columns: dict[str, Any] = {
        name: options[name] for name in ("split", "audio_column", "label_column") if name in options
    }
    source = open_source(data, **columns)
    settings = {"model": describe_model(classifier), "data": source.fingerprint, "method": method}
    settings |= {name: options.get(name) for name in ("controls", "how", "gain", "overlap", "outcome", "seed", "limit")}
    with Table(found, EffectRow, settings) as table:
        table.add(effects)
    return effects


def _effect(row: Row) -> EffectRow:
    """An effect with its estimates as columns."""
    columns = dict(row)
    for name in NUMBERS:
        bounds = row.get(name) or {}
        columns |= {name: bounds.get("value"), f"{name}_low": bounds.get("low"), f"{name}_high": bounds.get("high")}
    return EffectRow.of_columns(columns)
