"""What a forward made is let go when it is over, and each activation when the next is due: no collector is waited for."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from and_nnsight import AudioModel
from and_nnsight.model.features import probe_features
from and_nnsight.sites.site import Site
from tests.families import FAMILIES


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def opened(name: str) -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("name", ["ast", "whisper-encoder", "wav2vec2-post"])
def test_a_run_leaves_no_activation_to_the_collector_of_cycles(name: str) -> None:
    model = opened(name)
    made: list[weakref.ref[Tensor]] = []
    alive_at: list[int] = []

    def note(site: Site, value: Tensor) -> None:
        alive_at.append(sum(reference() is not None for reference in made))
        made.append(weakref.ref(value))

    sites = model.sites("*.mlp.hook_post")
    model.run(sites, probe_features(model.featuriser), note)
    assert len(made) == len(sites) >= 2
    assert alive_at == [0] * len(sites), "an earlier site's was still held when the next one came"
    assert not any(reference() is not None for reference in made)


@pytest.mark.usefixtures("no_collector")
def test_a_trace_that_stops_leaves_nothing_either() -> None:
    model = opened("ast")
    held: list[weakref.ref[Tensor]] = []
    handle = model.wrapped.audio_spectrogram_transformer.layers[0].register_forward_hook(
        lambda module, inputs, output: held.append(weakref.ref(output if isinstance(output, Tensor) else output[0]))
    )
    with torch.no_grad(), model.trace(probe_features(model.featuriser)) as tracer:
        post = model.site("blocks.1.mlp.hook_post").sum().save()
        tracer.stop()
    handle.remove()
    assert post.isfinite()
    assert [reference() for reference in held] == [None]
