"""A part that hears gives, by itself, what it gives in the whole model, of every kind of composite that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from and_nnsight import AudioModel
from and_nnsight.sites.site import Site
from tests.composites import COMPOSITES, Composite, saved


def _features(composite: Composite) -> dict[str, Tensor]:
    """Model inputs of a clip of a second and a half, with a mask where the extractor can make one."""
    extractor = composite.extractor()
    rate = extractor.sampling_rate
    clip = (np.random.default_rng(0).normal(0, 0.1, rate * 3 // 2)).astype(np.float32)
    kind = type(extractor).__name__
    if kind == "GraniteSpeechFeatureExtractor":
        return dict(extractor(torch.from_numpy(clip)))
    options: dict[str, Any] = {"return_attention_mask": True} if kind == "WhisperFeatureExtractor" else {}
    return dict(extractor([clip], sampling_rate=rate, return_tensors="pt", **options))


def _in_the_whole(whole: Any, composite: Composite, path: str, sites: tuple[Site, ...]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    for site in sites:
        module = whole.get_submodule(f"{path}.{site.path}")
        module.register_forward_hook(lambda _, args, out, site=site: seen.setdefault(site.name, site.fold(out)))
    with torch.no_grad():
        composite.run(whole, _features(composite))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPOSITES)
def test_a_part_gives_by_itself_what_it_gives_in_the_whole(name: str, tmp_path: Path) -> None:
    composite = COMPOSITES[name]
    whole = composite.make()
    folder = saved(whole, composite.extractor(), tmp_path)
    model = AudioModel(folder)
    assert model.part is not None and model.part.name == composite.part and model.part.hears
    assert [part.name for part in model.parts() if part.hears] == [composite.part]
    sites = model.sites(*(f"module:{module}" for module in composite.modules))
    values: dict[str, Tensor] = {}
    model.dispatch()
    model.run(sites, _features(composite), lambda site, value: values.update({site.name: value}))
    expected = _in_the_whole(whole, composite, model.part.path, sites)
    assert len(expected) == len(sites) == len(values)
    for site, value in expected.items():
        assert torch.equal(values[site], value), site
    tower = whole.get_submodule(model.part.path).state_dict()
    there = model.wrapped.state_dict()
    assert there.keys() == tower.keys() and all(torch.equal(there[each], tower[each]) for each in tower)
    own = AudioModel(whole, feature_extractor=composite.extractor())
    assert own.part == model.part and own.sites() == model.sites() and own.parts() == model.parts()
