"""Clips against concepts: by caption, by sound, by label; before a dissection and over one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch

from and_nnsight import ConceptScores, Dissection, dissect
from and_nnsight.demo import tiny_ast_path
from and_nnsight.explain.labels.concept_lists import concept_text, read_concepts
from and_nnsight.explain.labels.concept_scores import fits, score_concepts, selected
from and_nnsight.plugins import PluginError
from tests.sounds_for_tests import RATE, noise

CAPTIONS = ["A dog barks twice.", "Heavy rain.", "A dog barks.", None, "Rain on a roof; a dog."]
LABELS = ["dog", "rain", "dog", None, "car_horn"]


def clips(captions: Sequence[str | None] = CAPTIONS) -> list[dict[str, Any]]:
    return [
        {
            "audio": noise(0.3 + 0.1 * index, index, 0.05 * (index + 1)),
            "sampling_rate": RATE,
            "label": label,
            "caption": caption,
        }
        for index, (label, caption) in enumerate(zip(LABELS, captions, strict=True))
    ]


class Letters:
    """Texts by how often they have each letter of `dogarin`; audio by its level."""

    name = "letters"
    sampling_rate = 8_000

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.batches: list[int] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        return np.array([[text.lower().count(letter) for letter in "dogarin"] for text in texts], np.float32)

    encode_text = encode

    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        self.batches.append(len(waveforms))
        assert all(wave.dtype == np.float32 for wave in waveforms)
        return np.array([[1, 0, 0, 100 * float(wave.std()), 0, 0, 0] for wave in waveforms], np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "tiny"
    dissect(str(tiny_ast_path()), clips(), "unembed.hook_out", 3, out=out, progress=False, device="cpu")
    return out


@pytest.fixture
def dissection(dissected: Path, tmp_path: Path) -> Dissection:
    import shutil

    return Dissection.load(shutil.copytree(dissected, tmp_path / "copy"))


def write_captions(dissection: Dissection, rows: list[dict[str, Any]], captioner: str = "heard") -> None:
    (dissection.folder / "explanations").mkdir(exist_ok=True)
    table = arrow.Table.from_pylist([{"start": None, "end": None, **row} for row in rows])
    metadata = {b"and_nnsight.settings": b'{"captioner": "%s"}' % captioner.encode()}
    parquet.write_table(
        table.replace_schema_metadata(metadata), dissection.folder / "explanations" / "captions.parquet"
    )


# --- the list -------------------------------------------------------------------------------------------------------


def test_concepts_are_read_from_a_file_a_list_a_sequence_or_the_labels(tmp_path: Path) -> None:
    file = tmp_path / "concepts.txt"
    file.write_text("\ufeff# animals\ndog\n\n  cat  \ndog\r\n# end\n", encoding="utf-8")
    assert read_concepts(file) == read_concepts(str(file)) == ("dog", "cat")
    assert read_concepts("dog, car horn,dog") == ("dog", "car horn")
    assert read_concepts(["rain", " dog", ""]) == ("rain", "dog")
    assert read_concepts("labels", dict(enumerate(LABELS))) == ("car_horn", "dog", "rain")
    assert read_concepts("rain") == ("rain",)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (" , ", "no concepts"),
        ([], "no concepts"),
        ("labels", "no labels"),
        ("list.txt", "no such file of concepts: list.txt"),
    ],
)
def test_no_concepts_are_an_error(value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_concepts(value)


def test_a_name_is_read_as_words() -> None:
    assert concept_text("car_horn") == "car horn"


# --- db -------------------------------------------------------------------------------------------------------------


def test_db_is_a_softmax_of_cosines_of_captions_and_names() -> None:
    encoder = Letters()
    with pytest.warns(UserWarning, match="1 of 5 clips has no caption"):
        scores = score_concepts(clips(), ["dog", "rain", "ra_in"], text_encoder=encoder, softmax=7.0, progress=False)
    of_clips = encoder.encode([caption or "" for caption in CAPTIONS])[[0, 1, 2, 4]]
    of_concepts = encoder.encode(["dog", "rain", "ra in"])
    expected = torch.from_numpy(7 * cosine(of_clips, of_concepts)).softmax(1)
    assert scores.names == ("dog", "rain", "ra_in")
    assert scores.clips.tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(scores.values[[0, 1, 2, 4]], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scores.values[3], torch.full((3,), 1 / 3), rtol=1e-6, atol=1e-7)
    assert (scores.method, scores.settings["encoder"], scores.settings["softmax"]) == ("db", "letters", "7")


def test_db_without_a_softmax_is_the_cosine() -> None:
    scores = score_concepts(clips(["dog"] * 5), "dog,rain", text_encoder=Letters(), softmax=None, progress=False)
    expected = cosine(Letters().encode(["dog"]), Letters().encode(["dog", "rain"]))
    np.testing.assert_allclose(scores.values.numpy(), np.repeat(expected, 5, 0), rtol=1e-5)
    assert scores.settings["softmax"] == "none"


def test_db_encodes_each_caption_once_and_no_audio() -> None:
    encoder = Letters()
    unreadable = [{"audio": "nowhere.wav", "caption": "Rain."} for _ in range(300)]
    scores = score_concepts(unreadable, "dog,rain", text_encoder=encoder, progress=False)
    assert len(scores.clips) == 300
    assert sorted(encoder.texts) == ["Rain.", "dog", "rain"]


def test_db_takes_captions_by_clip_or_from_a_file(tmp_path: Path) -> None:
    said = {0: "dog", 1: "rain", 2: "rain", 3: "dog", 4: "dog"}
    parquet.write_table(
        arrow.table({"clip": list(said), "start": [None] * 5, "caption": list(said.values())}), tmp_path / "c.parquet"
    )
    for captions in (said, tmp_path / "c.parquet"):
        scores = score_concepts(clips(), "dog,rain", captions=captions, progress=False)
        assert scores.values.argmax(1).tolist() == [0, 1, 1, 0, 0]


def test_db_without_any_caption_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="no clip has a caption to compare concepts with"):
        score_concepts(clips([None] * 5), "dog", progress=False)


# --- tab and labels -------------------------------------------------------------------------------------------------


def test_tab_is_the_cosine_of_sound_and_name_at_the_rate_of_the_encoder() -> None:
    encoder = Letters()
    scores = score_concepts(clips(), "dog,rain", "tab", audio_text_encoder=encoder, batch_size=2, progress=False)
    assert encoder.batches == [2, 2, 1]
    assert scores.clips.tolist() == [0, 1, 2, 3, 4]
    assert (scores.method, scores.settings["encoder"]) == ("tab", "letters")
    # The louder, the nearer to `rain`, which has an `a`, and the farther from `dog`, which has a `d`.
    assert (scores.values[:, 1].diff() > 0).all() and (scores.values[:, 0].diff() < 0).all()
    assert scores.values.abs().max() <= 1 + 1e-6


def test_tab_leaves_out_what_cannot_be_read_and_says_so() -> None:
    damaged = clips()
    damaged[1]["audio"] = np.zeros(0, np.float32)
    with pytest.warns(UserWarning, match="1 clip could not be read and is left out"):
        scores = score_concepts(damaged, "dog", "tab", audio_text_encoder=Letters(), progress=False)
    assert scores.clips.tolist() == [0, 2, 3, 4]


def test_tab_needs_an_encoder_and_only_known_methods_are_taken() -> None:
    with pytest.raises(ValueError, match="tab needs an audio-text encoder"):
        score_concepts(clips(), "dog", "tab", progress=False)
    with pytest.raises(ValueError, match="unknown method 'clip': one of db, tab, labels"):
        score_concepts(clips(), "dog", "clip", progress=False)
    with pytest.raises(PluginError, match="unknown text encoder 'nope'"):
        score_concepts(clips(), "dog", text_encoder="nope", progress=False)


def test_labels_are_scores_of_0_and_1() -> None:
    scores = score_concepts(clips(), "labels", "labels", progress=False)
    assert scores.names == ("car_horn", "dog", "rain")
    assert scores.values.tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert bool(scores.binary.all())


# --- a dissection ---------------------------------------------------------------------------------------------------


def test_a_dissection_is_scored_like_its_data_but_for_clips_that_say_nothing(dissection: Dissection) -> None:
    of_run = score_concepts(dissection, "dog,rain", progress=False)
    with pytest.warns(UserWarning, match="no caption"):
        of_data = score_concepts(clips(), "dog,rain", progress=False)
    assert of_run.clips.tolist() == [0, 1, 2, 4]
    assert torch.equal(of_run.values, of_data.values[[0, 1, 2, 4]])
    assert of_run.settings == of_data.settings


def test_the_captions_that_were_made_come_before_the_datasets_own(dissection: Dissection) -> None:
    write_captions(dissection, [{"clip": 0, "caption": "Rain."}, {"clip": 2, "caption": None}])
    scores = score_concepts(dissection, "dog,rain", progress=False)
    assert (scores.clips.tolist(), scores.values.argmax(1).tolist()) == ([0], [1])


def test_captions_of_excerpts_are_not_taken_for_the_clips(dissection: Dissection) -> None:
    write_captions(dissection, [{"clip": 0, "start": 0.1, "end": 0.2, "caption": "Rain."}])
    assert score_concepts(dissection, "dog,rain", progress=False).clips.tolist() == [0, 1, 2, 4]


def test_tab_over_a_dissection_reads_the_data_again(dissection: Dissection) -> None:
    scores = score_concepts(dissection, "dog,rain", "tab", audio_text_encoder=Letters(), audio=clips(), progress=False)
    expected = score_concepts(clips(), "dog,rain", "tab", audio_text_encoder=Letters(), progress=False)
    torch.testing.assert_close(scores.values, expected.values)
    assert scores.settings == expected.settings


def test_scores_made_before_a_dissection_are_taken_by_it(tmp_path: Path) -> None:
    data = clips(["dog", "rain", "dog", "dog", "rain"])
    scores = score_concepts(data, "dog,rain", progress=False)
    scores.save(tmp_path / "scores.safetensors")
    run = dissect(
        str(tiny_ast_path()), data, "unembed.hook_out", 2, out=tmp_path / "run", progress=False, device="cpu",
        concepts=ConceptScores.load(tmp_path / "scores.safetensors"),
    )  # fmt: skip
    assert run.concepts is not None
    assert run.concepts.fingerprint == scores.fingerprint


# --- do scores fit ----------------------------------------------------------------------------------------------------


def test_scores_fit_what_they_would_be_made_as() -> None:
    made = score_concepts(clips(["dog"] * 5), "dog,rain", softmax=None, progress=False)
    assert fits(made, "db", ("rain",), "words", None)
    assert not fits(made, "db", ("rain", "cat"), "words", None)
    assert not fits(made, "db", ("rain",), "words", 30.0)
    assert not fits(made, "db", ("rain",), "letters", None)
    assert not fits(made, "tab", ("rain",), "words", None)
    assert selected(made, ("rain",)).values.tolist() == made.values[:, [1]].tolist()


def test_a_softmax_is_over_the_whole_list() -> None:
    made = score_concepts(clips(["dog"] * 5), "dog,rain", softmax=30.0, progress=False)
    assert fits(made, "db", ("rain", "dog"), "words", 30.0)
    assert not fits(made, "db", ("rain",), "words", 30.0)
