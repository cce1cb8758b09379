"""`dissect` on BEATs keeps the clips that a loop over SpeechBrain's own model, clip by clip, would keep."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from and_nnsight import dissect
from beats_for_tests import RATE, library, noise

from and_nnsight_beats.plugin import Beats

LENGTHS = [0.5, 1.1, 0.5, 1.9, 0.2, 1.1, 0.8, 0.3, 1.9, 1.5, 0.5, 0.7]
WAVES = [noise(seconds, seed=index) for index, seconds in enumerate(LENGTHS)]


def clips() -> list[dict[str, Any]]:
    return [{"audio": wave, "sampling_rate": RATE, "label": "noise", "caption": "Noise."} for wave in WAVES]


def by_hand(path: Path) -> dict[str, list[np.ndarray]]:
    """Every clip alone through SpeechBrain's model, under plain hooks: [patch, unit] a clip."""
    theirs: Any = library(path)
    found: dict[str, list[np.ndarray]] = {}
    wanted = {}
    for layer, block in enumerate(theirs.encoder.layers):
        wanted |= {f"blocks.{layer}.mlp.hook_pre": block.fc1, f"blocks.{layer}.hook_mlp_out": block.fc2}
    for name, module in {**wanted, "unembed.hook_out": theirs.predictor}.items():

        def keep(module: Any, inputs: Any, output: torch.Tensor, name: str = name) -> None:
            # The blocks stand time-first, the head does not; its logits are the mean over the clip.
            values = output[0].mean(0, keepdim=True) if name.startswith("unembed") else output[:, 0]
            found.setdefault(name, []).append(values.detach().numpy().copy())

        module.register_forward_hook(keep)
    for wave in WAVES:
        with torch.no_grad():
            theirs.extract_features(torch.from_numpy(wave[None]), torch.ones(1))
    return found


@pytest.mark.parametrize("batch_size", [1, 5])
def test_ids_values_and_frames_are_those_of_a_loop_by_hand(finetuned: Path, tmp_path: Path, batch_size: int) -> None:
    dissection = dissect(
        f"beats:{finetuned}", clips(), "paper", 4, batch_size=batch_size, out=tmp_path / "out", device="cpu", progress=False
    )  # fmt: skip
    expected = by_hand(finetuned)
    assert list(dissection.sites) == list(expected)
    for name, clipwise in expected.items():
        values = np.stack([patches.max(0) for patches in clipwise])
        frames = np.stack([patches.argmax(0) for patches in clipwise])
        for ranked, sign in ((dissection[name].top, -1), (dissection[name].bottom, 1)):
            order = np.argsort(sign * values, axis=0, kind="stable")[:4]
            assert np.array_equal(ranked.clips.numpy(), order), name
            np.testing.assert_allclose(
                ranked.values.numpy(), np.take_along_axis(values, order, 0), rtol=1e-5, atol=1e-6
            )
            assert np.array_equal(ranked.frames.numpy(), np.take_along_axis(frames, order, 0)), name
        np.testing.assert_allclose(dissection[name].mean.numpy(), values.mean(0), rtol=1e-4, atol=1e-6)


def test_the_manifest_names_the_model_and_its_frames(finetuned: Path, tmp_path: Path) -> None:
    dissection = dissect(
        f"beats:{finetuned}", clips()[:4], "paper", 2, out=tmp_path / "out", device="cpu", progress=False
    )
    assert dissection.manifest.model.id == f"beats:{finetuned}"
    assert dissection.manifest.model.class_name == "BEATs"
    unit = dissection.unit("blocks.1.mlp.hook_pre", 3)
    for exemplar in unit.top:
        assert 0 <= exemplar.start < exemplar.end <= LENGTHS[exemplar.clip] + 1e-9


def test_a_clip_too_short_for_a_patch_is_set_aside(finetuned: Path, tmp_path: Path) -> None:
    sounds = [*clips()[:3], {"audio": noise(0.17), "sampling_rate": RATE}]
    dissection = dissect(f"beats:{finetuned}", sounds, "default", 2, out=tmp_path / "out", device="cpu", progress=False)
    assert dissection.manifest.clips == 3
    assert dissection.manifest.quarantined == 1
    assert "2800" in (tmp_path / "out" / "quarantine.jsonl").read_text()


def test_an_object_is_dissected_as_its_checkpoint_is(finetuned: Path, tmp_path: Path) -> None:
    options = {"sites": "all", "k": 3, "progress": False}
    by_name = dissect(f"beats:{finetuned}", clips(), out=tmp_path / "name", device="cpu", **options)
    by_model = dissect(Beats().open(str(finetuned), device="cpu"), clips(), out=tmp_path / "model", **options)
    by_object = dissect(library(finetuned), clips(), out=tmp_path / "object", **options)
    for other in (by_model, by_object):
        for name in by_name.sites:
            assert torch.equal(by_name[name].top.clips, other[name].top.clips)
            assert torch.equal(by_name[name].top.values, other[name].top.values)


def test_worker_processes_make_the_same_features(finetuned: Path, tmp_path: Path) -> None:
    options = {"sites": "paper", "k": 3, "progress": False, "device": "cpu"}
    alone = dissect(f"beats:{finetuned}", clips(), out=tmp_path / "a", **options)
    helped = dissect(f"beats:{finetuned}", clips(), out=tmp_path / "b", num_workers=1, **options)
    for name in alone.sites:
        assert torch.equal(alone[name].top.values, helped[name].top.values)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    from and_nnsight.cli import main

    monkeypatch.setattr("sys.argv", ["and-nnsight", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_line_dissects(
    finetuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    with (sounds / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "label"])
        for index, wave in enumerate(WAVES[:5]):
            soundfile.write(sounds / f"{index}.wav", wave, RATE)
            rows.writerow([f"{index}.wav", "noise"])
    options = ["--out", tmp_path / "run", "--device", "cpu", "--quiet"]
    assert command(monkeypatch, "dissect", f"beats:{finetuned}", sounds, *options) == 0
    assert "5 clips through 192 units of 3 sites" in capsys.readouterr().out


def test_the_command_line_lists_sites(
    finetuned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "sites", f"beats:{finetuned}", "--sites", "paper") == 0
    assert "7 sites, 293 units" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "beats.pt").write_bytes(b"no checkpoint")
    soundfile.write(tmp_path / "sound.wav", WAVES[0], RATE)
    options = ["--out", tmp_path / "run", "--device", "cpu"]
    assert command(monkeypatch, "dissect", f"beats:{tmp_path / 'beats.pt'}", tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "beats.pt: it is not a file that torch.save wrote" in error
