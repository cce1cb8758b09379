"""An acoustic transformer under nnsight: loaded from a checkpoint or around a module, with its feature extractor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from nnsight.modeling import peft
from nnsight.modeling.mixins.meta import MetaDevice
from nnsight.modeling.transformers import TransformersModel
from nnsight.util import from_import_path
from torch import nn

from ..portable import as_inputs
from ..sites.blocks import blocks_in, find_blocks
from ..sites.part_sites import find_parts
from ..sites.parts import Part
from ..sites.site import Site, find_sites, select_sites
from .accepted_inputs import accepted, needs_mask, runs_one_clip
from .bare import bare
from .checkpoint import (
    ModelError,
    checkpoint_class,
    load_weights,
    no_model,
    reaching,
    task_around,
    task_of,
)
from .devices import device_of, known_device, known_dtype
from .extractors import default_extractor, load_extractor
from .features import Features, Featuriser, make_featuriser
from .inputs import fitting, further_inputs, main_input
from .measured_frames import measured_frames
from .opened import Opened, concrete, opened_without_weights
from .reader_model import ReaderSource, blocks_that_read, sites_to_be
from .readers.options import ReaderOptions
from .readers.reader import Reader
from .shortened_frames import shorten, shortened
from .weightless import described, weightless

_ROOT = "model"  # nnsight's name of a whole model


class CheckpointModel(TransformersModel):
    """Loads a checkpoint, or takes in a module, with its feature extractor and its sites: see AudioModel."""

    OWN_STATE = (
        "_extractor", "_extractor_missing", "_featuriser", "_available", "_device_wanted", "_own_class",
        "_checkpoint_config", "_part_wanted", "_opening", "_reading", "_reader", "_seconds_told", "name",
    )  # fmt: skip
    """What an instance has beside nnsight's own attributes."""

    def __init__(
        self,
        model: str | os.PathLike[str] | nn.Module,
        *args: Any,
        task: str | None = None,
        feature_extractor: Any = None,
        part: str | None = None,
        processor: Any = None,
        prompt: str | None = None,
        tokens: str | None = None,
        answer: str | None = None,
        answer_tokens: int = ReaderOptions.answer_tokens,
        **kwargs: Any,
    ) -> None:
        self._reading = ReaderSource(processor, ReaderOptions(prompt, tokens, answer, answer_tokens))
        self._reader: Reader | None = None
        if isinstance(feature_extractor, str):
            feature_extractor = load_extractor(feature_extractor)
        model, kwargs = _as_nnsight_takes(model, kwargs)
        # nnsight mounts submodules as attributes, and some models have one named feature_extractor: keep our own.
        self._extractor = feature_extractor
        self._extractor_missing = ""
        self._featuriser: Featuriser | None = None
        self._available: tuple[Site, ...] = ()
        self._own_class = task is None
        self._checkpoint_config: Any = None
        self._part_wanted = part
        self._opening: Opened | None = None
        self._seconds_told = False
        device = kwargs.pop("device", None)
        self._device_wanted = None if device is None else known_device(device)
        # `rename` is filled in once the module tree is known, before nnsight mounts the aliases.
        self._aliases_wanted: dict[Any, Any] = dict(kwargs.pop("rename", None) or {})
        with warnings.catch_warnings():
            # BERT-like trees have submodules named `output`; sites find them wherever nnsight mounts them.
            warnings.filterwarnings("ignore", message="Module .* has a submodule named", category=UserWarning)
            super().__init__(
                model,
                *args,
                task=task,
                feature_extractor=feature_extractor,
                rename=self._aliases_wanted,
                **kwargs,
            )
        self.name: str | None = self.repo_id
        for envoy in self.generator.modules():  # the whole model has these, and no part
            envoy.path = envoy.path.replace(f"{self.path}.", f"{_ROOT}.", 1)
        if "blocks" not in self.__dict__ and not self._opened.within:
            self._mount_blocks()

    # -- nnsight's entry points ------------------------------------------------------------------------------------

    def _load_meta(self, repo_id: str, *args: Any, **kwargs: Any) -> nn.Module:
        if not self._own_class:
            self._source_extractor(repo_id, kwargs)
            return self._adopt(weightless(partial(super()._load_meta, repo_id, *args, **kwargs)).eval())
        model_class, config = self._checkpoint_class(repo_id, kwargs)
        wanted = {name: kwargs.get(name) for name in ("dtype", "attn_implementation")}
        options = {name: value for name, value in wanted.items() if value not in (None, "auto")}
        build = getattr(model_class, "_from_config", None)
        if build is None:  # AutoModel
            build = partial(model_class.from_config, trust_remote_code=kwargs["trust_remote_code"])
        module = described(partial(build, config, **options)).eval()
        return self._adopt(self._with_adapter(module, weights=False), repo_id, kwargs)

    def _load(self, repo_id: str, *args: Any, **kwargs: Any) -> nn.Module:
        if not self._own_class:
            self._source_extractor(repo_id, kwargs)
            return self._place(self._adopt(super()._load(repo_id, *args, **kwargs).eval()))
        model_class, config = self._checkpoint_class(repo_id, kwargs)
        part = self._part_to_load(model_class, config)
        kind = concrete(model_class, config) if part else model_class
        module = load_weights(kind, repo_id, self.revision, kwargs, part).eval()
        return self._place(self._adopt(self._with_adapter(module), repo_id, kwargs))

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

    # -- steps of loading ------------------------------------------------------------------------------------------

    def _with_adapter(self, module: nn.Module, weights: bool = True) -> nn.Module:
        """The module with the PEFT adapter that was asked for in it, as nnsight puts it there."""
        if self.peft is not None:
            peft.attach(module, self.peft, weights=weights)
        return module

    def _checkpoint_class(self, repo_id: str, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        model_class, config, self._checkpoint_config = checkpoint_class(repo_id, self.revision, kwargs)
        return model_class, config

    def _part_to_load(self, model_class: Any, config: Any) -> str:
        """Path of the part whose weights are all that is needed; "" where the whole model runs."""
        if self._opening is None:
            self._opening = opened_without_weights(model_class, config, self._part_wanted)
        known = None if self._opening is None else self._opening.part
        return known.path if known is not None and known.hears and concrete(model_class, config) else ""

    def _adopt(self, module: nn.Module, source: str | None = None, options: Any = None) -> nn.Module:
        """Take a module, or the part of it that is opened, as this model's: extractor, sites, alias of its blocks."""
        whole, options = module, dict(options or {})
        if source is not None:
            self._source_extractor(source, options)
        opened = Opened.of(module, self._part_wanted) if self._opening is None else self._opening.again(module)
        self._opening = opened
        if self.task is None:
            self.task = task_of(whole) if opened.host is None else task_around(whole)
        module, within = opened.module, opened.within
        self._reading.comes_with(source, self.revision, options)
        self._reader, reading = None, blocks_that_read(module, within)
        self._available = sites_to_be(reading) or find_sites(module, self._extractor, within)
        self._seconds_told = False  # of these sites
        blocks = reading or (blocks_in(module, within) if within else find_blocks(module))
        self._alias_blocks({block.path.rpartition(".")[0] for block in blocks})
        return module

    def _alias_blocks(self, parents: Collection[str]) -> None:
        """Let `model.blocks` be the one list that all blocks lie in, where there is one."""
        if len(parents) == 1 and "blocks" not in self._aliases_wanted.values():
            (parent,) = parents
            if parent and parent != "blocks":
                self._aliases_wanted[parent] = "blocks"

    def _mount_blocks(self) -> None:
        """Let `model.blocks` be a tuple: blocks that lie in several lists (Swin's stages) no one alias reaches."""
        blocks = find_blocks(self.wrapped)
        if blocks:
            object.__setattr__(self, "blocks", tuple(self.envoy(block.path) for block in blocks))

    def _source_extractor(self, source: str, options: Mapping[str, Any]) -> None:
        if self._extractor is not None:
            return
        try:
            with MetaDevice.real():  # some hold filters, which are computed with
                self._extractor = self.feature_extractor = load_extractor(source, self.revision, **reaching(options))
        except ValueError as error:
            self._extractor_missing = str(error)

    def _place(self, module: nn.Module) -> nn.Module:
        return module if self._device_wanted is None else module.to(self._device_wanted)

    # -- what was loaded -------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where inputs belong; accelerate's word counts where it keeps weights elsewhere until they are needed."""
        return device_of(self.wrapped)

    @property
    def path(self) -> str:
        """nnsight's path of the module: that of a part that runs alone is the one that it has in the whole model."""
        return self.__dict__["path"]

    @path.setter
    def path(self, path: str) -> None:
        host = self._opened.host
        self.__dict__["path"] = path if host is None or path != _ROOT else f"{path}.{host.part.path}"

    @property
    def wrapped(self) -> Any:
        """The transformers module itself (weightless until it is dispatched)."""
        return self._module

    @property
    def own_extractor(self) -> Any:
        """The feature extractor that was given, or that the checkpoint came with; None if there is none yet."""
        return self._extractor

    @property
    def takes_waveforms(self) -> bool:
        """Whether there is a feature extractor, or one that may be made: else only ready features go in."""
        return self._extractor is not None or not self._extractor_missing

    @property
    def featuriser(self) -> Featuriser:
        """The model's feature extraction: waveforms in, model inputs out. Raises ValueError if it has none."""
        if self.reader is not None:
            return self.reader.featuriser
        if self._featuriser is None:
            if self._extractor is None:
                if self._extractor_missing and isinstance(self.args[0], str):
                    raise ValueError(self._extractor_missing)
                self._extractor = default_extractor(self.wrapped)
                self._available = find_sites(self.wrapped, self._extractor, self._opened.within)
            masked = self._opened.wants_mask or needs_mask(self.wrapped)
            made = self._opened.fitted(make_featuriser(self.wrapped, self._extractor, masked))
            self._featuriser = replace(made, alone=made.alone or runs_one_clip(self.wrapped))
        return self._featuriser

    @property
    def reader(self) -> Reader | None:
        """The opened part as what reads tokens; None for a part that hears. Raises ModelError without a processor."""
        opened = self._opened
        if self._reader is None and opened.part is not None and blocks_that_read(opened.module, opened.within):
            part = opened.part
            self._reader = self._reading.reader(opened.module, part.name, part.path, self._extractor)
            self._available = self._reader.sites
        return self._reader

    @property
    def sampling_rate(self) -> int:
        """Hz that the model wants; audio at another known rate is resampled."""
        return self.featuriser.sampling_rate

    @property
    def main_input(self) -> str:
        """Name of the model input that holds the sound, for example `input_values`."""
        return self._opened.main_input or main_input(self.wrapped)

    @property
    def _opened(self) -> Opened:
        assert self._opening is not None, "nothing was loaded yet"
        return self._opening

    @property
    def part(self) -> Part | None:
        """The part of a composite model that was opened; None where the whole model runs."""
        return self._opened.part

    def parts(self) -> tuple[Part, ...]:
        """The parts of the whole model, in order of registration: what each does, and its sites."""
        return find_parts(self._opened.whole, self._extractor)

    def sites(self, *patterns: str) -> tuple[Site, ...]:
        """The sites that the patterns name (all of them without one), in forward order.

        Patterns are globs over names, the presets "default", "paper" and "all", or `module:PATH` for any module.
        Raises SiteError for a pattern that names nothing; it lists near names.
        """
        self._tell_seconds()
        if not patterns:
            return self._available
        return select_sites(self.wrapped, self._available, patterns)

    def _tell_seconds(self) -> None:
        """Measure where frames lie, where neither the model's structure nor its config tells, once."""
        if self._seconds_told or self._opened.within or not any(_is_untold(site) for site in self._available):
            return
        try:
            featuriser = self.featuriser
        except ValueError:
            return  # without features, nothing reaches a frame
        self._seconds_told = True
        measured = measured_frames(self.wrapped, featuriser, self._measured_inputs)
        untold = [site for site in self._available if _is_untold(site)]
        if shorten(self.wrapped):
            placed = shortened(untold, measured, self.wrapped, featuriser, self._measured_inputs)
        else:
            placed = tuple(replace(site, geometry=measured) for site in untold)
        told = {site.name: site for site in placed}
        self._available = tuple(told.get(site.name, site) for site in self._available)

    def _measured_inputs(self, module: nn.Module, features: Features) -> dict[str, Any]:
        """What the module that is measured is called with: a model of this one's class, on the CPU."""
        main = self.main_input
        fit = fitting(module, features, main)
        fit = accepted(module, fit, main) if self._opened.host is None else fit
        return self._opened.inputs(as_inputs(fit, module, further_inputs(module)))

    def envoy(self, path: str) -> Any:
        """nnsight's envoy of the module at a path, also where it is mounted under another name (`output`)."""
        envoy: Any = self
        for part in filter(None, path.split(".")):
            envoy = envoy._child_map[part]
        return envoy


def _as_nnsight_takes(model: Any, options: dict[str, Any]) -> tuple[str | nn.Module, dict[str, Any]]:
    """A model and options of its load as nnsight wants them. Raises ModelError for what is no model."""
    if isinstance(model, nn.Module):
        model = bare(model)
    elif isinstance(model, (str, os.PathLike)):
        model = str(Path(model).expanduser()) if str(model).startswith("~") else str(model)
        options = {**options, "trust_remote_code": reaching(options)["trust_remote_code"]}
    else:
        raise ModelError(no_model(model))
    if options.get("dtype", "auto") not in (None, "auto"):
        options = {**options, "dtype": known_dtype(options["dtype"])}
    return model, options


def _is_untold(site: Site) -> bool:
    """Whether a site has frames of which it is not known where they lie."""
    return site.layer is not None and site.geometry.kind == "unknown"
