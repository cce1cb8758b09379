"""AudioModel: an acoustic transformer under nnsight, fed with anything that is audio."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from types import MethodType
from typing import Any

import numpy as np
import torch
from nnsight.intervention.envoy import Envoy, traceable
from nnsight.modeling import peft
from nnsight.modeling.mixins.meta import MetaDevice
from nnsight.modeling.transformers import TransformersModel
from nnsight.util import from_import_path
from torch import Tensor, nn

from ..portable import SiteHandle, as_inputs
from ..sites.blocks import find_blocks
from ..sites.site import Site, SiteError, find_sites, select_sites
from ..sites.wrappers import uncompiled
from ..wording import counted
from .bare import bare
from .checkpoint import ModelError, checkpoint_class, load_weights, reaching, refuse_other_kinds, task_class, task_of
from .devices import device_of, known_device, known_dtype, require_weights
from .features import Features, Featuriser, default_extractor, load_extractor, make_featuriser
from .inputs import ARRAYS, fitting, is_batch, main_input, one_batch, ready_features, waveforms
from .remote_model import SERVER_OBJECTS, model_key, ship_by_value, travelling
from .restoring import eval_mode

_WITH_DECODER = ("WhisperModel", "WhisperForConditionalGeneration")


class AudioModel(TransformersModel):
    """An acoustic transformer whose internals can be read and edited in a trace.

    model              hub id, local folder, or a loaded transformers module, which runs in eval mode and keeps its own.
                       torch.compile, DataParallel and PEFT (merged or not) are seen through: the values are the same
    feature_extractor  transformers feature extractor, or the checkpoint to take it from; by default the model's own
    task               load the class that this transformers pipeline task loads, not the checkpoint's own class
    Further keywords go to `from_pretrained` (attn_implementation, device_map, revision, …) or to nnsight (rename,
    envoys, dispatch). `device` and `dtype` ("bfloat16" or torch's) also convert a loaded module, in place.
    `peft` names a PEFT adapter to put into a checkpoint. A checkpoint's own code runs only with trust_remote_code=True.

    `with model.trace(audio):` takes a path, bytes, a 1-D numpy or torch waveform (float or integer PCM), an HF audio
    dict, a decoded `datasets` audio value, a list of any of these, a [clip, time] torch tensor (a 2-D numpy array is
    one clip of several channels), or ready features (a dict of arrays, or the feature array). `sampling_rate=` states
    the rate of a bare array. Raises AudioError for audio that is not, ModelError (saying what to do) for what is no
    model of sound or cannot be read, ValueError for an unknown device or dtype.
    """

    def __init__(
        self, model: str | nn.Module, *args: Any, task: str | None = None, feature_extractor: Any = None, **kwargs: Any
    ) -> None:
        if isinstance(feature_extractor, str):
            feature_extractor = load_extractor(feature_extractor)
        if isinstance(model, nn.Module):
            model = bare(model)
        else:
            kwargs |= {"trust_remote_code": reaching(kwargs)["trust_remote_code"]}
        if kwargs.get("dtype", "auto") not in (None, "auto"):
            kwargs["dtype"] = known_dtype(kwargs["dtype"])
        # nnsight mounts submodules as attributes, and some models have one named feature_extractor: keep our own.
        self._extractor = feature_extractor
        self._extractor_missing = ""
        self._featuriser: Featuriser | None = None
        self._available: tuple[Site, ...] = ()
        self._own_class = task is None
        self._checkpoint_config: Any = None
        device = kwargs.pop("device", None)
        self._device_wanted = None if device is None else known_device(device)
        # `rename` is filled in once the module tree is known, before nnsight mounts the aliases.
        self._aliases_wanted: dict[Any, Any] = dict(kwargs.pop("rename", None) or {})
        with warnings.catch_warnings():
            # BERT-like trees have submodules named `output`; sites find them wherever nnsight mounts them.
            warnings.filterwarnings("ignore", message="Module .* has a submodule named", category=UserWarning)
            super().__init__(
                model if isinstance(model, nn.Module) else str(model),
                *args,
                task=task,
                feature_extractor=feature_extractor,
                rename=self._aliases_wanted,
                **kwargs,
            )
        if "blocks" not in self.__dict__ and (blocks := find_blocks(self.wrapped)):
            # The blocks lie in several lists (Swin's stages), which no one alias reaches.
            object.__setattr__(self, "blocks", tuple(self.envoy(block.path) for block in blocks))

    # -- loading ---------------------------------------------------------------------------------------------------

    def _load_meta(self, repo_id: str, *args: Any, **kwargs: Any) -> nn.Module:
        if not self._own_class:
            self._source_extractor(repo_id, kwargs)
            return self._adopt(_weightless(partial(super()._load_meta, repo_id, *args, **kwargs)).eval())
        model_class, config = self._checkpoint_class(repo_id, kwargs)
        wanted = {name: kwargs.get(name) for name in ("dtype", "attn_implementation")}
        options = {name: value for name, value in wanted.items() if value not in (None, "auto")}
        build = getattr(model_class, "_from_config", None)
        if build is None:  # AutoModel
            build = partial(model_class.from_config, trust_remote_code=kwargs["trust_remote_code"])
        module = _weightless(partial(build, config, **options)).eval()
        return self._adopt(self._with_adapter(module, weights=False), repo_id, kwargs)

    def _load(self, repo_id: str, *args: Any, **kwargs: Any) -> nn.Module:
        if not self._own_class:
            self._source_extractor(repo_id, kwargs)
            return self._place(self._adopt(super()._load(repo_id, *args, **kwargs).eval()))
        model_class, _ = self._checkpoint_class(repo_id, kwargs)
        module = load_weights(model_class, repo_id, self.revision, kwargs).eval()
        return self._place(self._adopt(self._with_adapter(module), repo_id, kwargs))

    def _with_adapter(self, module: nn.Module, weights: bool = True) -> nn.Module:
        """The module with the PEFT adapter that was asked for in it, as nnsight puts it there."""
        if self.peft is not None:
            peft.attach(module, self.peft, weights=weights)
        return module

    def _checkpoint_class(self, repo_id: str, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        model_class, config, self._checkpoint_config = checkpoint_class(repo_id, self.revision, kwargs)
        return model_class, config

    def _wrap(self, module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        source = str(getattr(module, "name_or_path", "") or "")
        if isinstance(kwargs.get("dtype"), torch.dtype):
            module = module.to(kwargs["dtype"])
        return self._place(self._adopt(module, source or None))

    def _loaded_preprocessors(self) -> set[str]:
        from transformers.pipelines import check_task

        pipeline = check_task(self.task)[1]["impl"]
        if isinstance(pipeline, str):  # since transformers 5.23, which nnsight 0.8.1 does not know
            pipeline = from_import_path(pipeline)
        kinds = ("tokenizer", "image_processor", "feature_extractor", "processor")
        return {kind for kind in kinds if getattr(pipeline, f"_load_{kind}", False)}

    def _adopt(self, module: nn.Module, source: str | None = None, options: Any = None) -> nn.Module:
        """Take a module as this model's: extractor, sites, and `blocks` as an alias of its blocks."""
        refuse_other_kinds(type(module))
        if self.task is None:
            self.task = task_of(module)
        if self._extractor is None and source is not None:
            self._source_extractor(source, options or {})
        self._available = find_sites(module, self._extractor)
        blocks = find_blocks(module)
        parents = {block.path.rpartition(".")[0] for block in blocks}
        if len(parents) == 1 and "blocks" not in self._aliases_wanted.values():
            (parent,) = parents
            if parent and parent != "blocks":
                self._aliases_wanted[parent] = "blocks"
        return module

    def _source_extractor(self, source: str, options: Mapping[str, Any]) -> None:
        if self._extractor is not None:
            return
        try:
            self._extractor = self.feature_extractor = load_extractor(source, self.revision, **reaching(options))
        except ValueError as error:
            self._extractor_missing = str(error)

    def _place(self, module: nn.Module) -> nn.Module:
        return module if self._device_wanted is None else module.to(self._device_wanted)

    @property
    def device(self) -> torch.device:
        """Where inputs belong; accelerate's word counts where it keeps weights elsewhere until they are needed."""
        return device_of(self.wrapped)

    @property
    def wrapped(self) -> Any:
        """The transformers module itself (weightless until it is dispatched)."""
        return self._module

    # -- what it hears ---------------------------------------------------------------------------------------------

    @property
    def featuriser(self) -> Featuriser:
        """The model's feature extraction: waveforms in, model inputs out. Raises ValueError if it has none."""
        if self._featuriser is None:
            if self._extractor is None:
                if self._extractor_missing and isinstance(self.args[0], str):
                    raise ValueError(self._extractor_missing)
                self._extractor = default_extractor(self.wrapped)
                self._available = find_sites(self.wrapped, self._extractor)
            self._featuriser = make_featuriser(self.wrapped, self._extractor)
        return self._featuriser

    @property
    def sampling_rate(self) -> int:
        """Hz that the model hears at; audio at another known rate is resampled."""
        return self.featuriser.sampling_rate

    @property
    def main_input(self) -> str:
        """Name of the model input that holds the sound, for example `input_values`."""
        return main_input(self.wrapped)

    def features(self, data: Any, sampling_rate: int | None = None) -> Features:
        """Model inputs of any audio value (or of a list of them), as a trace would make them."""
        heard = self._hear(data, sampling_rate)
        return heard if isinstance(heard, dict) else self.featuriser(heard)

    def _hear(self, data: Any, sampling_rate: int | None) -> Features | list[np.ndarray]:
        """Ready features as they are; any audio as waveforms at the model's rate."""
        ready = ready_features(self.wrapped, data)
        if ready is not None:
            return ready
        return waveforms(data, self.sampling_rate, sampling_rate, self.featuriser.window_samples)

    # -- nnsight's entry points ------------------------------------------------------------------------------------

    def trace(self, *inputs: Any, **kwargs: Any) -> Any:
        """nnsight's trace, on audio or on ready features; everything else of nnsight works as ever.

        With `remote=` (True, a server's URL, or "local") the block runs on a server: audio is decoded and made into
        features here. Raises ModelError, before anything is sent, if a server would load this model as another class.
        """
        inputs, kwargs = self._normalise(inputs, kwargs)
        if isinstance(self.args[0], nn.Module):
            require_weights(self.wrapped)
        if kwargs.get("remote"):
            if inputs:
                heard = inputs[0] if isinstance(inputs[0], dict) else self.featuriser(inputs[0])
                heard = fitting(self.wrapped, heard)
                inputs = (as_inputs(heard, None, self.further_inputs(remote=True)), *inputs[1:])
            kwargs.setdefault("fn", MethodType(TransformersModel._call, self))  # ours does not travel
        return super().trace(*inputs, **kwargs)

    def scan(self, *inputs: Any, **kwargs: Any) -> Any:
        """nnsight's scan: shapes only, no weights needed."""
        # The feature extractor is numpy code, which a scan's fake tensors cannot enter: make features first.
        inputs, kwargs = self._normalise(inputs, kwargs)
        if inputs and not isinstance(inputs[0], dict):
            inputs = (self.featuriser(inputs[0]), *inputs[1:])
        return super().scan(*inputs, **kwargs)

    def _normalise(self, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = dict(kwargs)
        if not inputs and isinstance(kwargs.get(self.main_input), ARRAYS):
            names = [name for name, value in kwargs.items() if isinstance(value, ARRAYS)]
            return ({name: torch.as_tensor(kwargs.pop(name)) for name in names},), kwargs
        rate = kwargs.pop("sampling_rate", None)
        if not inputs or inputs[0] is None:
            return inputs, kwargs
        return (self._hear(inputs[0], rate), *inputs[1:]), kwargs

    def _batch_size(self, *inputs: Any, **kwargs: Any) -> int:
        if not inputs or inputs[0] is None:
            given = kwargs.get(self.main_input)
            return len(given) if isinstance(given, ARRAYS) else 0
        ready = ready_features(self.wrapped, inputs[0])
        if ready is not None:
            return len(next(iter(ready.values())))
        return len(inputs[0]) if is_batch(inputs[0]) else 1

    def _batch(self, invokes: list[Any], fn: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        forward: dict[str, Any] = {}
        heard: list[Features | list[np.ndarray]] = []
        for inputs, kwargs in invokes:
            inputs, kwargs = self._normalise(inputs, kwargs)
            forward |= kwargs
            if inputs:
                heard.append(inputs[0])
        return (), {
            **self._complete(one_batch(heard, lambda clips: self.featuriser(clips)) if heard else {}),
            **forward,
        }

    def _complete(self, features: Features) -> dict[str, Any]:
        """Features in the model's dtype, with the first decoder token where the model has a decoder.

        Raises ValueError for features of a size that the model does not hear.
        """
        features = fitting(self.wrapped, features)
        return as_inputs(features, self.wrapped, self.further_inputs())

    def further_inputs(self, remote: bool = False) -> dict[str, int]:
        """Inputs that the model's forward wants beside the sound, and the token that stands for each."""
        name = type(self.wrapped).__name__
        if name in _WITH_DECODER:
            return {"decoder_input_ids": int(self.wrapped.config.decoder_start_token_id)}
        return {"input_ids": 0} if remote and name == "ClapModel" else {}  # here, only its audio tower runs

    def _call(self, *inputs: Any, **kwargs: Any) -> Any:
        with eval_mode(self.wrapped), uncompiled():
            if type(self.wrapped).__name__ == "ClapModel":
                return self.wrapped.get_audio_features(*inputs, **kwargs)  # its forward also wants text
            return self._module(*inputs, **kwargs)

    @traceable
    def generate(self, *inputs: Any, **kwargs: Any) -> Any:
        """Generate through the model (Whisper), traced or not: token ids [clip, token]."""
        kwargs.pop("decoder_input_ids", None)
        with eval_mode(self.wrapped), uncompiled():
            tokens = self.wrapped.generate(*inputs, **kwargs)
        return self.generator(tokens, hook=True)

    @traceable
    def pipe(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run the task's whole transformers pipeline, traced or not; it needs the checkpoint's other preprocessors."""
        if self.pipeline is None:
            import transformers

            make: Any = transformers.pipeline
            self.pipeline = make(self.task, model=self.wrapped, feature_extractor=self._extractor)
        run: Any = self.pipeline
        return run(*inputs, **kwargs)

    # -- sites -----------------------------------------------------------------------------------------------------

    def sites(self, *patterns: str) -> tuple[Site, ...]:
        """The sites that the patterns name (all of them without one), in forward order.

        Patterns are globs over names, the presets "default", "paper" and "all", or `module:PATH` for any module.
        Raises SiteError for a pattern that names nothing; it lists near names.
        """
        if not patterns:
            return self._available
        return select_sites(self.wrapped, self._available, patterns)

    def site(self, name: str) -> Any:
        """Inside a trace: the activation at a site, [clip, frame, unit] ([clip, unit] at a classifier's logits).

        Outside one: a handle that is good for any trace to come, here or remote; inside it, `handle.output` is the
        activation.
        """
        found = self.sites(name)
        if len(found) != 1:
            raise SiteError(f"{name!r} names {counted(len(found), 'site')}; a trace reads one at a time")
        return self.read(found[0]) if self.interleaver.interleaving else self.handle(found[0])

    def handle(self, site: Site) -> SiteHandle:
        """What `model.site` gives outside a trace, of a `Site`."""
        return SiteHandle(site.name, self.envoy(site.path), site.side, site.channels_first, site.windows)

    def envoy(self, path: str) -> Any:
        """nnsight's envoy of the module at a path, also where it is mounted under another name (`output`)."""
        envoy: Envoy = self
        for part in filter(None, path.split(".")):
            envoy = envoy._child_map[part]
        return envoy

    def read(self, site: Site) -> Tensor:
        """Inside a trace: the activation at a `Site`."""
        envoy = self.envoy(site.path)
        return site.fold(envoy.output if site.side == "output" else envoy.input)

    # -- remote ----------------------------------------------------------------------------------------------------

    def _remote_backend(self, remote: Any, blocking: bool, job_id: str | None, verbose: bool) -> Any:
        ship_by_value()
        if remote != "local":
            self.check_servable()
            remote = remote.rstrip("/") if isinstance(remote, str) else remote
        return super()._remote_backend(remote, blocking, job_id, verbose)

    def check_servable(self) -> None:
        """Raise ModelError, saying what to do, if a server would not load this very model by its name."""
        if not isinstance(self.args[0] if self.args else None, str):
            raise ModelError(
                "a server loads a model by its name: open this one by its hub id (or a folder that the server sees "
                "too), as AudioModel('…'); a module that was loaded here does not travel"
            )
        served, here = self.served_class(), type(self.wrapped).__name__
        if served != here:
            raise ModelError(
                f"a server loads {self.repo_id} for the task {self.task!r} as {served}, and this is its {here}, whose "
                f"modules have other paths: open it as AudioModel({self.repo_id!r}, task={self.task!r})"
            )

    def served_class(self) -> str:
        """Name of the class that a server loads the checkpoint as. Raises ModelError if there is none."""
        return task_class(str(self.task), self._checkpoint_config or self.wrapped.config, str(self.repo_id))

    def _remoteable_class(self) -> type:
        return TransformersModel

    def _remoteable_model_key(self) -> str:
        return model_key(str(self.repo_id), super()._remoteable_model_key)

    def _remoteable_persistent_objects(self) -> dict[str, Any]:
        return {**dict.fromkeys(SERVER_OBJECTS.values()), **super()._remoteable_persistent_objects()}

    def __reduce_ex__(self, protocol: Any) -> Any:
        # It travels as the base class, so that a server needs nothing of ours. Envoy's state, not the base class's:
        # that one tags our extractor to be taken for the server's.
        return (object.__new__, (TransformersModel,), travelling(self, super(TransformersModel, self).__getstate__()))


def _weightless(build: Callable[[], nn.Module]) -> nn.Module:
    """A module on the meta device, where nnsight builds what is to have no weights yet."""
    try:
        module = build()
    except RuntimeError:
        # Some models compute with numbers while they are built (CLAP's drop-path rates): build those for real.
        with MetaDevice.real():
            module = build()
    # Parameters made by torch's legacy constructor (masked_spec_embed) are real wherever they are built.
    return module.to("meta")
