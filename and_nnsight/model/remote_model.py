"""An AudioModel on its way to a server: the name it is loaded by there, and what of it travels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import nnsight
from huggingface_hub import constants
from nnsight.modeling.huggingface import _ID_CACHE

from ..portable import ServerObject, ServedBatch, SiteTable
from .checkpoint import ModelError, first_line

if TYPE_CHECKING:
    from .audio_model import AudioModel

# What a server's own model has, under the ids that nnsight knows it by.
SERVER_OBJECTS = {"pipeline": "Pipeline", "feature_extractor": "FeatureExtractor"}
_STAYS = (
    "_extractor", "_extractor_missing", "_featuriser", "_available", "_device_wanted", "_own_class",
    "_checkpoint_config",
)  # fmt: skip


def model_key(repo_id: str, mint: Callable[[], str]) -> str:
    """nnsight's key of a checkpoint, which asks the hub how its id is spelt; a folder goes by its path.

    Raises ModelError where the hub does not know the checkpoint.
    """
    folder = Path(repo_id).expanduser()
    if folder.is_dir():  # a server on the same file system loads it by its path
        _ID_CACHE.setdefault(repo_id, str(folder.resolve()))
    elif constants.HF_HUB_OFFLINE:
        _ID_CACHE.setdefault(repo_id, repo_id)
    try:
        return mint()
    except (httpx.TransportError, ConnectionError):
        # The hub would only say how the id is spelt there; the server finds that out itself.
        _ID_CACHE.setdefault(repo_id, repo_id)
        return mint()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot look up {repo_id!r} on the hub, to name it to the server: {first_line(error)}"
        ) from error


def travelling(model: AudioModel, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a model's envoys as it travels, to become that of a `TransformersModel`, which any server has.

    What it does beyond that class, at a server, it takes along as attributes: `site`, and how invokes become a batch.
    """
    state = {name: value for name, value in state.items() if name not in _STAYS}
    state |= {"args": (), "kwargs": {}}  # a token may be among them
    state |= {name: ServerObject(object_id) for name, object_id in SERVER_OBJECTS.items()}
    state["site"] = SiteTable({site.name: model.handle(site) for site in model.sites()})
    if model._extractor is not None or not model._extractor_missing:
        heard = model.featuriser
        batch = ServedBatch(
            model,
            without_server_id(heard.extractor),
            model.main_input,
            heard.sampling_rate,
            heard.options,
            model.further_inputs(remote=True),
        )
        state |= {"_batch": batch, "_batch_size": batch.size}
    return state


def without_server_id(value: Any) -> Any:
    """A copy of an object that nnsight would name to the server by an id, so that the object itself travels."""
    copied = copy.copy(value)
    copied.__dict__.pop("_persistent_id", None)
    return copied


def ship_by_value(*further: str) -> None:
    """Let what a server runs of ours (and further modules) travel as source, so that it needs nothing of ours."""
    for module in ("and_nnsight.portable", "and_nnsight.kernels", *further):
        nnsight.register(module)
