"""What somebody has set for torch as a whole changes no value, and a config that asks for more is none of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, Dissection, dissect, hear, keep_exemplars
from and_nnsight.explain import explain
from and_nnsight.unlearn import UnitChoice, ablated_outcomes
from tests.families import FAMILIES
from tests.run.runs import made
from tests.sounds_for_tests import noise

CLIPS = [
    {"audio": {"array": noise(1.0, seed=seed), "sampling_rate": 16_000}, "label": f"LABEL_{seed}"} for seed in range(3)
]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta device": lambda: torch.device("meta"),
    "deterministic": deterministic,
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:torch.autocast .* is on:UserWarning"),
]


def values(dissection: Dissection) -> list[float]:
    return [
        exemplar.activation
        for site in dissection.sites
        for unit in range(dissection.widths()[site])
        for exemplar in (*dissection.unit(site, unit).top, *dissection.unit(site, unit).bottom)
    ]


def curve(dissection: Dissection, model: AudioModel) -> list[float]:
    unit = dissection.unit(dissection.sites[0], 0)
    keep_exemplars(dissection, [unit], model, CLIPS, progress=False)
    return dissection.unit(unit.site, 0).curve(unit.top[0].clip).activation.tolist()


def everything(model: AudioModel, out: Path) -> Any:
    """What a run, the units' sounds, an ablation and words for a unit give."""
    dissection = dissect(model, CLIPS, k=2, out=out, progress=False)
    choice = UnitChoice({dissection.sites[0]: [0, 1]})
    outcomes = ablated_outcomes(model, CLIPS, [choice], label_column="label", progress=False)
    logits = (outcomes.baseline.logit.tolist(), outcomes.ablated.logit.tolist())
    rows = explain(dissection, units=[0], data=CLIPS, progress=False)["summaries"]
    words = [(row.highly, row.failure) for row in rows]
    return values(dissection), dissection.manifest.dtype, curve(dissection, model), logits, words


def settings() -> tuple[Any, ...]:
    autocast = torch.is_autocast_enabled("cpu")
    return torch.get_default_dtype(), torch.get_default_device(), torch.is_inference_mode_enabled(), autocast


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return everything(made(), tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_a_run_is_the_same_in_all_surroundings(surroundings: Any, plain: Any, tmp_path: Path) -> None:
    model = made()
    with surroundings():
        before = settings()
        assert everything(model, tmp_path / "within") == plain
        assert settings() == before


def kept(model: AudioModel) -> list[float]:
    return hear(("blocks.0.mlp.hook_post", 2), (noise(1.0), 16_000), model=model, steps=2, masks=1).kept.tolist()


@pytest.fixture(scope="module")
def plain_map() -> list[float]:
    return kept(made("whisper-classify"))


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_a_map_is_the_same_in_all_surroundings(surroundings: Any, plain_map: list[float]) -> None:
    model = made("whisper-classify")
    with surroundings():
        assert kept(model) == plain_map


def test_a_model_that_ran_in_inference_mode_can_be_trained(tmp_path: Path) -> None:
    module: Any = FAMILIES["wav2vec2-conformer"].build()
    module.config.position_embeddings_type = "rotary"
    module = type(module)(module.config)
    model = AudioModel(module, feature_extractor=FAMILIES["wav2vec2-conformer"].extractor())
    with torch.inference_mode():
        dissect(model, CLIPS, k=1, out=tmp_path / "run", progress=False)
    module.train()(**model.features(noise(1.0)), labels=torch.tensor([0])).loss.backward()


def test_that_autocast_does_not_count_is_said(tmp_path: Path) -> None:
    message = r"torch.autocast \(bfloat16\) is on .* in the dtype of its weights"
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(UserWarning, match=message):
        dissect(made(), CLIPS, k=1, out=tmp_path / "run", progress=False)


def test_a_trace_is_the_users_own_forward() -> None:
    model = made()
    with torch.autocast("cpu", torch.bfloat16), model.trace(CLIPS[0]["audio"]):
        logits = model.output.logits.save()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        expected = model.wrapped(**made().features(CLIPS[0]["audio"])).logits
    assert logits.dtype == torch.bfloat16
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("name", ["ast", "whisper-classify", "wav2vec2-post", "hubert-pre", "clap-audio"])
def test_outputs_that_a_config_asks_for_are_left_out(name: str, tmp_path: Path) -> None:
    def run(asked: dict[str, Any], out: str) -> tuple[list[float], dict[str, Any]]:
        module: Any = FAMILIES[name].build()
        vars(module.config).update(asked)
        model = AudioModel(module, feature_extractor=FAMILIES[name].extractor())
        dissection = dissect(model, [clip["audio"] for clip in CLIPS], "all", k=1, out=tmp_path / out, progress=False)
        return values(dissection), {key: vars(module.config)[key] for key in asked}

    plain, _ = run({}, "plain")
    everything_asked = {"return_dict": False, "_output_attentions": True, "output_hidden_states": True}
    alone = [{key: value} for key, value in everything_asked.items()] if name == "ast" else []
    for count, asked in enumerate([*alone, everything_asked]):
        assert run(asked, f"run{count}") == (plain, asked)


def test_a_waveform_and_its_rate_are_one_clip_of_a_trace() -> None:
    model, wave = made(), noise(1.0)
    pair = (np.repeat(wave, 2), 32_000)
    for one in (pair, pair[::-1], list(pair), (torch.from_numpy(pair[0]), torch.tensor(32_000))):
        assert len(next(iter(model.features(one).values()))) == 1
        with torch.no_grad(), model.trace(one):
            logits = model.output.logits.save()
        assert len(logits) == 1
    both = model.features([pair, wave])["input_values"]
    assert torch.equal(both[0], model.features({"array": pair[0], "sampling_rate": 32_000})["input_values"][0])
    assert torch.equal(both[1], model.features(wave)["input_values"][0])
