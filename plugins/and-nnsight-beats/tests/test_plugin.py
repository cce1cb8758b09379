"""The plugin is found by its name, takes in what is a BEATs, and leaves everything else alone."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from and_nnsight import AudioModel
from beats_for_tests import library, noise
from torch import nn

from and_nnsight_beats import load
from and_nnsight_beats.plugin import Beats


def test_it_is_an_entry_point() -> None:
    (entry,) = entry_points(group="and_nnsight.models", name="beats")
    assert entry.load() is Beats
    assert entry.dist is not None and entry.dist.name == "and-nnsight-beats"


def test_it_opens_on_a_device_and_in_a_dtype(finetuned: Path) -> None:
    model = Beats().open(str(finetuned), device="cpu", dtype=torch.float16)
    assert isinstance(model, AudioModel)
    assert {parameter.dtype for parameter in model.wrapped.parameters()} == {torch.float16}
    assert model.repo_id == f"beats:{finetuned}"


@pytest.mark.parametrize("value", [nn.Linear(2, 2), "beats", 3, None, object(), BaseException])
def test_it_leaves_other_objects_alone(value: object) -> None:
    assert Beats().adapt(value) is None


def test_it_takes_in_our_module(finetuned: Path) -> None:
    module = load(finetuned)
    model = Beats().adapt(module)
    assert model is not None and model.wrapped is module


@pytest.mark.parametrize("checkpoint", ["frozen", "finetuned"], indirect=True)
def test_it_takes_in_speechbrains_module_and_shares_its_parameters(checkpoint: Path) -> None:
    theirs, wave = library(checkpoint), noise(1.0)
    model = Beats().adapt(theirs)
    assert model is not None
    for _ in range(2):
        with torch.no_grad():
            expected = theirs.extract_features(torch.from_numpy(wave[None]), torch.ones(1))[0]
            with model.trace(wave):
                hidden = model.output.last_hidden_state.save()
        assert torch.equal(hidden, expected)
        with torch.no_grad():
            theirs.encoder.layers[1].fc1.weight[3] = 0  # and both have changed
    assert not any(parameter.grad_fn for parameter in model.wrapped.parameters())


def run(code: str) -> str:
    quiet = (
        "import warnings; warnings.filterwarnings('ignore', '.*weight_norm', FutureWarning)\n"  # torch before 2.14.1
    )
    strict = [sys.executable, "-W", "error", "-c", quiet + code]
    done = subprocess.run(strict, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_plugin_imports_nothing_until_it_opens() -> None:
    assert (
        run(
            "import sys\n"
            "from and_nnsight_beats.plugin import Beats\n"
            "Beats().adapt(object())\n"
            "print([name for name in ('torch', 'speechbrain', 'transformers', 'nnsight') if name in sys.modules])"
        )
        == "[]"
    )


def test_torchs_settings_stay_as_they_are(finetuned: Path) -> None:
    """Importing SpeechBrain turns TF32 on for the whole process; opening a BEATs does not."""
    settings = "print(torch.backends.cuda.matmul.allow_tf32, os.environ.get('SB_DISABLE_QUIRKS'))\n"
    opening = f"from and_nnsight_beats import load\nload({str(finetuned)!r})\n"
    assert run(f"import os, torch\n{opening}{settings}") == "False None"
    assert run(f"import os, torch\nimport speechbrain\n{settings}{opening}{settings}") == "True None\nTrue None"
