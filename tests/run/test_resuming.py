"""An interrupted run goes on to equal files; a folder of another run is never mixed with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, Dissection, DissectionError
from and_nnsight.run import session as running
from and_nnsight.run.folder import RunFolder
from tests.families import FAMILIES, ast_extractor
from tests.run.runs import StopsAfter, files, made, quick
from tests.sounds_for_tests import noise, ragged

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def test_the_same_call_again_returns_the_dissection_untouched(tmp_path: Path) -> None:
    model, data, out = made(), ragged(4), tmp_path / "run"
    quick(model, data, out)
    before = files(out)
    assert quick(model, data, out)["blocks.0.mlp.hook_post"].count == 4
    assert files(out) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"k": 4}, "k is 3 there, 4 here"),
        ({"pool": "mean"}, "pool is max there, mean here"),
        ({"sites": "all"}, "2 sites there, 13 here"),
        ({"limit": 2}, "dataset limit is None there, 2 here"),
        ({"resume": False}, "already holds a dissection"),
    ],
)
def test_a_folder_of_another_run_is_refused_untouched(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    model, data, out = made(), ragged(4), tmp_path / "run"
    quick(model, data, out)
    before = files(out)
    with pytest.raises(DissectionError, match=f"{reason}.*(choose a )?new folder"):
        quick(model, data, out, **change)
    assert files(out) == before


def test_other_weights_or_other_data_are_another_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick(made(), ragged(4), out)
    other = made()
    with torch.no_grad():
        other.wrapped.audio_spectrogram_transformer.layers[1].mlp.fc2.weight[:, 7] = 0  # one unit ablated
    with pytest.raises(DissectionError, match="other model weights"):
        quick(other, ragged(4), out)
    with pytest.raises(DissectionError, match="another dataset fingerprint"):
        quick(made(), ragged(5), out)
    with pytest.raises(DissectionError, match="other model features"):
        extractor = ast_extractor()
        extractor.mean += 1
        quick(AudioModel(FAMILIES["ast"].build(), feature_extractor=extractor), ragged(4), out)
    with pytest.raises(DissectionError, match="model class is ASTForAudioClassification there, WhisperEncoder here"):
        quick(made("whisper-encoder"), ragged(4), out)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DissectionError, match=r"holds other files \(thesis.txt\): choose a new folder"):
        quick(made(), ragged(2), tmp_path)
    assert files(tmp_path) == {"thesis.txt": b"mine"}


@pytest.mark.parametrize(("error", "done"), [(KeyboardInterrupt, 4), (OSError, 6)])
def test_an_interrupted_run_resumes_to_equal_files(
    error: type[BaseException], done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips are read a batch ahead: an error of the data comes in its place, an interruption stops at once."""
    model, data = made(), ragged(11)
    whole = quick(model, iter(data), tmp_path / "whole", batch_size=2)
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0 if error is OSError else 1e9)
    out = tmp_path / "run"
    with pytest.raises(error):
        quick(model, iter(StopsAfter(data, 7, error)), out, batch_size=2)
    with pytest.raises(DissectionError, match="is not complete: call dissect again"):
        Dissection.load(out)
    heard: list[int] = []
    original = AudioModel.trace

    def counted(self: AudioModel, features: Any, **options: Any) -> Any:
        heard.append(len(features["input_values"]))
        return original(self, features, **options)

    monkeypatch.setattr(AudioModel, "trace", counted)
    quick(model, iter(data), out, resume="trust", batch_size=2)
    assert sum(heard) == 11 - done, "what was done is not done again"
    assert files(out) == files(whole.folder)


@pytest.mark.parametrize(
    ("owner", "name", "last"),
    [(AudioModel, "run", 4), (RunFolder, "saw", 2)],
    ids=["between the traces of the second batch", "at the end of the second batch"],
)
def test_a_run_that_is_interrupted_within_a_batch_counts_none_of_its_clips(
    owner: Any, name: str, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips of one length run together: some of a batch are in the statistics when the rest is not."""
    model = made("wav2vec2-post")
    data = [noise(seconds, seed=index) for index, seconds in enumerate([0.5, 0.5, 0.7] * 3)]
    whole = quick(model, data, tmp_path / "whole", batch_size=3)
    original, calls = getattr(owner, name), 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == last:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            quick(model, data, tmp_path / "run", batch_size=3)
    assert calls == last
    resumed = quick(model, data, tmp_path / "run", batch_size=3)
    assert resumed[resumed.sites[0]].count == len(resumed.clips) == 9
    assert files(resumed.folder) == files(whole.folder)


def test_a_checkpoint_is_made_when_many_rows_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time has gone by: they are held in memory."""
    monkeypatch.setattr(running, "CHECKPOINT_SECONDS", 1e9)
    monkeypatch.setattr(running, "CHECKPOINT_ROWS", 3)
    made_at, original = [], RunFolder.checkpoint

    def noted(self: RunFolder, *arguments: Any) -> None:
        made_at.append(self.position)
        original(self, *arguments)

    monkeypatch.setattr(RunFolder, "checkpoint", noted)
    quick(made(), ragged(10), tmp_path / "run", batch_size=2)
    assert made_at == [4, 8, 10]  # the last as the run is finished


def test_a_run_may_resume_with_another_batch_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = made(), ragged(9)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 6, KeyboardInterrupt)), out, batch_size=3)
    resumed = quick(model, iter(data), out, resume="trust", batch_size=4)
    whole = quick(model, iter(data), tmp_path / "whole", batch_size=3)
    assert resumed[whole.sites[0]].count == 9
    torch.testing.assert_close(resumed[whole.sites[0]].top.values, whole[whole.sites[0]].top.values)


def test_data_that_cannot_be_recognised_is_not_mixed_unless_the_caller_vouches_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, out = made(), ragged(6), tmp_path / "run"
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 4, KeyboardInterrupt)), out, batch_size=2)
    said = 'holds a dissection of data that cannot be recognised .*choose a new folder, or.*pass resume="trust"'
    for _ in range(2):  # while it is not complete, and when it is
        before = files(out)
        with pytest.raises(DissectionError, match=said):
            quick(model, iter(ragged(6)[::-1]), out, batch_size=2)
        assert files(out) == before
        quick(model, iter(data), out, batch_size=2, resume="trust")
    with pytest.raises(DissectionError, match="already holds a dissection"):
        quick(model, iter(data), out, resume=False)
    with pytest.raises(ValueError, match="resume must be True, False or 'trust', not 'yes'"):
        quick(model, iter(data), out, resume="yes")


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    model, out = made(), tmp_path / "run"

    def clips() -> Iterator[np.ndarray]:
        yield noise(1.0)
        with pytest.raises(DissectionError, match="another process is writing to"):
            quick(model, iter([noise(1.0)]), out, resume="trust")
        yield noise(1.0, seed=1)

    assert quick(model, clips(), out)["blocks.0.mlp.hook_post"].count == 2


def test_an_edited_model_is_another_run(tmp_path: Path) -> None:
    model, out = made(), tmp_path / "run"
    plain = quick(model, ragged(3), out)
    with model.edit() as (_, edited):
        edited.site("blocks.0.mlp.hook_post")[:, :, 3] = 0
    with pytest.raises(DissectionError, match=r"model edits \(.*\): 0 there, 1 here"):
        quick(edited, ragged(3), out)
    ablated = quick(edited, ragged(3), tmp_path / "edited")
    assert not torch.equal(plain["blocks.1.mlp.hook_post"].mean, ablated["blocks.1.mlp.hook_post"].mean)
    with pytest.raises(
        DissectionError, match="a model with edits, hooks, replaced forwards or functions, which cannot be"
    ):
        quick(edited, ragged(3), tmp_path / "edited")
    assert quick(edited, ragged(3), tmp_path / "edited", resume="trust").clips == ablated.clips


def test_leftovers_of_a_process_killed_at_its_last_step_are_cleared(tmp_path: Path) -> None:
    found = quick(made(), ragged(2), tmp_path / "run")
    before = files(found.folder)
    (found.folder / "progress").mkdir()
    (found.folder / "progress" / "state.safetensors").write_bytes(b"old")
    quick(made(), ragged(2), tmp_path / "run")
    assert files(found.folder) == before
