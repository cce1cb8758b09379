"""Models that are no AudioModel: opened by a plugin's name, taken in by its `adapt`, run by their own `run`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import and_nnsight
from and_nnsight import AudioModel, SiteError, dissect, plugins
from and_nnsight.model.adapter import ModelAdapter, OnActivation
from and_nnsight.model.features import Features, Featuriser
from and_nnsight.plugins import PluginError
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.sites.site import Site
from tests.families import FAMILIES
from tests.sounds_for_tests import ragged


class Hooked(ModelAdapter):
    """A tiny AST that is heard through plain hooks."""

    name = "a tiny one"

    def __init__(self, deaf: bool = False) -> None:
        family = FAMILIES["ast"]
        self.model = AudioModel(family.build(), feature_extractor=family.extractor())
        self.deaf = deaf

    @property
    def wrapped(self) -> nn.Module:
        return self.model.wrapped

    @property
    def featuriser(self) -> Featuriser:
        return self.model.featuriser

    def sites(self, *patterns: str) -> tuple[Site, ...]:
        return self.model.sites(*patterns)

    def run(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        with torch.inference_mode(), site_hooks(self.wrapped, sites, on_activation):
            if not self.deaf:
                dtype = next(self.wrapped.parameters()).dtype
                self.wrapped(**{name: value.to(dtype) for name, value in features.items()})


class Box:
    """An object of another library that holds a model."""


class Plugin:
    """Opens and takes in boxes."""

    def open(self, argument: str, *, device: Any, dtype: Any) -> ModelAdapter:
        if argument != "a tiny one":
            raise ValueError(f"there is no model {argument!r}")
        made = Hooked()
        made.wrapped.to(device=device, dtype=dtype)
        return made

    def adapt(self, value: Any) -> ModelAdapter | None:
        return Hooked() if isinstance(value, Box) else None


class Broken:
    """Cannot be made."""

    def __init__(self, needed: str) -> None:
        raise AssertionError


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    entries = [
        EntryPoint(name, f"{__name__}:{kind}", "and_nnsight.models")
        for name, kind in (("box", "Plugin"), ("no", "Broken"))
    ]
    for made in entries:
        vars(made)["dist"] = SimpleNamespace(name="boxes")
    monkeypatch.setattr(plugins, "_scan", lambda: tuple(entries))
    yield entries


@pytest.mark.slow
def test_a_model_by_a_plugin_s_name_an_object_and_an_adapter_give_what_an_audio_model_gives(
    tmp_path: Path,
) -> None:
    family = FAMILIES["ast"]
    plain = AudioModel(family.build(), feature_extractor=family.extractor())
    expected = dissect(plain, ragged(5), "all", 2, out=tmp_path / "plain", progress=False)
    for name, model in (("name", "box:a tiny one"), ("object", Box()), ("itself", Hooked())):
        found = dissect(model, ragged(5), "all", 2, out=tmp_path / name, progress=False)
        assert found.manifest.model.id == "a tiny one"
        assert found.manifest.model.weights == expected.manifest.model.weights
        for site in expected.sites:
            assert torch.equal(found[site].top.clips, expected[site].top.clips)
            assert torch.equal(found[site].top.values, expected[site].top.values)


def test_modules_by_path_get_their_width_from_a_run(tmp_path: Path) -> None:
    found = dissect(
        Hooked(), ragged(3), "module:audio_spectrogram_transformer.layers.0", 2, out=tmp_path / "run", progress=False
    )
    assert list(found.widths().values()) == [32]


def test_device_and_dtype_reach_the_model(tmp_path: Path) -> None:
    for name, model in (("name", "box:a tiny one"), ("object", Box())):
        found = dissect(model, ragged(2), k=1, out=tmp_path / name, progress=False, dtype="float64", device="cpu")
        assert found.manifest.dtype == "float64"


def test_a_model_that_does_not_fire_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="2 of 2 sites did not fire"):
        dissect(Hooked(deaf=True), ragged(2), k=1, out=tmp_path / "run", progress=False)


def test_what_nobody_knows_is_refused_with_what_is_installed(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"dict is no model: .*installed: box; broken: model 'no' needs more: no:NEEDED"
    ):
        dissect({}, ragged(2), out=tmp_path / "run", progress=False)
    with pytest.raises(PluginError, match=r"unknown model 'boks'.*installed are box, no.*and_nnsight\.models"):
        dissect("boks:a tiny one", ragged(2), out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="there is no model 'another'"):
        dissect("box:another", ragged(2), out=tmp_path / "run", progress=False)


def test_a_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "box:1"
    family = FAMILIES["ast"]
    family.build().save_pretrained(folder)
    family.extractor().save_pretrained(folder)
    found = dissect(str(folder), ragged(2), k=1, out=tmp_path / "run", progress=False)
    assert found.manifest.model.id == str(folder)


def test_nobody_outside_the_room_of_models_asks_what_kind_a_model_is() -> None:
    assert issubclass(AudioModel, ModelAdapter)
    package = Path(str(and_nnsight.__file__)).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "model":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
                kinds = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
                assert not kinds & {"AudioModel", "ModelAdapter"}, f"{path}:{node.lineno}"
