"""What a run's manifest says of it before it begins, and what of it could not be told when it comes again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data import UNKNOWN, Source
from ..data.options import DataOptions
from ..dissection.descriptions import ConceptsDescription, DatasetDescription, ModelDescription, SiteDescription
from ..dissection.manifest import Manifest
from ..model.fingerprint import package_versions
from .session import CollectionPlan


def describe_run(
    model: Mapping[str, Any], dtype: str | None, source: Source, reading: DataOptions, plan: CollectionPlan
) -> Manifest:
    """The manifest of a run: the model as it describes itself, its dtype, the data, and what is kept."""
    return Manifest(
        sites=tuple(map(SiteDescription.of, plan.sites)),
        model=ModelDescription.from_json(model),
        dataset=DatasetDescription.of(source, reading),
        k=plan.k,
        pool=plan.pool,
        dtype=dtype,
        concepts=None if plan.scores is None else ConceptsDescription.of(plan.scores),
        keep_activations=plan.keep_activations,
        versions=package_versions(),
    )


def unrecognisable(source: Source, model: Mapping[str, Any]) -> list[str]:
    """What of a run cannot be told from another when it comes again, in words."""
    reasons = []
    if source.fingerprint == UNKNOWN:
        reasons.append(f"data that cannot be recognised ({source.name}: a generator, a stream or the like)")
    if model.get("edits"):
        reasons.append("a model with edits, hooks, replaced forwards or functions, which cannot be recognised")
    return reasons
