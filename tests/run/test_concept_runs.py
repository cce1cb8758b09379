"""dissect with concepts and kept activations: equal to the stored table, resumable, clear about what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import ConceptError, ConceptScores, Dissection, DissectionError
from and_nnsight.dissection.descriptions import ConceptsDescription
from tests.concept_oracle import similarities
from tests.families import save_ast
from tests.run.runs import StopsAfter, files, made, quick
from tests.sounds_for_tests import noise, ragged, wav_bytes

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def concepts_for(clips: int, concepts: int = 3, *, seed: int = 0) -> ConceptScores:
    """A concept of labels, then concepts of any score."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(clips, concepts)).astype(np.float32)
    values[:, 0] = np.arange(clips) % 3 == 0
    names = tuple(f"concept {index}" for index in range(concepts))
    return ConceptScores(names, torch.arange(clips), torch.tensor(values), "random")


def assert_compared_as_the_table_is(found: Dissection) -> None:
    """The streamed similarities are those of the kept activations, and these are those that were ranked."""
    clips = list(found.clips)
    assert found.concepts is not None
    scores = found.concepts.rows(clips).numpy()
    for site in found.sites:
        table = found.activations(site)
        assert table is not None and table.shape == (len(clips), found[site].units) and table.dtype == np.float32
        streamed = found.concept_statistics(site)
        assert (streamed.names, streamed.clips) == (found.concepts.names, len(clips))
        some = np.linspace(0, table.shape[1] - 1, 8).astype(int)
        for name, expected in similarities(np.array(table[:, some]), scores).items():
            np.testing.assert_allclose(getattr(streamed, name)[some].numpy(), expected, rtol=0, atol=1e-6)
        ranked = found[site].top
        for unit in range(0, table.shape[1], 5):
            rows = [clips.index(clip) for clip in ranked.clips[:, unit].tolist() if clip >= 0]
            np.testing.assert_array_equal(table[rows, unit], ranked.values[: len(rows), unit].numpy())


@pytest.mark.parametrize("name", ["ast", "whisper-encoder", "hubert-post", "clap-audio"])
def test_units_are_compared_with_concepts_as_the_kept_activations_are(name: str, tmp_path: Path) -> None:
    data = [item for item in ragged(9) if len(item["audio"]) >= 1600]
    data[3] = {"audio": b"damaged"}
    found = quick(
        made(name), data, tmp_path / "run", sites="all", batch_size=4, concepts=concepts_for(9), keep_activations=True
    )
    assert 3 not in found.clips
    assert_compared_as_the_table_is(found)


def test_comparison_with_concepts_of_a_model_in_bfloat16(tmp_path: Path) -> None:
    options = {"dtype": "bfloat16", "keep_activations": True, "concepts": concepts_for(6), "sites": "all"}
    assert_compared_as_the_table_is(quick(made(), ragged(6), tmp_path / "run", **options))


def test_comparison_with_concepts_does_not_depend_on_batches(tmp_path: Path) -> None:
    for batch_size in (1, 2, 5):
        options = {"concepts": concepts_for(9), "keep_activations": True, "batch_size": batch_size}
        found = quick(made("hubert-post"), ragged(9), tmp_path / f"{batch_size}", **options)
        first = Dissection.load(tmp_path / "1")
        for site in found.sites:
            one, other = first.concept_statistics(site), found.concept_statistics(site)
            for name in ("pearson", "cos", "cos_cubed"):
                torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=1e-4, rtol=0)
            np.testing.assert_allclose(first.activations(site), found.activations(site), atol=1e-5)


def test_concepts_and_activations_have_their_place_in_the_folder(tmp_path: Path) -> None:
    scores = concepts_for(4)
    scores.save(tmp_path / "scores.safetensors")
    found = quick(made(), ragged(4), tmp_path / "run", concepts=tmp_path / "scores.safetensors", keep_activations=True)
    inside = {name for name in files(found.folder) if "blocks.0" in name or "scores" in name}
    assert inside == {
        "sites/blocks.0.mlp.hook_post.safetensors",
        "concepts/blocks.0.mlp.hook_post.safetensors",
        "concepts/scores.safetensors",
        "activations/blocks.0.mlp.hook_post.npy",
    }
    assert files(found.folder)["concepts/scores.safetensors"] == (tmp_path / "scores.safetensors").read_bytes()
    assert found.manifest.concepts == ConceptsDescription(scores.fingerprint, "random", 3)
    assert found.concepts is not None and found.concepts.fingerprint == scores.fingerprint
    table = found.activations("blocks.0.mlp.hook_post")
    assert isinstance(table, np.memmap) and not table.flags.writeable
    again = quick(made(), ragged(4), tmp_path / "run", concepts=scores, keep_activations=True)
    assert again.manifest == found.manifest
    for lost in ("concepts/scores.safetensors", "activations/blocks.1.mlp.hook_post.npy"):
        (found.folder / lost).unlink()
        with pytest.raises(DissectionError, match=f"is damaged: it lacks {lost}"):
            Dissection.load(found.folder)
        quick(made(), ragged(4), tmp_path / "other", concepts=scores, keep_activations=True)
        (found.folder / lost).write_bytes((tmp_path / "other" / lost).read_bytes())


def test_without_concepts_there_is_nothing_to_say_of_them(tmp_path: Path) -> None:
    found = quick(made(), ragged(3), tmp_path / "run")
    assert found.concepts is None
    assert found.activations(found.sites[0]) is None
    with pytest.raises(DissectionError, match="was made without concepts: call dissect with concepts="):
        found.concept_statistics(found.sites[0])
    for ask in (found.concept_statistics, found.activations):
        with pytest.raises(DissectionError, match="'nowhere' was not dissected"):
            ask("nowhere")


@pytest.mark.parametrize("batch_size", [2, 3])
def test_an_interrupted_run_with_concepts_resumes_to_equal_files(
    batch_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = made("hubert-post"), ragged(11)
    options = {"concepts": concepts_for(11), "keep_activations": True, "batch_size": batch_size}
    whole = quick(model, iter(data), tmp_path / "whole", **options)
    monkeypatch.setattr("and_nnsight.run.session.CHECKPOINT_SECONDS", 0.0)
    out = tmp_path / "run"
    for at in (5, 9):
        with pytest.raises(KeyboardInterrupt):
            quick(model, iter(StopsAfter(data, at, KeyboardInterrupt)), out, resume="trust", **options)
        # A process that was killed may have left rows that no checkpoint counts, and a header that counts them.
        with (out / "activations" / "blocks.0.mlp.hook_post.npy").open("ab") as file:
            file.write(b"\x07" * 64 * 4 * 3)
    quick(model, iter(data), out, resume="trust", **options)
    assert files(out) == files(whole.folder)


def test_kept_activations_that_were_lost_are_not_made_up(tmp_path: Path) -> None:
    model, data, out = made(), ragged(6), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 4, KeyboardInterrupt)), out, batch_size=2, keep_activations=True)
    (out / "activations" / "blocks.1.mlp.hook_post.npy").unlink()
    with pytest.raises(DissectionError, match="hook_post.npy holds fewer than the 2 clips that were done"):
        quick(model, iter(data), out, resume="trust", batch_size=2, keep_activations=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"concepts": concepts_for(4, seed=1)}, "concept scores: other ones there, these here"),
        ({"concepts": None}, "concept scores: some there, none here"),
        ({"keep_activations": False}, "keep_activations is True there, False here"),
    ],
)
def test_a_folder_of_other_concepts_is_refused_untouched(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    model, out, options = made(), tmp_path / "run", {"concepts": concepts_for(4), "keep_activations": True}
    quick(model, ragged(4), out, **options)
    before = files(out)
    with pytest.raises(DissectionError, match=f"{reason}.*choose a new folder"):
        quick(model, ragged(4), out, **{**options, **change})
    assert files(out) == before


def test_folders_from_before_there_were_concepts_load_and_resume(tmp_path: Path) -> None:
    model, data, out = made(), ragged(5), tmp_path / "run"

    def age() -> None:
        manifest = json.loads((out / "manifest.json").read_text())
        del manifest["concepts"], manifest["keep_activations"]
        (out / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(KeyboardInterrupt):
        quick(model, iter(StopsAfter(data, 4, KeyboardInterrupt)), out, batch_size=2)
    age()
    with pytest.raises(DissectionError, match="concept scores: none there, these here"):
        quick(model, iter(data), out, resume="trust", batch_size=2, concepts=concepts_for(5))
    assert len(quick(model, iter(data), out, resume="trust", batch_size=2).clips) == 5
    age()
    found = Dissection.load(out)
    assert found.concepts is None and found.activations(found.sites[0]) is None


def test_concepts_of_other_data_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    from dataclasses import replace

    from and_nnsight.data import open_source

    scores, data = concepts_for(4), ragged(4)
    ours = replace(scores, settings={"dataset": open_source(data).fingerprint})
    other = replace(scores, settings={"dataset": "0123456789abcdef"})
    with pytest.raises(ConceptError, match=r"were made for other data \(fingerprint 0123456789abcdef\)"):
        quick(made(), data, tmp_path / "run", concepts=other)
    assert not (tmp_path / "run").exists()
    quick(made(), data, tmp_path / "run", concepts=ours)
    quick(made(), iter(data), tmp_path / "unknown", concepts=other)
    quick(made(), data, tmp_path / "of unknown", concepts=replace(scores, settings={"dataset": "unknown"}))


def test_a_clip_without_scores_stops_the_run_where_it_can_go_on(tmp_path: Path) -> None:
    with pytest.raises(ConceptError, match="clip 4 has no concept scores"):
        quick(made(), ragged(6), tmp_path / "run", batch_size=2, concepts=concepts_for(4))
    from and_nnsight.storage import read_tensors

    state, metadata = read_tensors(tmp_path / "run" / "progress" / "state.safetensors")
    assert (int(state["clips"]), int(state["concepts.clips"]), metadata["position"]) == (4, 4, "4")


def test_what_a_run_takes_is_said_first_and_refused_where_it_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from and_nnsight.run import resources

    def run(data: Any, out: str, **options: Any) -> None:
        quick(made(), data, tmp_path / out, **{"concepts": concepts_for(3), "keep_activations": True, **options})

    run(ragged(3), "quiet")
    assert capsys.readouterr().err == ""
    run(ragged(3), "a", progress=True)
    said = capsys.readouterr().err
    assert f"will write about 1.5 kB to {tmp_path / 'a' / 'activations'}" in said
    assert "concepts takes" not in said
    monkeypatch.setattr(resources, "_WORTH_SAYING", 1_000)
    run(iter(ragged(3)), "b", progress=True)
    said = capsys.readouterr().err
    assert "comparing 128 units with 3 concepts takes 274.8 kB of memory on cpu, and as much again" in said
    assert "will write 512 bytes a clip" in said and "how many clips there are is not known" in said
    monkeypatch.setattr(resources, "_memory", lambda device: 200_000)
    with pytest.raises(ValueError, match="takes 274.8 kB of memory, and there is 200.0 kB: take fewer sites"):
        run(ragged(3), "c")
    monkeypatch.setattr(resources, "_memory", lambda device: 400_000)
    with pytest.raises(ValueError, match=r"takes 274.8 kB of memory, and as much again .*; there is 400.0 kB: take"):
        run(ragged(3), "c")
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda path: type("", (), {"free": 1_000}))
    with pytest.raises(ValueError, match=r"takes 1.5 kB, and .* has 1.0 kB left: take fewer sites or clips"):
        run(ragged(3), "d", concepts=None)
    assert not (tmp_path / "c").exists() and not (tmp_path / "d").exists()


def test_units_that_are_not_finite_are_not_compared(tmp_path: Path) -> None:
    model = made()
    with torch.no_grad():
        model.wrapped.audio_spectrogram_transformer.layers[0].mlp.fc1.bias[3] = torch.nan
    with pytest.warns(UserWarning, match="were NaN or infinite"):
        found = quick(
            model, ragged(3), tmp_path / "run", sites="blocks.0.mlp.*", concepts=concepts_for(3), keep_activations=True
        )
    assert found.concept_statistics("blocks.0.mlp.hook_pre").incomplete.nonzero()[:, 0].tolist() == [3]
    table = found.activations("blocks.0.mlp.hook_pre")
    assert table is not None and np.isnan(table[:, 3]).all()


def test_concepts_from_the_command_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from and_nnsight.cli import app

    save_ast(tmp_path / "model")
    (tmp_path / "audio").mkdir()
    for index in range(3):
        (tmp_path / "audio" / f"{index}.wav").write_bytes(wav_bytes(noise(0.5, seed=index)))
    concepts_for(3).save(tmp_path / "scores.safetensors")
    names = [str(tmp_path / name) for name in ("model", "audio", "run", "scores.safetensors")]
    command = [
        "dissect",
        *names[:2],
        "--out",
        names[2],
        "--concepts",
        names[3],
        "--keep-activations",
        "--device",
        "cpu",
    ]
    result = CliRunner().invoke(app, [*command, "--quiet"])
    assert result.exit_code == 0, result.output
    assert_compared_as_the_table_is(Dissection.load(tmp_path / "run"))
