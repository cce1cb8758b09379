"""An audio model on its way to a server: the name it is loaded by there, and what of it travels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

import nnsight
from huggingface_hub import constants
from nnsight.modeling.huggingface import _ID_CACHE
from nnsight.modeling.transformers import TransformersModel

from ..portable import PartCall, ServedBatch, ServerObject, SiteTable, as_inputs, renamed
from ..wording import first_line
from .checkpoint import ModelError, task_class
from .features import Features, probe_features
from .host import Way
from .inputs import fitting, further_inputs
from .trace_model import TraceModel

# What a server's own model has, under the ids that nnsight knows it by.
SERVER_OBJECTS = {"pipeline": "Pipeline", "feature_extractor": "FeatureExtractor"}


class RemoteModel(TraceModel):
    """Runs traces on a server, too, which loads the checkpoint by its name: see AudioModel."""

    def trace(self, *inputs: Any, **kwargs: Any) -> Any:
        """nnsight's trace, on audio or on ready features; everything else of nnsight works as ever.

        With `remote=` (True, a server's URL, or "local") the block runs on a server: audio is decoded and made into
        features here. Raises ModelError, before anything is sent, if a server would load this model as another class.
        """
        if kwargs.get("remote"):
            self.refuse_reader()
            inputs, kwargs = self._normalise(inputs, kwargs)
            if inputs:
                features = inputs[0] if isinstance(inputs[0], dict) else self.featuriser(inputs[0])
                features = renamed(fitting(self.wrapped, features, self.main_input), self.served_names())
                inputs = (as_inputs(features, None, further_inputs(self.wrapped, remote=True)), *inputs[1:])
            there = None if kwargs["remote"] == "local" else self._part_call()
            kwargs.setdefault("fn", there or MethodType(TransformersModel._call, self))  # ours does not travel
        return super().trace(*inputs, **kwargs)

    def refuse_reader(self) -> None:
        """Raise ModelError if the model was opened by a part that does not hear: a server is given sound alone."""
        if self.part is not None and not self.part.hears:
            raise ModelError(
                f"a server is given sound, and of {self.repo_id or 'this model'} the part {self.part.name!r} was "
                "opened, which does not hear: run it here, without remote="
            )

    def served_way(self) -> Way | None:
        """How the whole model at a server is called for the part that was opened; None where the whole was opened.

        Raises ModelError where it never hands sound to that part by itself.
        """
        host = self._opened.host
        if host is None:
            return None
        features = probe_features(self.featuriser)
        way = host.way(features, partial(self.scan_weightless, features))
        if way is None:
            raise ModelError(
                f"a server runs whole checkpoints, and {type(host.whole).__name__} hands sound to its part "
                f"{host.part.name!r} only on the way to something else: run it here, without remote="
            )
        return way

    def scan_weightless(self, features: Features) -> None:
        """nnsight's scan of features, by which a job for a server is made ready; hooks see the shapes.

        Raises ModelError for a model whose code wants values.
        """
        try:
            with self.scan(features):
                pass
        except (RuntimeError, NotImplementedError) as error:  # torch's, of fake tensors that are asked for values
            raise ModelError(
                f"{type(self.wrapped).__name__} does not run without its weights, which is how a job for a server is "
                f"made ready ({first_line(error)}): run it here, without remote="
            ) from error

    def served_names(self) -> dict[str, str]:
        """By what names a server's model takes features; empty: by their own."""
        way = self.served_way()
        return {} if way is None else dict(way.names)

    def _part_call(self) -> PartCall | None:
        """What a trace runs at a server where a part was opened."""
        way = self.served_way()
        if way is None:
            return None
        return PartCall(ServerObject(_module_id(way.holder)), ServerObject(f"Module:{self.path}"), way.method, way.text)

    def check_servable(self) -> None:
        """Raise ModelError, saying what to do, if a server would not load this very model by its name."""
        if not isinstance(self.args[0] if self.args else None, str):
            raise ModelError(
                "a server loads a model by its name: open this one by its hub id (or a folder that the server sees "
                "too), as AudioModel('…'); a module that was loaded here does not travel"
            )
        served, here = self.served_class(), self.class_here
        if served != here:
            raise ModelError(
                f"a server loads {self.repo_id} for the task {self.task!r} as {served}, and this is its {here}, whose "
                f"modules have other paths: open it as AudioModel({self.repo_id!r}, task={self.task!r})"
            )

    @property
    def class_here(self) -> str:
        """Name of the class of the whole model."""
        return type(self._opened.whole if self._opened.host is not None else self.wrapped).__name__

    def served_class(self) -> str:
        """Name of the class that a server loads the checkpoint as. Raises ModelError if there is none."""
        config = self._checkpoint_config or self._opened.whole.config
        return task_class(str(self.task), config, str(self.repo_id))

    # -- nnsight's entry points ------------------------------------------------------------------------------------

    def _remote_backend(self, remote: Any, blocking: bool, job_id: str | None, verbose: bool) -> Any:
        ship_by_value()
        if remote != "local":
            self.check_servable()
            remote = remote.rstrip("/") if isinstance(remote, str) else remote
        return super()._remote_backend(remote, blocking, job_id, verbose)

    def _remoteable_class(self) -> type:
        return TransformersModel

    def _remoteable_model_key(self) -> str:
        return _model_key(str(self.repo_id), super()._remoteable_model_key)

    def _remoteable_persistent_objects(self) -> dict[str, Any]:
        objects = {**dict.fromkeys(SERVER_OBJECTS.values()), **super()._remoteable_persistent_objects()}
        way = self.served_way()
        if way is not None:  # nnsight's dry run: the model around the part may not be there
            objects[_module_id(way.holder)] = _WholeHere(self._run_part)
        return objects

    def _run_part(self, features: dict[str, Any]) -> Any:
        return self.wrapped(**self._opened.inputs(features))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # It travels as the base class, so that a server needs nothing of ours. Envoy's state, not the base class's:
        # that one tags our extractor to be taken for the server's.
        return (object.__new__, (TransformersModel,), self._portable(super(TransformersModel, self).__getstate__()))

    def _portable(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of the envoys as it travels, to become that of a `TransformersModel`, which any server has.

        What it does beyond that class, at a server, it takes along as attributes: `site`, and how invokes become a
        batch.
        """
        state = {name: value for name, value in state.items() if name not in self.OWN_STATE}
        state |= {"args": (), "kwargs": {}}  # a token may be among them
        there = {"pipeline", *self._loaded_preprocessors()}
        state |= {name: ServerObject(id_) if name in there else None for name, id_ in SERVER_OBJECTS.items()}
        call = self._part_call()
        if call is not None:
            state["_call"] = call
        state["site"] = SiteTable({site.name: self.handle(site) for site in self.sites()})
        if self.takes_waveforms:
            featuriser = self.featuriser
            batch = ServedBatch(
                self,
                without_server_id(featuriser.extractor),
                self.main_input,
                featuriser.sampling_rate,
                featuriser.options,
                further_inputs(self.wrapped, remote=True),
                self.served_names(),
            )
            state |= {"_batch": batch, "_batch_size": batch.size}
        return state


class _WholeHere:
    """In a dry run, in the place of the module that hands sound to a part: does what is done here."""

    def __init__(self, run: Callable[[dict[str, Any]], Any]) -> None:
        self._run = run

    def __call__(self, input_ids: Any = None, inputs_embeds: Any = None, **features: Any) -> Any:
        return self._run(features)

    get_audio_features = __call__


def _module_id(path: str) -> str:
    """nnsight's id of a module of the whole model, by its path there."""
    return ".".join(filter(None, ("Module:model", path)))


def _model_key(repo_id: str, mint: Callable[[], str]) -> str:
    """nnsight's key of a checkpoint, which asks the hub how its id is spelt; a folder goes by its path.

    Raises ModelError where the hub does not know the checkpoint.
    """
    import httpx  # here, so that a run on this machine does without

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


def without_server_id(value: Any) -> Any:
    """A copy of an object that nnsight would name to the server by an id, so that the object itself travels."""
    copied = copy.copy(value)
    copied.__dict__.pop("_persistent_id", None)
    return copied


def ship_by_value(*further: str) -> None:
    """Let what a server runs of ours (and further modules) travel as source, so that it needs nothing of ours."""
    for module in ("and_nnsight.portable", "and_nnsight.kernels", *further):
        nnsight.register(module)
