"""The model that was dissected, opened again; or why what is given is not it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ..dissection.descriptions import ModelDescription, SiteDescription
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.manifest_differences import dictionary_differences, model_differences
from ..model.adapter import ModelAdapter
from ..model.checkpoint import ModelError
from ..model.opening import is_opened, open_model
from ..model.readers.options import AS_USUAL, ReaderOptions
from ..model.resolving import resolve_sites
from .local import LocalTarget
from .options import RunOptions


def named_model(dissection: Dissection, model: Any) -> Any:
    """The model given, or the name of the one that was dissected. Raises DissectionError if it has none."""
    if model is not None:
        return model
    described = dissection.manifest.model
    if described.id is None or described.id == described.class_name:
        raise DissectionError(
            f"the dissection does not say where its model is to be had ({described.class_name or 'unknown'}): pass "
            "model= (--model), what was dissected"
        )
    return described.id


def same_target(model: Any, dissection: Dissection, sites: Sequence[str], options: RunOptions) -> LocalTarget:
    """The model with its sites. Raises DissectionError if it is not the one that was dissected."""
    manifest = dissection.manifest
    dtype = manifest.dtype if options.dtype is None and isinstance(model, str | os.PathLike) else options.dtype
    opened = is_opened(model)
    part = None if opened else manifest.model.part
    reads = AS_USUAL if opened else ReaderOptions.from_json(manifest.model.more)
    adapter = _opened(model, dissection, lambda: open_model(model, options.device, dtype, part, reads))
    differing = model_differences(manifest.model, ModelDescription.from_json(adapter.describe()))
    here = LocalTarget(adapter, ()).dtype
    if manifest.dtype not in (None, here):
        differing.append(f"its dtype is {manifest.dtype} there, {here} here (dtype=)")
    if differing:
        raise DissectionError(f"model= is not what was dissected ({manifest.model.id}): {'; '.join(differing)}")
    resolved = resolve_sites(adapter, sites, manifest.pool or "max")
    changed = dictionary_differences(manifest.sites, map(SiteDescription.of, resolved))
    if changed:
        raise DissectionError(f"{dissection.folder} was made with {changed[0]}; dissect again into a new folder")
    return LocalTarget(adapter, resolved)


def _opened(model: Any, dissection: Dissection, opening: Callable[[], ModelAdapter]) -> ModelAdapter:
    """A model; where it was named by the dissection, and is not to be had here, the error says how to name it."""
    try:
        return opening()
    except ModelError as error:
        if model != dissection.manifest.model.id:
            raise
        raise DissectionError(
            f"{error}; so it was called where it was dissected: pass model= (--model), where it is here"
        ) from error
