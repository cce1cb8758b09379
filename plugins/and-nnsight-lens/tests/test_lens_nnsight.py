"""Both ecosystems at once: nnsight around a bridge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bridges import SUPPORTED, audio_model, bridged, heard
from nnsight import NNsight

pytestmark = pytest.mark.filterwarnings(
    "ignore:Support for mismatched key_padding_mask:UserWarning", "ignore:Module .* has a submodule named:UserWarning"
)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_trace_reaches_every_site(name: str) -> None:
    bridge = bridged(name)
    sites = [site.name for site in audio_model(name).sites() if site.name.startswith("blocks.1.")]
    sound, rest = heard(name)
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(sound, **rest)
        model: Any = NNsight(bridge)
        found = {}
        for site in sites:
            with model.trace(sound, **rest):
                here = model
                for part in site.split("."):
                    here = here[int(part)] if part.isdigit() else getattr(here, part)
                value = here.output.save()
            found[site] = value
    for site in sites:  # what TransformerLens gives as heads is side by side in the module
        assert torch.equal(found[site].reshape(cache[site].shape), cache[site]), site


def test_an_edit_in_a_trace_equals_the_same_edit_through_a_hook() -> None:
    bridge = bridged("ast")
    sound, _ = heard("ast")

    def silence(post: torch.Tensor, hook: Any) -> torch.Tensor:
        post[..., 3] = 0
        return post

    with torch.inference_mode():
        expected = bridge.run_with_hooks(sound, fwd_hooks=[("blocks.0.mlp.hook_post", silence)])
        model: Any = NNsight(bridge)
        with model.trace(sound):
            model.blocks[0].mlp.hook_post.output[..., 3] = 0
            logits = model.output.save()
    assert torch.equal(logits, expected)
