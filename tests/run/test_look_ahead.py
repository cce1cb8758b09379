"""Clips that may run together are looked for ahead in the stream, and the results are those of the stream in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, Dissection, dissect
from and_nnsight.data import Batch, Clip, Quarantined
from and_nnsight.model.features import Featuriser, Group
from and_nnsight.run import look_ahead
from and_nnsight.run.look_ahead import LookAhead
from tests.families import FAMILIES
from tests.sounds_for_tests import RATE, noise

WITHOUT_WINDOW = ["wav2vec2-bert", "wavlm-post"]
MORE_OF_THEM = ["hubert-post", "hubert-pre", "wav2vec2-post", "wav2vec2-pre", "wav2vec2-ctc", "wavlm-pre", "sew"]


def samples_of(index: int) -> int:
    """Few lengths, some of them a little apart: of these some make as many frames."""
    return (4_000, 4_001, 4_100, 8_000, 4_000, 8_250, 4_319, 8_001)[index % 8]


def clips(count: int = 20) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for index in range(count):
        wave = noise(1.0, seed=index)[: samples_of(index)]
        wave = wave[:50] if index % 7 == 5 else wave  # too short for every model here
        made.append({"audio": wave, "sampling_rate": RATE})
    return made


def model_of(name: str) -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def ahead(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(look_ahead, "CLIPS", {"cpu": most})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_same_but_for_rounding(one: Dissection, other: Dissection) -> None:
    """How many clips run together shows in the last digits, as it does with another batch_size."""
    assert one.clips == other.clips and one.quarantine == other.quarantine
    for site in one.sites:
        for side in ("top", "bottom"):
            here, there = getattr(one[site], side), getattr(other[site], side)
            assert torch.allclose(here.values, there.values, rtol=0, atol=1e-5)
            assert torch.equal(here.clips, there.clips) and torch.equal(here.frames, there.frames)
        assert torch.allclose(one[site].mean, other[site].mean, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")  # WavLM with a mask
@pytest.mark.parametrize(
    "name", [*WITHOUT_WINDOW, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_OF_THEM)]
)
def test_the_results_are_those_of_the_stream_in_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(name)
    sizes: list[int] = []
    run = AudioModel.run

    def counted(self: AudioModel, sites: Any, features: dict[str, torch.Tensor], on_activation: Any) -> None:
        sizes.append(len(next(iter(features.values()))))
        run(self, sites, features, on_activation)

    monkeypatch.setattr(AudioModel, "run", counted)
    in_order = dissect(model, clips(), k=3, batch_size=3, out=tmp_path / "in order", progress=False)
    forwards, sizes[:] = len(sizes), []
    for most in (4, 9, 100):
        ahead(monkeypatch, most)
        found = dissect(model, clips(), k=3, batch_size=3, out=tmp_path / str(most), progress=False)
        assert_same_but_for_rounding(found, in_order)
        assert max(sizes) <= 3
        further, sizes[:] = len(sizes), []
    assert further < forwards


@pytest.mark.parametrize(
    "name", ["wav2vec2-bert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hubert-post", "wav2vec2-pre"))]
)
def test_every_value_is_the_same_to_the_bit_where_each_clip_runs_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that clips are given what is theirs, whatever the arithmetic of several makes of the last digits."""
    model = model_of(name)
    dissect(model, clips(), k=3, batch_size=1, out=tmp_path / "in order", progress=False, keep_activations=True)
    for most in (4, 100):
        ahead(monkeypatch, most)
        out = tmp_path / str(most)
        dissect(model, clips(), k=3, batch_size=1, out=out, progress=False, keep_activations=True)
        assert files(out) == files(tmp_path / "in order")


def test_shards_begin_where_stretches_do_and_join_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead(monkeypatch, 6)
    model = model_of("wav2vec2-pre")
    dissect(model, clips(), k=3, batch_size=3, out=tmp_path / "whole", progress=False)
    for shard in ("1/2", "0/2"):
        dissect(model, clips(), k=3, batch_size=3, out=tmp_path / "shards", progress=False, shard=shard)
    whole, joined = files(tmp_path / "whole"), files(tmp_path / "shards")
    assert {name: joined.get(name) for name in whole} == whole


def test_clips_whose_features_have_one_shape_run_together_and_waveforms_only_of_one_length() -> None:
    for name, together in (("wav2vec2-pre", False), ("wav2vec2-post", False), ("wav2vec2-bert", True)):
        featuriser = model_of(name).featuriser
        waves = [noise(1.0, seed=seed)[:samples] for seed, samples in enumerate((4_000, 4_001))]
        batch = Batch(0, 2, (clip(0), clip(1)), featuriser.groups(waves), ())
        (stretch,) = LookAhead(featuriser, 8, 8).stretches([batch])
        assert stretch.inputs is not None and len(stretch.inputs) == 2 - together


def clip(number: int) -> Clip:
    return Clip(number, None, None, None, 1.0, RATE, f"{number:016x}")


def featuriser() -> Featuriser:
    return model_of("wav2vec2-post").featuriser


def batch_of(position: int, lengths: list[int]) -> Batch[tuple[Group, ...]]:
    """Clips of these lengths; -1: one that was set aside."""
    healthy = [(position + at, length) for at, length in enumerate(lengths) if length >= 0]
    aside = [Quarantined(position + at, None, "broken") for at, length in enumerate(lengths) if length < 0]
    groups = tuple(
        Group((row,), {"input_values": torch.full((1, length), float(number))}, (np.zeros(number),))
        for row, (number, length) in enumerate(healthy)
    )
    return Batch(position, len(lengths), tuple(clip(number) for number, _ in healthy), groups or None, tuple(aside))


BATCHES = [[5, 6], [6, -1], [-1, -1], [5, 5], [6, 5], [7]]


def streamed() -> Iterator[Batch[tuple[Group, ...]]]:
    position = 0
    for lengths in BATCHES:
        yield batch_of(position, lengths)
        position += len(lengths)


@pytest.mark.parametrize(("most", "sizes"), [(2, [2, 2, 2, 2, 2, 1]), (4, [4, 4, 3]), (6, [6, 5]), (100, [11])])
def test_a_stretch_is_whole_batches_and_no_longer_than_it_may_be(most: int, sizes: list[int]) -> None:
    stretches = list(LookAhead(featuriser(), 2, most).stretches(streamed()))
    assert [stretch.size for stretch in stretches] == sizes
    assert [stretch.position for stretch in stretches] == [sum(sizes[:at]) for at in range(len(sizes))]
    assert [one.id for stretch in stretches for one in stretch.clips] == [0, 1, 2, 6, 7, 8, 9, 10]
    assert [one.clip for stretch in stretches for one in stretch.quarantined] == [3, 4, 5]
    for stretch in stretches:
        rows = [row for group in stretch.inputs or () for row in group.rows]
        assert sorted(rows) == list(range(len(stretch.clips)))
        for group in stretch.inputs or ():
            assert isinstance(group.content, dict) and 1 <= len(group.rows) <= 2
            ids = [stretch.clips[row].id for row in group.rows]
            assert group.content["input_values"][:, 0].tolist() == ids
            assert [len(waveform) for waveform in group.waveforms] == ids


def test_a_stretch_takes_no_more_memory_than_it_may() -> None:
    bounds = LookAhead(featuriser(), 2, 100, bytes=4 * 12)
    assert [stretch.size for stretch in bounds.stretches(streamed())] == [2, 4, 2, 2, 1]


@pytest.mark.parametrize("stop", [0, 3, 5])
def test_a_run_that_was_stopped_goes_on_to_the_same_files(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead(monkeypatch, 6)
    model, run, ran = model_of("wav2vec2-pre"), AudioModel.run, [0]
    dissect(model, clips(), k=3, batch_size=2, out=tmp_path / "at once", progress=False, keep_activations=True)

    def stopping(*arguments: Any) -> None:
        ran[0] += 1
        if ran[0] > stop:
            raise KeyboardInterrupt
        run(*arguments)

    def again(stopped: Callable[..., Any] | None) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if stopped is not None:
                patch.setattr(AudioModel, "run", stopped)
            dissect(model, clips(), k=3, batch_size=2, out=tmp_path / "again", progress=False, keep_activations=True)

    with pytest.raises(KeyboardInterrupt):
        again(stopping)
    again(None)
    assert files(tmp_path / "again") == files(tmp_path / "at once")


@pytest.mark.slow
def test_workers_and_sounds_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("wav2vec2-pre")
    ahead(monkeypatch, 12)
    dissect(model, clips(), k=3, batch_size=3, out=tmp_path / "in order", progress=False, keep_exemplars=1)
    dissect(model, clips(), k=3, batch_size=3, out=tmp_path / "ahead", progress=False, keep_exemplars=1, num_workers=1)
    assert files(tmp_path / "ahead") == files(tmp_path / "in order")


def test_models_with_a_window_need_no_look_ahead() -> None:
    assert LookAhead.of(model_of("ast").featuriser, torch.device("cuda"), 8) is None
    assert LookAhead.of(featuriser(), torch.device("cuda"), 8) is not None
    assert LookAhead.of(featuriser(), torch.device("cpu"), 8) is None
