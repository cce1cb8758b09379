"""Models as people hold them: compiled, spread, checkpointed, quantised. The values are the eager model's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from and_nnsight import AudioModel, Dissection, ModelError, dissect
from and_nnsight.model.bare import bare
from and_nnsight.sites.blocks import find_blocks
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.unlearn import UnitChoice, ablating
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

# What torch itself warns of when it compiles, traces and quantises.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::torch.jit.TracerWarning",
    "ignore:Dynamo detected:UserWarning",
    "ignore:torch.quantize_per_tensor:UserWarning",
    "ignore:no feature extractor was found:UserWarning",
)
CLIPS = [noise(1.0, seed=seed) for seed in range(3)]


def compiled(module: nn.Module) -> Any:
    return torch.compile(module, backend="eager")


def compiled_in_place(module: nn.Module) -> nn.Module:
    module.compile(backend="eager", fullgraph=True)
    return module


def compiled_forward(module: Any) -> nn.Module:
    module.forward = torch.compile(module.forward, backend="eager")
    return module


def compiled_and_run(module: nn.Module) -> Any:
    made = compiled(module)
    with torch.no_grad():
        made(torch.randn(1, 16_000))
    return made


def each_block(change: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    def changed(module: nn.Module) -> nn.Module:
        for blocks in [child for child in module.modules() if isinstance(child, nn.ModuleList)]:
            for index, block in enumerate(blocks):
                blocks[index] = change(block)
        return module

    return changed


def each_linear(module: nn.Module) -> nn.Module:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, compiled(child))
    return module


def checkpointing(module: Any) -> nn.Module:
    module.gradient_checkpointing_enable()
    return module.train()


WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torch.compile": compiled,
    "torch.compile, run before": compiled_and_run,
    "torch.compile of every block": each_block(compiled),
    "torch.compile of every linear layer": each_linear,
    "module.compile()": compiled_in_place,
    "module.compile() of every block": each_block(compiled_in_place),
    "a compiled forward": compiled_forward,
    "DataParallel": nn.DataParallel,
    "DataParallel of a compiled one": lambda module: nn.DataParallel(compiled(module)),
    "an average of weights": torch.optim.swa_utils.AveragedModel,
    "gradient checkpointing": checkpointing,
    "checkpointed blocks": each_block(checkpoint_wrapper),
}


def dissected(module: Any, out: Path, name: str = "wav2vec2-post") -> Dissection:
    given = (
        module if isinstance(module, AudioModel) else AudioModel(module, feature_extractor=FAMILIES[name].extractor())
    )
    return dissect(given, CLIPS, sites="all", k=2, out=out, progress=False)


def assert_same(found: Dissection, expected: Dissection) -> None:
    assert found.sites == expected.sites
    for site in expected.sites:
        assert torch.equal(found[site].top.values, expected[site].top.values), site
        assert torch.equal(found[site].mean, expected[site].mean), site


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return dissected(FAMILIES["wav2vec2-post"].build(), tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_what_is_found_is_what_the_eager_model_holds(way: str, plain: Dissection, tmp_path: Path) -> None:
    assert_same(dissected(WAYS[way](FAMILIES["wav2vec2-post"].build()), tmp_path / "run"), plain)


@pytest.mark.parametrize("name", ["ast", "wav2vec2-conformer", "whisper-classify", "sew-d", "clap-audio"])
def test_compiled_and_checkpointed_blocks_have_the_names_of_plain_ones(name: str) -> None:
    """A path goes through the wrapper (`layers.0._orig_mod.fc1`); names and order do not tell."""
    module = FAMILIES[name].build()
    expected = [site.name for site in AudioModel(module, feature_extractor=FAMILIES[name].extractor()).sites()]
    for change in (compiled, checkpoint_wrapper):
        wrapped = each_block(change)(FAMILIES[name].build())
        sites = AudioModel(wrapped, feature_extractor=FAMILIES[name].extractor()).sites()
        assert [site.name for site in sites] == expected


@pytest.mark.parametrize("way", ["torch.compile", "module.compile()", "a compiled forward"])
def test_a_trace_of_a_compiled_model(way: str) -> None:
    def logits(module: nn.Module) -> Tensor:
        model = AudioModel(module, feature_extractor=FAMILIES["wav2vec2-post"].extractor())
        with torch.no_grad(), model.trace(CLIPS[0]):
            model.site("blocks.0.mlp.hook_post")[..., 3] = 5.0
            out = model.output.logits.save()
        return out

    edited = logits(FAMILIES["wav2vec2-post"].build())
    assert torch.equal(logits(WAYS[way](FAMILIES["wav2vec2-post"].build())), edited)


@pytest.mark.slow
def test_hooks_act_on_a_model_that_was_compiled_and_run_before() -> None:
    module = FAMILIES["wav2vec2-post"].build()
    fast, sound = compiled(module), torch.randn(1, 16_000)
    with torch.no_grad():
        before = fast(sound).logits
        with ablating(fast, UnitChoice({"blocks.0.mlp.hook_post": [1, 2, 3]})):
            without = fast(sound).logits
        with ablating(module, UnitChoice({"blocks.0.mlp.hook_post": [1, 2, 3]})):
            expected = module(sound).logits
    assert torch.equal(without, expected)
    assert not torch.equal(without, before)


@pytest.mark.parametrize("name", ["wav2vec2-post", "ast"])
def test_a_dynamically_quantised_model(name: str, tmp_path: Path) -> None:
    def made() -> nn.Module:
        return torch.ao.quantization.quantize_dynamic(FAMILIES[name].build(), {nn.Linear})

    model = AudioModel(made(), feature_extractor=FAMILIES[name].extractor())
    plain = AudioModel(FAMILIES[name].build(), feature_extractor=FAMILIES[name].extractor())
    assert [site.name for site in model.sites()] == [site.name for site in plain.sites()]
    features = model.model_inputs(model.features(CLIPS[0]))
    seen: dict[str, Tensor] = {}
    eager: dict[str, Tensor] = {}
    model.run(model.sites(), features, lambda site, value: seen.update({site.name: value.clone()}))
    untouched = made()
    with (
        torch.no_grad(),
        site_hooks(untouched, model.sites(), lambda site, value: eager.update({site.name: value.clone()})),
    ):
        untouched(**features)
    assert all(torch.equal(seen[name], eager[name]) for name in eager)
    found = dissected(model, tmp_path / "run", name)
    assert found.manifest.model.weights != dissected(plain, tmp_path / "plain", name).manifest.model.weights


class Adapter(nn.Module):
    """PEFT's shape: a layer around a layer, with two small ones beside it."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.base_layer = layer
        self.lora_A = nn.ModuleDict({"default": nn.Linear(layer.in_features, layer.in_features, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(layer.in_features, layer.out_features, bias=False)})

    def forward(self, hidden: Tensor) -> Tensor:
        return self.base_layer(hidden) + self.lora_B["default"](self.lora_A["default"](hidden))


@pytest.mark.parametrize(
    "name", ["ast", "wav2vec2-post", "wav2vec2-conformer", "whisper-classify", "clap-audio", "sew-d"]
)
def test_a_linear_layer_with_an_adapter_is_one_linear_layer(name: str) -> None:
    module = FAMILIES[name].build()
    expected = find_blocks(module)
    for parent in list(module.modules()):
        for child_name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and not isinstance(parent, (Adapter, nn.ModuleDict)):
                setattr(parent, child_name, Adapter(child))
    assert find_blocks(module) == expected


def test_a_wrapper_of_ones_own_is_run_as_it_is(plain: Dissection, tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = FAMILIES["wav2vec2-post"].build()

        def forward(self, sound: Tensor) -> Any:
            return self.inner(sound).logits

    class Raw(Named):
        def forward(self, **options: Any) -> Any:
            return self.inner(**options).logits

    class Starred(Named):
        def forward(self, *args: Any, **options: Any) -> Any:
            return self.inner(*args, **options).logits

    for index, module in enumerate([nn.Sequential(FAMILIES["wav2vec2-post"].build()), Named(), Raw(), Starred()]):
        found = dissected(module, tmp_path / str(index))
        for site in plain.sites[:-1]:  # such a module has no head of its own
            assert torch.equal(found[site].top.values, plain[site].top.values)
            assert torch.equal(found[site].mean, plain[site].mean)


def test_layers_that_are_one_module_are_refused() -> None:
    module: Any = FAMILIES["wav2vec2-post"].build()
    layers = module.wav2vec2.encoder.layers
    module.wav2vec2.encoder.layers = nn.ModuleList([layers[0], layers[0]])
    with pytest.raises(ValueError, match=r"runs one block several times .*copy\.deepcopy\(layer\)"):
        AudioModel(module)


@pytest.mark.parametrize("part", ["feed_forward", "feed_forward.output_dense", "attention"])
def test_layers_that_share_a_module_are_refused(part: str) -> None:
    module: Any = FAMILIES["wav2vec2-post"].build()
    one, other = module.wav2vec2.encoder.layers
    other.set_submodule(part, one.get_submodule(part))
    with pytest.raises(ValueError, match=r"runs one module in several of its layers .*\.layers\.1\..*copy\.deepcopy\("):
        AudioModel(module)


def test_layers_may_share_what_is_no_site() -> None:
    module: Any = FAMILIES["wav2vec2-post"].build()
    one, other = module.wav2vec2.encoder.layers
    other.layer_norm = one.layer_norm
    assert [site.name for site in AudioModel(module).sites()] == [
        site.name for site in AudioModel(FAMILIES["wav2vec2-post"].build()).sites()
    ]


def test_torchscript_is_refused_with_what_to_give() -> None:
    traced = torch.jit.trace(FAMILIES["ast"].build(), torch.randn(1, 208, 64), strict=False)
    with pytest.raises(ModelError, match=r"give the module that was passed to torch\.jit\.trace"):
        AudioModel(traced)


@pytest.mark.parametrize("kind", ["FullyShardedDataParallel", "FSDPModule"])
def test_weights_that_are_cut_up_over_processes_are_refused(kind: str) -> None:
    # torch makes the class of such a module as it is sharded, of its own and this base.
    base = type(kind, (), {"__module__": "torch.distributed.fsdp"})
    module = FAMILIES["ast"].build()
    inner: Any = next(child for child in module.modules() if isinstance(child, nn.Linear))
    inner.__class__ = type("ShardedLinear", (base, nn.Linear), {})
    with pytest.raises(ModelError, match=rf"cut up over processes \({kind}\).*full_state_dict=True"):
        bare(module)


def test_a_module_without_weights_is_refused_before_it_runs(tmp_path: Path) -> None:
    module = FAMILIES["ast"].build().to("meta")
    with pytest.raises(ModelError, match="has no weights .*from_pretrained"):
        dissect(module, CLIPS, out=tmp_path / "run", progress=False)
    model = AudioModel(module)
    assert len(model.sites()) == 13
    with pytest.raises(ModelError, match="has no weights"):
        model.trace(CLIPS[0])


def test_what_holds_a_model_says_where_it_is(tmp_path: Path) -> None:
    class Trainer:
        model = FAMILIES["ast"].build()

    with pytest.raises(ValueError, match=r"Trainer is no model, but holds one: give its \.model"):
        dissect(Trainer(), CLIPS, out=tmp_path / "run", progress=False)


@pytest.mark.parametrize("where", ["cpu", "disk"])
def test_weights_that_accelerate_brings_when_they_are_needed(where: str, tmp_path: Path) -> None:
    """As with `device_map` on a machine whose GPU is too small: between calls, weights are on the meta device."""
    accelerate = pytest.importorskip("accelerate")
    plain = dissected(FAMILIES["ast"].build(), tmp_path / "plain", "ast")
    module = FAMILIES["ast"].build()
    if where == "cpu":
        module = accelerate.cpu_offload(module, torch.device("cpu"))
    else:
        accelerate.disk_offload(module, tmp_path / "weights", execution_device=torch.device("cpu"))
    assert next(module.parameters()).is_meta
    assert_same(dissected(module, tmp_path / "run", "ast"), plain)
    with torch.no_grad():
        module(torch.randn(1, 208, 64))
