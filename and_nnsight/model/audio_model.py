"""AudioModel: an acoustic transformer under nnsight, fed with anything that is audio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from nnsight.intervention.interleaver import OutOfOrderError
from torch import Tensor

from ..sites.hooks import site_hooks
from ..sites.site import Site, SiteError
from .adapter import ModelAdapter, OnActivation
from .devices import one_dtype, to_device
from .features import Features
from .forwards import Forward, Hearing
from .inputs import fitting
from .remote_model import RemoteModel
from .restoring import plain_outputs


class AudioModel(RemoteModel, ModelAdapter):
    """An acoustic transformer whose internals can be read and edited in a trace.

    model              hub id, local folder, or a loaded transformers module, which runs in eval mode and keeps its own.
                       torch.compile, DataParallel and PEFT (merged or not) are seen through: the values are the same
    feature_extractor  transformers feature extractor, or the checkpoint to take it from; by default the model's own
    task               load the class that this transformers pipeline task loads, not the checkpoint's own class
    part               which part of a composite model (`parts()` lists them); by default the one that hears, which is
                       then loaded and runs alone, and is called as the whole model calls it. A part that does not hear
                       runs in the whole model
    processor          of a part that reads (a language model, a decoder): transformers processor, of a decoder the
                       tokenizer, or the checkpoint to take it from; by default the model's own
    prompt, tokens, answer, answer_tokens  how such a part reads: see `ReaderOptions`
    Further keywords go to `from_pretrained` (attn_implementation, device_map, revision, …) or to nnsight (rename,
    envoys, dispatch). `device` and `dtype` ("bfloat16" or torch's) also convert a loaded module, in place.
    `peft` names a PEFT adapter to put into a checkpoint. A checkpoint's own code runs only with trust_remote_code=True.

    `with model.trace(audio):` takes a path, bytes, a 1-D numpy or torch waveform (float or integer PCM), an HF audio
    dict, a decoded `datasets` audio value, a list of any of these, a [clip, time] torch tensor (a 2-D numpy array is
    one clip of several channels), or ready features (a dict of arrays, or the feature array). `sampling_rate=` states
    the rate of a bare array. Raises AudioError for audio that is not, ModelError (saying what to do) for what is no
    model of sound or cannot be read, ValueError for an unknown device or dtype.

    How it is loaded is in `checkpoint_model`, what traces take and give in `trace_model`, how it goes to a server in
    `remote_model`; here is what a run asks of any model (`ModelAdapter`).
    """

    def __repr__(self) -> str:
        """In one line; `str`, and so `print`, gives nnsight's tree of modules."""
        name, kind = self.name or "a module of one's own", type(self.wrapped).__name__
        return f"AudioModel({name!r}: {kind}, {self.device}; print it to see its modules)"

    def __str__(self) -> str:
        return super().__repr__()

    @property
    def edits(self) -> int:
        """How many nnsight edits are stored on the model."""
        return len(self._edits)

    def check_features(self, features: Features) -> None:
        """Raise ValueError for features of a size that the model does not take."""
        if self.reader is None:
            fitting(self.wrapped, features, self.main_input)

    def plain_forward(self, features: Features) -> Any:
        """What the module itself returns for features on its device: no trace, and no edit."""
        with plain_outputs(self.wrapped), one_dtype(self.wrapped):
            return self._call(**self.model_inputs(features))

    def run(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        """Run the model in a trace, up to the last site; hand over each site's activation as it is produced.

        Sites are in the order in which they fire. Raises SiteError, naming the site, if one does not fire.
        """
        with torch.no_grad():  # not inference mode: what a model remembers of a forward must still train
            self.run_with_gradient(sites, features, on_activation)

    def run_with_gradient(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        """As `run`, with gradients as far as they are enabled where it is called."""
        if self.reader is not None:
            features, on_activation = self.reader.watching(features, on_activation)
        reached: list[str] = []
        try:
            with plain_outputs(self.wrapped), one_dtype(self.wrapped):
                self._trace_sites(sites, features, on_activation, reached)
        except OutOfOrderError as error:
            site = sites[len(reached)]
            raise SiteError(
                f"site {site.name!r} did not fire: module {site.path!r} never ran as a module, "
                "or ran before the sites asked for ahead of it"
            ) from error

    def _trace_sites(
        self, sites: Sequence[Site], features: Features, on_activation: OnActivation, reached: list[str]
    ) -> None:
        envoys = [(site, self.envoy(site.path)) for site in sites]
        with self.trace(features) as tracer:
            for site, envoy in envoys:
                # No name for the activation: it would live on until the next site fires.
                on_activation(site, site.fold(envoy.output if site.side == "output" else envoy.input))
                reached.append(site.name)
            tracer.stop()

    def forwards(self, clips: Sequence[Hearing], features: Features) -> Iterable[Forward]:
        """The clips of a group as they run; a part that reads writes its answers first, if those are what counts."""
        return super().forwards(clips, features) if self.reader is None else self.reader.forwards(clips, features)

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the model; of a part that reads also its prompt, and which tokens count."""
        return super().describe() | ({} if self.reader is None else self.reader.described())

    def shapes(self, sites: Sequence[Site], features: Features) -> dict[str, torch.Size]:
        """The shape of each site's activation, in the order in which the sites fire: plain hooks need no order."""
        features = to_device(features, self.device)
        shapes: dict[str, torch.Size] = {}

        def shape(site: Site, value: Tensor) -> None:
            shapes.setdefault(site.name, value.shape)

        note: OnActivation = shape
        if self.reader is not None:
            features, note = self.reader.watching(features, shape)
        with torch.no_grad(), site_hooks(self.wrapped, sites, note):
            self.plain_forward(features)
        return shapes
