"""CTM files, columns of words, tiers and pauses, and which file is of which clip."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest

from and_nnsight import Annotation, AnnotationError, Annotations, read_annotations
from and_nnsight.speech.ctm import read_ctm
from and_nnsight.speech.matching import match
from and_nnsight.speech.tiers import in_known_tiers, with_pauses
from tests.sounds_for_tests import noise, wav_bytes

WORDS = [{"word": "sea", "start": 0.1, "end": 0.3}, {"word": "shell", "start": 0.5, "end": 0.9, "speaker": "Anna"}]


def listed(annotations: Annotations) -> dict[int, list[tuple[str, float, float]]]:
    """Concepts with their times, by clip."""
    found: dict[int, list[tuple[str, float, float]]] = {}
    for row, clip in enumerate(annotations.clips.tolist()):
        places = range(annotations.first[row], annotations.first[row + 1])
        found[clip] = [
            (annotations.names[annotations.concept[p]], float(annotations.start[p]), float(annotations.end[p]))
            for p in places
        ]
    return found


OF_WORDS = [
    ("pause", 0.0, 0.1), ("words: sea", 0.1, 0.3), ("pause", 0.3, 0.5), ("speaker: Anna", 0.5, 0.9),
    ("words: shell", 0.5, 0.9), ("pause", 0.9, math.inf),
]  # fmt: skip


def test_ctm(tmp_path: Path) -> None:
    path = tmp_path / "all.ctm"
    path.write_text(";; a comment\na 1 0.10 0.20 sea 0.98\n\nb A 0.5 0.4 shell\na 1 0.3 0.0 eh\n", encoding="utf-8")
    found = read_ctm(path)
    assert found["a"] == [Annotation("words", "sea", 0.1, 0.1 + 0.2)]
    assert found["b"] == [Annotation("words", "shell", 0.5, 0.9)]
    phones = path.rename(tmp_path / "phones.ctm")
    assert read_ctm(phones)["a"][0].tier == "phones"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a 1 0.1 0.2", "line 2: a CTM has recording, channel, start, duration and label, and here are 4 fields"),
        ("a 1 x 0.2 sea", "line 2: 'x' and '0.2' are no times"),
        ("a 1 nan 0.2 sea", "line 2: 'nan' and '0.2' are no times"),
        ("a 1 0.1 -0.2 sea", "line 2: 'sea' lasts -0.2 s from 0.1 s on"),
    ],
)
def test_damaged_ctm(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.ctm"
    path.write_text(f"b 1 0 1 whale\n{line}\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match=rf"bad\.ctm, {reason}"):
        read_ctm(path)
    path.write_bytes(b"a 1 0 1 \xff\xff\n")
    with pytest.raises(AnnotationError, match=r"bad\.ctm is no CTM that can be read: it is not in UTF-8"):
        read_ctm(path)


def clips_of(words: list[Any]) -> list[dict[str, Any]]:
    return [{"audio": noise(1.0, seed=place), "words": each} for place, each in enumerate(words)]


SHAPES = {
    "list": WORDS,
    "text": [{"text": " sea ", "timestamp": (0.1, 0.3)}, {"text": "shell", "timestamp": [0.5, 0.9], "speaker": "Anna"}],
    "label": [
        {"label": "sea", "start_time": "0.1", "end_time": 0.3},
        {"phone": "shell", "begin": np.float64(0.5), "stop": 0.9, "speaker": "Anna"},
    ],
    "columns": {"word": ["sea", "shell"], "start": [0.1, 0.5], "end": [0.3, 0.9], "speaker": [None, "Anna"]},
    "json": json.dumps(WORDS),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_words_in_a_column(shape: str) -> None:
    found = read_annotations("column:words", clips_of([SHAPES[shape], None, []]))
    assert listed(found) == {0: OF_WORDS, 2: [("pause", 0.0, math.inf)]}
    assert found.left_out == "1 clips have no annotations"


def test_every_kind_of_data_has_such_columns(tmp_path: Path) -> None:
    with_rate = [{**row, "sampling_rate": 16_000} for row in clips_of([WORDS, []])]
    encoded = [{"audio": {"bytes": wav_bytes(row["audio"]), "path": None}, "words": row["words"]} for row in with_rate]
    table = datasets.Dataset.from_list(encoded).cast_column("audio", datasets.Audio(decode=False))
    lines = []
    for place, row in enumerate(with_rate):
        (tmp_path / f"{place}.wav").write_bytes(wav_bytes(row["audio"]))
        lines.append(json.dumps({"file_name": f"{place}.wav", "words": row["words"]}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for data in (with_rate, table, table.to_iterable_dataset(), pandas.DataFrame(with_rate), str(tmp_path)):
        found = listed(read_annotations("column:words", data))
        assert found[0] == OF_WORDS and found[1] == [("pause", 0.0, math.inf)]
    with pytest.raises(ValueError, match="no (column|key) 'phones'"):
        read_annotations("column:phones", str(tmp_path))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3, "clip 0: the column 'words' holds int, and is to hold a list of"),
        ("sea shell", "clip 0: its words are text that is no JSON"),
        (["sea"], "clip 0: 'sea' stands among its words"),
        ([{"word": "sea"}], "has no label or no times"),
        ([{"word": "sea", "start": 0.1, "end": float("nan")}], "has no label or no times"),
        ([{"word": "sea", "start": 0.3, "end": 0.1}], r"'sea' begins at 0.3 s and ends at 0.1 s"),
        ([{"word": "sea", "start": -1, "end": 0.1}], r"'sea' begins at -1 s"),
        ([], "there is no label in the annotations of 1 clip"),
    ],
)
def test_columns_that_hold_no_words(value: Any, reason: str) -> None:
    with pytest.raises(AnnotationError, match=reason):
        read_annotations("column:words", clips_of([value]) if value else [{**clips_of([[]])[0]}])


def test_tiers_have_one_name_each() -> None:
    given = [
        Annotation("Anna - words", "sea", 0, 1), Annotation("Anna - phones", "S", 0, 1), Annotation("MAU", "<p:>", 1, 2),
        Annotation("Word", "sil", 1, 2), Annotation("gesture", "sil", 1, 2),
    ]  # fmt: skip
    assert in_known_tiers(given) == [
        Annotation("words", "sea", 0, 1), Annotation("speaker", "Anna", 0, 1), Annotation("phones", "S", 0, 1),
        Annotation("gesture", "sil", 1, 2),
    ]  # fmt: skip


def test_pauses() -> None:
    words = [
        Annotation("words", "a", 0.05, 0.5),
        Annotation("words", "b", 0.3, 0.4),
        Annotation("words", "c", 0.7, 0.8),
    ]
    found = with_pauses({0: words, 1: [Annotation("phones", "S", 0.5, 0.6)]})
    pauses = [(each.start, each.end) for each in found[0] if each.tier == "pause"]
    assert pauses == [(0.5, 0.7), (0.8, math.inf)], "no gap of 0.05 s, and none within a word that another overlaps"
    assert [(each.start, each.end) for each in found[1] if each.tier == "pause"] == [(0.0, math.inf)]
    assert with_pauses({0: [Annotation("gesture", "up", 0, 1)]}) == {0: [Annotation("gesture", "up", 0, 1)]}


def test_files_are_matched_with_clips_by_name_and_folder() -> None:
    clips = {0: "/d/anna/1.wav", 1: "/d/ben/1.wav", 2: "/d/ben/2.flac", 3: "/d/ben/3.wav", 4: "/d/ben/hello_one.wav"}
    names = ["/g/anna/1.TextGrid", "/g/ben/1.TextGrid", "/g/2.TextGrid", "/g/hello-one.TextGrid", "/g/9.TextGrid"]
    matched = match(clips, names, "/g")
    assert matched.by_clip == {0: names[0], 1: names[1], 2: names[2]}
    assert matched.lacking == (
        "2 of 5 clips have no annotations (3.wav, hello_one.wav); 2 annotations are of no clip (9.TextGrid, "
        "hello-one.TextGrid); is hello-one.TextGrid of hello_one.wav?"
    )
    assert match({0: "x/sw02001.A.wav"}, ["sw02001.A"], "a.ctm").by_clip == {0: "sw02001.A"}
    with pytest.raises(
        AnnotationError, match=r"no clip has annotations in /g: clips are called 1.wav, 1.wav, 2.flac, …"
    ):
        match(clips, ["/g/a.TextGrid"], "/g")
    with pytest.raises(AnnotationError, match=r"x/c/1\.TextGrid and y/c/1\.TextGrid are both of d/c/1\.wav"):
        match({0: "d/c/1.wav"}, ["x/c/1.TextGrid", "y/c/1.TextGrid"], "g")


def test_places_that_hold_no_annotations(tmp_path: Path) -> None:
    clips = [{"audio": noise(1.0), "path": "a.wav"}]
    with pytest.raises(AnnotationError, match="there are no annotations at .*nowhere"):
        read_annotations(tmp_path / "nowhere", clips)
    with pytest.raises(AnnotationError, match=r"holds no annotations: they are read from files \.TextGrid and \.ctm"):
        read_annotations(tmp_path, clips)
    (tmp_path / "a.ctm").write_text("a 1 0.1 0.2 sea\n")
    assert listed(read_annotations(tmp_path, clips))[0][1][0] == "words: sea"
    with pytest.raises(AnnotationError, match="these clips have none"):
        read_annotations(tmp_path, [noise(1.0)])
