"""A module that was dissected is the module that it was: trainable, in its modes, with its buffers and hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from and_nnsight import AudioModel, SiteError, dissect
from and_nnsight.model.restoring import preserving
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

pytestmark = pytest.mark.filterwarnings(
    "ignore:Support for mismatched key_padding_mask:UserWarning", "ignore:no feature extractor was found:UserWarning"
)
CLIPS = [noise(1.0), noise(1.3, seed=1)]


def state(module: nn.Module) -> dict[str, Any]:
    """All that a module is but its weights' values: by identity where values are objects."""
    return {
        name: (
            type(child),
            child.training,
            {key: id(value) for key, value in vars(child).items() if not isinstance(value, bool)},
            {key: list(value) for key, value in vars(child).items() if isinstance(value, dict)},
            {key: (id(buffer), buffer.tolist()) for key, buffer in child._buffers.items() if buffer is not None},
            [parameter.requires_grad for parameter in child.parameters(recurse=False)],
        )
        for name, child in module.named_modules()
    }


def inference_tensors(module: nn.Module) -> list[str]:
    return [
        f"{name}.{key}"
        for name, child in module.named_modules()
        for key, value in [*vars(child).items(), *child._buffers.items()]
        if isinstance(value, Tensor) and value.is_inference()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_trains_on_and_is_what_it_was(name: str, tmp_path: Path) -> None:
    module = FAMILIES[name].build().train()
    next(module.children()).eval()  # a part that somebody froze
    next(module.parameters()).requires_grad_(False)
    before = state(module)
    if name.startswith("clap"):  # a tiny one hears two seconds, which its config does not say
        module_or_model: Any = AudioModel(module, feature_extractor=FAMILIES[name].extractor())
        before = state(module)
    else:
        module_or_model = module
    dissect(module_or_model, CLIPS, k=1, out=tmp_path / "run", progress=False)
    assert state(module) == before
    assert not inference_tensors(module)


def test_positions_that_are_kept_from_a_run_can_be_trained_with(tmp_path: Path) -> None:
    for kind in ("rotary", "relative"):
        module: Any = FAMILIES["wav2vec2-conformer"].build()
        config = module.config
        config.position_embeddings_type = kind
        module = type(module)(config).train()
        model = AudioModel(module, feature_extractor=FAMILIES["wav2vec2-conformer"].extractor())
        dissect(model, CLIPS, k=1, out=tmp_path / kind, progress=False)
        with torch.no_grad(), model.trace(CLIPS[1]):
            model.output.logits.save()
        assert module.training, "a trace leaves the mode too"
        module(**model.features(CLIPS[0]), labels=torch.tensor([0])).loss.backward()


class Remembers(nn.Module):
    """A layer with all the memories that layers have."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last", None)
        self.register_buffer("window", torch.ones(3), persistent=False)
        self.longest, self.cache = 0, {}

    def forward(self, hidden: Tensor) -> Tensor:
        self.calls += 1
        self.last = hidden.mean()
        self.window = torch.cat([self.window, torch.ones(1)])
        self.register_buffer("new", torch.zeros(1))
        self.longest = max(self.longest, hidden.shape[1])
        self.cache[hidden.shape[1]] = hidden
        return hidden


@pytest.mark.parametrize("fails", [False, True])
def test_memories_of_a_run_are_forgotten_also_after_an_error(fails: bool, tmp_path: Path) -> None:
    module: Any = FAMILIES["ast"].build()
    module.classifier = nn.Sequential(Remembers(), module.classifier)
    seen: list[int] = []
    module.classifier.register_forward_hook(lambda *_: seen.append(1))
    before = state(module)
    sites = ["module:classifier.0", "module:nowhere"] if fails else ["module:classifier.0"]
    try:
        dissect(module, CLIPS, sites, k=1, out=tmp_path / "run", progress=False)
        assert not fails
    except SiteError:
        assert fails
    assert state(module) == before
    assert bool(seen) != fails


def test_an_error_in_the_middle_of_a_run(tmp_path: Path) -> None:
    module: Any = FAMILIES["ast"].build().train()

    def breaks(*_: Any) -> None:
        raise RuntimeError("out of memory")

    module.classifier.register_forward_pre_hook(breaks)
    before = state(module)
    with pytest.raises(RuntimeError, match="out of memory"):
        dissect(module, CLIPS, "unembed.hook_out", k=1, out=tmp_path / "run", progress=False)
    assert state(module) == before


def test_a_conversion_that_was_asked_for_stays(tmp_path: Path) -> None:
    module: Any = FAMILIES["ast"].build()
    module.register_buffer("scale", torch.ones(2))
    dissect(module, CLIPS, k=1, out=tmp_path / "run", progress=False, dtype="bfloat16")
    assert {tensor.dtype for tensor in (*module.parameters(), module.scale)} == {torch.bfloat16}


def test_an_audio_model_stays_one(tmp_path: Path) -> None:
    module = FAMILIES["ast"].build()
    model = AudioModel(module, feature_extractor=FAMILIES["ast"].extractor())
    dissect(model, CLIPS, k=1, out=tmp_path / "run", progress=False)
    with torch.no_grad(), model.trace(CLIPS[0]):
        post = model.site("blocks.0.mlp.hook_post").save()
    assert post.shape[0] == 1


def test_a_lazy_layer_that_became_a_layer_stays_one() -> None:
    module = nn.Sequential(nn.LazyLinear(3))
    with preserving(module):
        module(torch.zeros(1, 2))
    assert type(module[0]) is nn.Linear
    assert module(torch.zeros(1, 2)).shape == (1, 3)
