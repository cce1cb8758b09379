"""What a run's manifest says of it before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..dissection.descriptions import (
    AnnotationsDescription,
    ConceptsDescription,
    DatasetDescription,
    ModelDescription,
    ShardDescription,
    SiteDescription,
)
from ..dissection.manifest import Manifest
from ..model.fingerprint import package_versions
from .reading import Reading
from .session import CollectionPlan


def describe_run(model: Mapping[str, Any], dtype: str | None, reading: Reading, plan: CollectionPlan) -> Manifest:
    """The manifest of a run: the model as it describes itself, its dtype, what is read, and what is kept."""
    return Manifest(
        sites=tuple(map(SiteDescription.of, plan.sites)),
        model=ModelDescription.from_json(model),
        dataset=DatasetDescription.of(reading.source, reading.options),
        k=plan.k,
        pool=plan.pool,
        dtype=dtype,
        concepts=None if plan.scores is None else ConceptsDescription.of(plan.scores),
        annotations=None if plan.annotations is None else AnnotationsDescription.of(plan.annotations),
        keep_activations=plan.keep_activations,
        versions=package_versions(),
        shard=ShardDescription.of(reading.source),
    )
