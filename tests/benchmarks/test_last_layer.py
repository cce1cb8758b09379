"""The last-layer benchmark and the training script behind it, on a few synthetic sounds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from and_nnsight.demo import make_sounds
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.explain.roles import ChatOptions, Conversation
from benchmarks import last_layer, train_ast

CLASSES = ("high tone", "low noise", "slow clicks")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rows = []
    for number, sound in enumerate(make_sounds(5, seed=3, classes=CLASSES)):
        name = f"{sound.label}/{number}.wav"
        (folder / sound.label).mkdir(exist_ok=True)
        soundfile.write(folder / name, sound.waveform, sound.sampling_rate)
        rows.append({"file_name": name, "label": sound.label.replace(" ", "_"), "caption": sound.caption})
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "label", "caption"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def trained(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    train_ast.train(sounds, out, seed=0, held_out=0.2, epochs=8)
    return out


def test_the_same_share_of_every_class_is_held_out() -> None:
    labels = torch.tensor([0] * 10 + [1] * 20 + [2] * 2)
    apart = train_ast.held_out_clips(labels, 0.2, seed=1)
    assert labels[apart].bincount().tolist() == [2, 4, 1]
    assert torch.equal(apart, train_ast.held_out_clips(labels, 0.2, seed=1))
    assert not torch.equal(apart, train_ast.held_out_clips(labels, 0.2, seed=2))


def test_varied_clips_stay_clips() -> None:
    torch.manual_seed(0)
    features = torch.full((6, 40, 16), -0.4)
    features[:, 10:30] = 0.5
    varied = train_ast.varied(features)
    assert varied.shape == features.shape
    assert varied.min() == features.min()
    assert not torch.equal(varied, features)


def test_the_record_says_what_was_held_out_and_how_well_it_is_told_apart(sounds: Path, trained: Path) -> None:
    record = json.loads((trained / train_ast.RECORD).read_text())
    assert len(record["held_out_clips"]) == 3
    assert {Path(name).parent.name for name in record["held_out_clips"]} == set(CLASSES)
    assert 0 <= record["held_out_accuracy"] <= 1
    assert json.loads((trained / "config.json").read_text())["id2label"]["0"] == "high_tone"


def test_db_finds_the_classes_of_a_trained_models_logits(sounds: Path, trained: Path, tmp_path: Path) -> None:
    subject = last_layer.trained_subject(trained, sounds, tmp_path / "run")
    assert subject.classes == ("high_tone", "low_noise", "slow_clicks")
    assert int(subject.held_out.sum()) == 3
    words = Words()
    result = last_layer.measure(subject, {"words": words}, words, softmaxes=[10.0])
    assert result["held_out_accuracy"] == result["training"]["held_out_accuracy"]
    assert [row["similarity"] for row in result["rows"]] == list(last_layer.PUBLISHED) * 4
    assert [row["method"] for row in result["rows"]] == ["labels"] * 10 + ["DB"] * 10
    assert [row["clips"] for row in result["rows"]] == (["all"] * 5 + ["held out"] * 5) * 2
    for row in result["rows"]:
        if row["similarity"] == "cos_cubed" and row["clips"] == "all":
            assert row["top1"] == row["top5"] == row["cosine"] == 1.0
            assert row["missed"] == {}
    last_layer.print_subject(result)


class Stubborn:
    """A chat model that gives one answer to everything."""

    name = "stubborn:1"

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str]:
        return ("high tone" for _ in conversations)


def test_icl_is_right_where_the_chat_model_names_the_class(sounds: Path, trained: Path, tmp_path: Path) -> None:
    subject = last_layer.trained_subject(trained, sounds, tmp_path / "run")
    row = last_layer.in_context_row(subject, Stubborn(), np.eye(3))
    assert row["top1"] == row["top5"] == row["cosine"] == 0.3333
    assert row["unanswered"] == 0


def test_a_model_of_other_sounds_is_refused(sounds: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no training\.json"):
        last_layer.trained_subject(tmp_path, sounds, tmp_path / "run")
    record = json.loads((trained / train_ast.RECORD).read_text())
    other = tmp_path / "other"
    other.mkdir()
    for path in trained.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / train_ast.RECORD).write_text(json.dumps({**record, "held_out_clips": ["elsewhere.wav"]}))
    with pytest.raises(ValueError, match="not trained on these sounds"):
        last_layer.trained_subject(other, sounds, tmp_path / "run")


def test_hits_are_counted_where_the_first_concepts_are_the_units_own() -> None:
    similarity = torch.tensor([[3.0, 2.0, 1.0], [5.0, 4.0, 1.0], [torch.nan] * 3])
    found = last_layer.scored(similarity, np.eye(3))
    assert found == {"top1": 0.3333, "top5": 0.6667, "cosine": 0.3333}
    assert last_layer.missed(similarity[:2], ["a", "b", "c"]) == {"b": "a"}
