"""Real Whisper weights through the bridge, against plain hooks on the untouched model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from and_nnsight import AudioModel, dissect
from and_nnsight.demo import make_sounds
from tests.brute_force import assert_equal_to_brute_force, pooled_clips
from tests.real_whisper import real_whisper

from and_nnsight_lens import to_transformer_lens

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_whisper(tmp_path_factory)


@pytest.mark.parametrize(("attention", "tolerance"), [("eager", 0.0), ("sdpa", 1e-5)])
def test_hooks_equal_plain_hooks(whisper: Path, attention: str, tolerance: float) -> None:
    model = AudioModel(str(whisper), dispatch=True, attn_implementation=attention)
    sound = next(iter(make_sounds(per_class=1))).waveform
    features = model.features(sound)["input_features"]
    bridge = to_transformer_lens(model)
    sites = model.sites()
    seen: dict[str, torch.Tensor] = {}

    def keep(tensor: torch.Tensor, hook: Any) -> None:
        seen[hook.name] = tensor

    with torch.inference_mode():
        bridge.run_with_hooks(features, fwd_hooks=[(site.name, keep) for site in sites], return_type=None)
        plain: dict[str, torch.Tensor] = {}
        from and_nnsight.sites.hooks import site_hooks

        with site_hooks(model.wrapped, sites, lambda site, value: plain.__setitem__(site.name, value)):
            model.plain_forward({"input_features": features})
    assert len(sites) == 24
    for site in sites:
        canonical = bridge.hook_dict[site.name].name
        scale = plain[site.name].abs().max()
        assert (seen[str(canonical)].flatten(2) - plain[site.name]).abs().max() <= tolerance * scale, site.name


def test_a_dissection_of_real_weights_equals_brute_force(whisper: Path, tmp_path: Path) -> None:
    model = AudioModel(str(whisper), dispatch=True)
    sounds = [sound.waveform for sound in make_sounds(per_class=1)][::8]
    dissection = dissect(to_transformer_lens(model), sounds, "paper", 3, out=tmp_path / "run", progress=False)
    sites = model.sites("paper")
    assert_equal_to_brute_force(dissection, sites, pooled_clips(model, sites, dict(enumerate(sounds))), tolerance=2e-5)
