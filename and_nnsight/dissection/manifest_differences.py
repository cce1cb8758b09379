"""In words, how a folder's run is told from the one wanted: what they do differently, and what cannot be recognised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..data import UNKNOWN
from ..storage import json_hash
from ..wording import counted
from .descriptions import (
    AT_SERVER,
    AnnotationsDescription,
    ConceptsDescription,
    DatasetDescription,
    ModelDescription,
    SiteDescription,
)
from .manifest import COMPLETE, Manifest

_HASHED = {  # a hash says nothing to a person
    "config": "another model config",
    "weights": "other model weights",
    "structure": "another model structure: its modules, their code, settings, adapters or buffers",
    "features": "other model features: its feature extractor or the extractor's settings",
    "fingerprint": "another dataset fingerprint: its clips, their order, files, labels or captions",
}
_LONGER = {"edits": "edits (hooks, replaced forwards or functions):"}


def differences(there: Manifest, here: Manifest) -> list[str]:
    """What a run with the wanted settings (here) would do differently from the one in a folder (there)."""
    if (there.model.weights == AT_SERVER) != (here.model.weights == AT_SERVER):
        places = ("on a server" if one.model.weights == AT_SERVER else "here" for one in (there, here))
        return ["the model ran {}, and is to run {} now".format(*places)]
    return [
        *_of_settings(there, here),
        *_of_names("model", _model_names(there, here), there.model, here.model),
        *_of_names("dataset", here.dataset.COMPARED, there.dataset, here.dataset),
        *_of_compared("concept scores", there.concepts, here.concepts),
        *_of_compared("annotations", there.annotations, here.annotations),
        *_of_activations(there, here),
        *_of_shards(there, here),
        *_of_sites(there, here),
    ]


def unrecognisable(manifest: Manifest) -> list[str]:
    """What of a run cannot be told from another when it comes again."""
    reasons = []
    if manifest.dataset.fingerprint == UNKNOWN:
        name = manifest.dataset.name
        reasons.append(f"data that cannot be recognised ({name}: a generator, a stream or the like)")
    if manifest.model.edits:
        reasons.append("a model with edits, hooks, replaced forwards or functions, which cannot be recognised")
    return reasons


def model_differences(there: ModelDescription, here: ModelDescription) -> list[str]:
    """How a model differs from another, in words. Weights that only a server saw are not compared."""
    unseen = ("weights", "structure") if AT_SERVER in (there.weights, here.weights) else ()
    names = [name for name in here.COMPARED if name not in unseen]
    return _of_names("model", names, there, here)


def _of_settings(there: Manifest, here: Manifest) -> list[str]:
    compared = {"k": (there.k, here.k), "pool": (there.pool, here.pool)}
    if here.dtype is not None:  # a server's is compared when the first job is home
        compared["dtype"] = (there.dtype, here.dtype)
    return [f"{name} is {one} there, {other} here" for name, (one, other) in compared.items() if one != other]


def _model_names(there: Manifest, here: Manifest) -> list[str]:
    """What of the models is compared. Weights of another dtype are others of themselves, which the dtype says."""
    unseen = ("weights",) if here.dtype is not None and there.dtype != here.dtype else ()
    names = [name for name in here.model.COMPARED if name not in unseen]
    # What is whole is returned on any machine; what goes on is to go on with the same last digits.
    return names if there.state == COMPLETE else [*names, "arithmetic"]


def _of_names(
    part: str,
    names: Iterable[str],
    there: ModelDescription | DatasetDescription,
    here: ModelDescription | DatasetDescription,
) -> list[str]:
    differing = [name for name in names if there.get(name) != here.get(name)]
    return [
        _HASHED.get(name) or f"{part} {_LONGER.get(name, f'{name} is')} {there.get(name)} there, {here.get(name)} here"
        for name in differing
    ]


def _of_compared(
    what: str,
    there: ConceptsDescription | AnnotationsDescription | None,
    here: ConceptsDescription | AnnotationsDescription | None,
) -> list[str]:
    """Of what units are compared with."""
    one, other = (None if each is None else each.fingerprint for each in (there, here))
    if one == other:
        return []
    if one is None:
        return [f"{what}: none there, these here"]
    if other is None:
        return [f"{what}: some there, none here"]
    return [f"{what}: other ones there, these here"]


def _of_activations(there: Manifest, here: Manifest) -> list[str]:
    if there.keep_activations == here.keep_activations:
        return []
    return [f"keep_activations is {there.keep_activations} there, {here.keep_activations} here"]


def _of_shards(there: Manifest, here: Manifest) -> list[str]:
    if there.shard == here.shard:
        return []
    one, other = ("the whole run" if one is None else f"shard {one}" for one in (there.shard, here.shard))
    if one == other:  # of other positions
        return [f"{one} is of other positions there, as of another batch_size"]
    return [f"{one} there, {other} here"]


def dictionary_differences(there: Iterable[SiteDescription], here: Iterable[SiteDescription]) -> list[str]:
    """Which sites' dictionaries are others than they were, in words; sites that are not in both are left out."""
    now = {site.name: site for site in here}
    pairs = [(site, now[site.name]) for site in there if site.name in now]
    changed = [one.name for one, other in pairs if one.dictionary != other.dictionary]
    return [f"another dictionary in {', '.join(changed[:3])}: its files have changed"] if changed else []


def _of_sites(there: Manifest, here: Manifest) -> list[str]:
    changed = dictionary_differences(there.sites, here.sites)
    if changed:
        return changed
    one, other = (list(manifest.widths.items()) for manifest in (there, here))
    if one == other:
        return _of_places(there, here)
    here_too = f"{len(other)} others" if len(one) == len(other) > 1 else str(len(other))
    here_too = "another" if len(one) == len(other) == 1 else here_too
    return [f"{counted(len(one), 'site')} there, {here_too} here"]


def _of_places(there: Manifest, here: Manifest) -> list[str]:
    """Sites of the same names that are elsewhere in the model, or whose frames are other stretches of time."""
    pairs = zip(there.sites, here.sites, strict=True)
    moved = [one.name for one, other in pairs if json_hash(one.to_json()) != json_hash(other.to_json())]
    return [f"another module, or other frames, at {', '.join(moved[:3])}"] if moved else []


def run_hash(manifest: Manifest) -> str:
    """Short hash of all that two runs of one folder agree in: a checkpoint of another run has another."""
    names = (*manifest.model.COMPARED, "arithmetic")
    return json_hash(
        {
            "model": _compared(manifest.model, names),
            "dataset": {name: manifest.dataset.get(name) for name in manifest.dataset.COMPARED},
            "concepts": None if manifest.concepts is None else manifest.concepts.fingerprint,
            "sites": [site.to_json() for site in manifest.sites],
            "run": [manifest.k, manifest.pool, manifest.keep_activations],
            **({} if manifest.annotations is None else {"annotations": manifest.annotations.fingerprint}),
            "shard": None if manifest.shard is None else asdict(manifest.shard),
        }
    )


def _compared(model: ModelDescription, names: Iterable[str]) -> dict[str, Any]:
    """Entries of a model by these names; those that most models have nothing to say of only where they have."""
    values = {name: model.get(name) for name in names}
    return {name: value for name, value in values.items() if name not in model.OPTIONAL or value is not None}
