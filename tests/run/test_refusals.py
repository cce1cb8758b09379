"""dissect is clear about what it refuses, and of a clip, a model or a folder that is odd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from and_nnsight import Dissection, DissectionError, SiteError
from tests.brute_force import assert_equal_to_brute_force, pooled_clips
from tests.damaged import write_damaged_folder
from tests.run.runs import StopsAfter, files, made, quick
from tests.sounds_for_tests import RATE, noise, ragged, wav_bytes

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def test_pool_cls_needs_a_special_token(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="pool='cls' needs a special token"):
        quick(made("whisper-encoder"), ragged(2), tmp_path / "run", pool="cls")
    assert not (tmp_path / "run").exists()


def test_a_module_that_never_runs_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="did not fire: module:wavlm.encoder.layers.0.attention.out_proj"):
        quick(made("wavlm-post"), ragged(2), tmp_path / "run", sites="module:wavlm.encoder.layers.0.attention.out_proj")
    assert not (tmp_path / "run").exists()


def test_tokens_in_windows_have_no_first_or_last(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="pool='last': the tokens of 'blocks.0.hook_attn_out' stand in windows"):
        quick(made("clap-audio"), ragged(2), tmp_path / "run", pool="last", sites="blocks.0.hook_attn_out")


def test_clips_longer_than_the_model_hears_count_with_their_beginnings_and_are_said(tmp_path: Path) -> None:
    model = made()
    window = model.featuriser.window_seconds
    assert window is not None
    data = [noise(window + more, seed=index) for index, more in enumerate([0.0, 0.5, -0.5, 1.0])]
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 2, KeyboardInterrupt)), tmp_path / "run", batch_size=1)
    said = f"2 clips are longer than the {window:g} s that the model hears: their beginnings counted"
    with pytest.warns(UserWarning, match=said):
        found = quick(model, iter(data), tmp_path / "run", batch_size=1, resume="trust")
    assert found.manifest.truncated == 2
    cut = quick(model, [wave[: round(window * RATE)] for wave in data], tmp_path / "cut", batch_size=1)
    assert cut.manifest.truncated == 0
    for site in found.sites:
        assert torch.equal(found[site].top.values, cut[site].top.values)
        assert torch.equal(found[site].top.clips, cut[site].top.clips)


def test_damaged_audio_is_set_aside_and_the_rest_is_exact(tmp_path: Path) -> None:
    expected = write_damaged_folder(tmp_path / "audio")
    model = made()
    with pytest.warns(UserWarning, match="longer than the .* s that the model hears"):
        found = quick(model, tmp_path / "audio", tmp_path / "run", batch_size=3, sites="all")
    reasons = {Path(row.path).name: row.reason for row in found.quarantine}
    bad = {name: word for name, word in expected.items() if word is not None}
    assert set(reasons) == {Path(name).name for name in bad}
    for name, word in bad.items():
        assert word in reasons[Path(name).name], (name, reasons[Path(name).name])
    healthy = {Path(row.path).name for row in found.clips.values()}
    assert healthy == {Path(name).name for name, word in expected.items() if word is None}
    assert found.manifest.quarantined == len(bad)
    from and_nnsight.audio.loading import to_waveform

    sites = model.sites()
    waves = {clip: to_waveform(row.path, RATE) for clip, row in found.clips.items()}
    assert_equal_to_brute_force(found, sites, pooled_clips(model, sites, waves), tolerance=2e-5)


def test_if_every_clip_fails_the_run_stops_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="none of the 2 clips can be used; the first, 0: "):
        quick(made(), [b"no", b"sound"], tmp_path / "run")
    assert len((tmp_path / "run" / "quarantine.jsonl").read_text().splitlines()) == 2
    with pytest.raises(DissectionError, match="the data holds no clip"):
        quick(made(), [], tmp_path / "none")


def test_nonfinite_activations_are_counted_and_left_out(tmp_path: Path) -> None:
    model = made()
    with torch.no_grad():
        model.wrapped.audio_spectrogram_transformer.layers[0].mlp.fc1.bias[3] = torch.nan
    with pytest.warns(UserWarning, match="activations at 2 sites, blocks.0.mlp.hook_pre first, were NaN or infinite"):
        found = quick(model, ragged(3), tmp_path / "run", sites="blocks.0.mlp.*")
    statistics = found["blocks.0.mlp.hook_pre"]
    assert statistics.nonfinite > 0
    assert statistics.finite[3] == 0
    assert statistics.finite[4] == 3
    assert statistics.mean[3].isnan()
    assert found.unit("blocks.0.mlp.hook_pre", 3).top == ()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"k": 0}, "k must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"pool": "median"}, "unknown pooling 'median': one of max"),
        ({"dtype": "int3"}, "unknown dtype 'int3'"),
        ({"sites": []}, "no site was asked for"),
        ({"remote": True}, "a server loads a model by its name"),
        ({"remote": "nowhere"}, "'nowhere' is no server: give http"),
        ({"remote": "local", "device": "cpu"}, "device and dtype are the server's to choose"),
        ({"remote": "local", "keep_activations": True}, "need every clip's values: run those without remote="),
    ],
)
def test_wrong_arguments_are_said_before_anything_is_written(
    options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=reason):
        quick(made(), ragged(2), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    for device in ("cuda:99", "gramophone"):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here"):
            quick(made(), ragged(2), tmp_path / "run", device=device)


def test_a_folder_that_lacks_files_is_damaged(tmp_path: Path) -> None:
    found = quick(made(), ragged(3), tmp_path / "run")
    (found.folder / "sites" / "blocks.1.mlp.hook_post.safetensors").unlink()
    with pytest.raises(DissectionError, match=r"is damaged: it lacks sites/blocks.1.mlp.hook_post.safetensors"):
        quick(made(), ragged(3), tmp_path / "run")


@pytest.mark.parametrize("version", [1, 2, 4, "3", None])
def test_a_folder_of_another_format_is_refused_untouched(version: Any, tmp_path: Path) -> None:
    found = quick(made(), ragged(2), tmp_path / "run")
    path = found.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": version}))
    before = files(found.folder)
    said = f"has format version {version}; this package reads version 3"
    with pytest.raises(DissectionError, match=said):
        Dissection.load(found.folder)
    with pytest.raises(DissectionError, match=said):
        quick(made(), ragged(2), tmp_path / "run")
    assert files(found.folder) == before


def test_out_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(DissectionError, match="notes is a file: choose a folder"):
        quick(made(), ragged(2), tmp_path / "notes")


def test_out_may_hold_a_colon_or_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert quick(made(), ragged(2), tmp_path / "a:b" / "c").clips[1].label == "label 1"
    quick(made(), ragged(2), Path("~/run"))
    assert (tmp_path / "run" / "clips.parquet").exists()
    assert len(Dissection.load("~/run").clips) == 2


def test_file_names_need_not_be_utf8(tmp_path: Path) -> None:
    import os

    (tmp_path / "audio").mkdir()
    with open(os.fsencode(tmp_path / "audio") + b"/bad\xff.wav", "wb") as file:  # noqa: PTH123
        file.write(wav_bytes(noise(0.5)))
    found = quick(made(), tmp_path / "audio", tmp_path / "run")
    assert found.clips[0].path.endswith("bad\\xff.wav")
