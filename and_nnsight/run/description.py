"""What a run's manifest says of it before it begins, and what of it could not be told when it comes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..data import UNKNOWN, Source
from ..data.options import DataOptions
from ..dissection.dissection import FORMAT_VERSION
from ..model.fingerprint import package_versions
from ..redaction import without_credentials
from ..sites.site import Site
from ..statistics.concept_scores import ConceptScores
from .session import CollectionPlan


def describe_run(
    model: Mapping[str, Any], dtype: str | None, source: Source, reading: DataOptions, plan: CollectionPlan
) -> dict[str, Any]:
    """The manifest of a run: the model as it describes itself, its dtype, the data, and what is kept."""
    return {
        "format_version": FORMAT_VERSION,
        "versions": package_versions(),
        "model": dict(model),
        "dataset": _describe_source(source, reading),
        "sites": [_describe_site(site) for site in plan.sites],
        "k": plan.k,
        "pool": plan.pool,
        "dtype": dtype,
        "concepts": None if plan.scores is None else _describe_scores(plan.scores),
        "keep_activations": plan.keep_activations,
    }


def unrecognisable(source: Source, model: Mapping[str, Any]) -> list[str]:
    """What of a run cannot be told from another when it comes again, in words."""
    reasons = []
    if source.fingerprint == UNKNOWN:
        reasons.append(f"data that cannot be recognised ({source.name}: a generator, a stream or the like)")
    if model.get("edits"):
        reasons.append("a model with edits, hooks or replaced forwards, which cannot be recognised")
    return reasons


def _describe_source(source: Source, reading: DataOptions) -> dict[str, Any]:
    return {
        "kind": source.kind,
        "name": without_credentials(source.name),
        "split": source.split,
        "fingerprint": source.fingerprint,
        "unused": [asdict(unused) for unused in source.unused],
        "limit": reading.limit,
        "audio_column": reading.audio_column,
        "label_column": reading.label_column,
        "caption_column": reading.caption_column,
    }


def _describe_site(site: Site) -> dict[str, Any]:
    return {
        "name": site.name,
        "path": site.path,
        "side": site.side,
        "width": site.width,
        "layer": site.layer,
        "frames": site.geometry.to_json(),
    }


def _describe_scores(scores: ConceptScores) -> dict[str, Any]:
    return {"fingerprint": scores.fingerprint, "method": scores.method, "count": len(scores.names)}
