"""Clips with audio: those of a dissection again, and those of data before one."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import soundfile

from and_nnsight import Dissection, DissectionError, dissect
from and_nnsight.audio.loading import load
from and_nnsight.data.options import DataOptions
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain.records.clip_audio import columns_of, data_clips, dissection_clips
from and_nnsight.explain.roles import Clip, Failure, Span
from and_nnsight.storage import file_checksum, write_json

from ...sounds_for_tests import RATE, noise

SITE = "unembed.hook_out"


def run(data, out: Path, **options) -> Dissection:
    return dissect(str(tiny_ast_path()), data, SITE, 2, out=out, progress=False, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four sounds of 1 s at 22,050 Hz, with a column that a dissection does not keep."""
    root = tmp_path_factory.mktemp("sounds")
    with (root / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "label", "caption", "mood"])
        for number in range(4):
            soundfile.write(root / f"{number}.wav", noise(1.0 * 22_050 / RATE, seed=number), 22_050, subtype="FLOAT")
            rows.writerow(
                [f"{number}.wav", f"label {number}", f"Noise {number}.", ["calm", "", "tense", "gay"][number]]
            )
    return root


@pytest.fixture(scope="module")
def dissection(folder, tmp_path_factory) -> Dissection:
    return run(str(folder), tmp_path_factory.mktemp("run") / "folder")


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory) -> tuple[Dissection, list]:
    sounds = list(make_sounds(1))[:6]
    return run(sounds, tmp_path_factory.mktemp("run") / "memory"), sounds


def test_clips_come_in_the_order_of_the_spans_with_what_the_dataset_says(dissection, folder):
    spans = [Span(2), Span(0), Span(2, 0.25, 0.5)]
    clips = list(dissection_clips(dissection, spans, sampling_rate=RATE))
    assert [clip.span for clip in clips] == spans
    assert clips[0].columns == {"label": "label 2", "caption": "Noise 2."}
    assert clips[0].path == str(folder / "2.wav")
    np.testing.assert_array_equal(clips[0].samples, load(folder / "2.wav", RATE).samples)


def test_excerpts_are_cut_in_seconds_at_any_rate(dissection):
    for rate in (8_000, RATE, 48_000):
        whole, part = dissection_clips(dissection, [Span(1), Span(1, 0.25, 0.75)], sampling_rate=rate)
        assert whole.sampling_rate == rate and len(whole.samples) == rate
        np.testing.assert_array_equal(part.samples, whole.samples[rate // 4 : 3 * rate // 4])


def test_without_a_rate_nothing_is_decoded(dissection, monkeypatch):
    monkeypatch.setattr(
        "and_nnsight.explain.records.clip_audio.load", lambda *_, **__: pytest.fail("audio was decoded")
    )
    clips = list(dissection_clips(dissection, [Span(0), Span(3)], sampling_rate=None))
    assert [len(clip.samples) for clip in clips] == [0, 0]
    assert len(list(data_clips(dissection.manifest.dataset.name, sampling_rate=None))) == 4


def test_clips_in_memory_come_from_the_data(in_memory):
    dissection, sounds = in_memory
    spans = [Span(4), Span(1), Span(4, 0.5, 1.0)]  # not in the order of the data, one twice
    clips = list(dissection_clips(dissection, spans, sampling_rate=RATE, data=sounds))
    assert [clip.span for clip in clips] == spans
    np.testing.assert_array_equal(clips[1].samples, sounds[1].waveform)
    np.testing.assert_array_equal(clips[2].samples, sounds[4].waveform[RATE // 2 : RATE])
    assert clips[0].columns == {"label": sounds[4].label, "caption": sounds[4].caption}


def test_a_stream_is_read_once_and_forwards(in_memory):
    dissection, sounds = in_memory
    clips = list(dissection_clips(dissection, [Span(3), Span(0)], sampling_rate=RATE, data=(sound for sound in sounds)))
    assert [clip.span.clip for clip in clips] == [3, 0]
    np.testing.assert_array_equal(clips[0].samples, sounds[3].waveform)


def test_without_files_and_data_the_error_asks_for_data(in_memory):
    with pytest.raises(DissectionError, match="pass data="):
        dissection_clips(in_memory[0], [Span(0)], sampling_rate=RATE)
    assert len(list(dissection_clips(in_memory[0], [Span(0)], sampling_rate=None))) == 1


def test_a_copy_of_the_folder_stands_for_the_one_that_is_gone(folder, dissection, tmp_path):
    away = Dissection.load(shutil.copytree(dissection.folder, tmp_path / "run"))
    rows = parquet.read_table(away.folder / "clips.parquet").to_pylist()
    for row in rows:
        row["path"] = row["path"].replace(str(folder), str(tmp_path / "gone"))
    parquet.write_table(arrow.Table.from_pylist(rows), away.folder / "clips.parquet")
    checksums = {**away.manifest.checksums, "clips.parquet": file_checksum(away.folder / "clips.parquet")}
    write_json(away.folder / "manifest.json", replace(away.manifest, checksums=checksums).to_json())
    away = Dissection.load(away.folder)
    with pytest.raises(DissectionError, match=r"pass data= \(--data\), what was dissected"):
        list(dissection_clips(away, [Span(1)], sampling_rate=RATE))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        shutil.copyfile(path, copy / path.name)  # which does not keep the time of change
    clip = next(iter(dissection_clips(away, [Span(1)], sampling_rate=RATE, data=str(copy))))
    np.testing.assert_array_equal(clip.samples, load(folder / "1.wav", RATE).samples)
    soundfile.write(copy / "1.wav", noise(0.5), RATE)  # the same name, another sound
    _, failure = next(iter(dissection_clips(away, [Span(1)], sampling_rate=RATE, data=str(copy))))
    assert "it has changed" in failure.reason
    (copy / "1.wav").rename(copy / "one.wav")
    text = (copy / "metadata.csv").read_text(encoding="utf-8")
    (copy / "metadata.csv").write_text(text.replace("1.wav", "one.wav"), encoding="utf-8")
    with pytest.raises(DissectionError, match="is not what was dissected"):
        dissection_clips(away, [Span(1)], sampling_rate=RATE, data=str(copy))


def test_other_data_is_refused(in_memory):
    dissection, sounds = in_memory
    with pytest.raises(DissectionError, match="is not what was dissected"):
        dissection_clips(dissection, [Span(0)], sampling_rate=RATE, data=sounds[1:])


def test_data_that_ends_too_early_is_refused(in_memory):
    dissection, sounds = in_memory
    with pytest.raises(DissectionError, match="ends before clip 5"):
        list(dissection_clips(dissection, [Span(5)], sampling_rate=RATE, data=iter(sounds[:3])))


def test_what_cannot_be_read_is_a_failure_of_that_clip(tmp_path):
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", noise(1.0, seed=number), RATE)
    dissection = run(str(tmp_path), tmp_path / "run")
    (tmp_path / "0.wav").unlink()
    (tmp_path / "1.wav").write_bytes(b"not audio")
    soundfile.write(tmp_path / "2.wav", noise(0.5), RATE)
    answers = list(
        dissection_clips(dissection, [Span(n) for n in range(4)] + [Span(3, 5.0, 6.0), Span(9)], sampling_rate=RATE)
    )
    reasons = [answer[1].reason for answer in answers if isinstance(answer, tuple)]
    assert [type(answer) for answer in answers] == [tuple, tuple, tuple, Clip, tuple, tuple]
    assert "no such file" in reasons[0]
    assert "is not audio that can be read" in reasons[1]
    assert "lasts 0.500 s, but 1.000 s when it was dissected" in reasons[2]
    assert "ends before 5 s" in reasons[3]
    assert "not among those that were dissected" in reasons[4]


def test_a_bare_waveform_keeps_the_rate_at_which_it_was_dissected(tmp_path):
    waves = [noise(1.0, seed=number) for number in range(3)]
    dissection = run(waves, tmp_path / "run")
    (clip,) = dissection_clips(dissection, [Span(1)], sampling_rate=48_000, data=waves)
    assert len(clip.samples) == 48_000


def test_another_column_comes_from_the_folder_itself(dissection):
    clips = list(dissection_clips(dissection, [Span(2), Span(1)], sampling_rate=None, column="mood"))
    assert [clip.columns["mood"] for clip in clips] == ["tense", None]
    assert clips[0].columns["caption"] == "Noise 2."
    with pytest.raises(ValueError, match=r"no column 'colour' in .*; the columns are file_name, label, caption, mood"):
        dissection_clips(dissection, [Span(0)], sampling_rate=None, column="colour")


def test_another_column_of_data_in_memory_needs_the_data(tmp_path):
    data = [{"audio": noise(0.5, seed=n), "sampling_rate": RATE, "mood": f"mood {n}"} for n in range(3)]
    dissection = run(data, tmp_path / "run")
    assert columns_of(dissection) == {}
    with pytest.raises(DissectionError, match=r"keeps no column 'mood'.*pass data="):
        dissection_clips(dissection, [Span(0)], sampling_rate=None, column="mood")
    (clip,) = dissection_clips(dissection, [Span(2)], sampling_rate=None, column="mood", data=data)
    assert clip.columns == {"mood": "mood 2"}


def test_the_datasets_own_name_of_its_captions_is_known(tmp_path):
    data = [{"audio": noise(0.5), "sampling_rate": RATE, "text": "A text."}]
    dissection = run(data, tmp_path / "run", caption_column="text")
    assert columns_of(dissection) == {"caption": "caption", "text": "caption"}
    (clip,) = dissection_clips(dissection, [Span(0)], sampling_rate=None, column="text")
    assert clip.columns["text"] == "A text."


def test_data_before_a_dissection_has_the_ids_that_a_dissection_gives(folder, dissection):
    before = list(data_clips(str(folder), sampling_rate=RATE))
    after = list(dissection_clips(dissection, map(Span, sorted(dissection.clips)), sampling_rate=RATE))
    assert [clip.span for clip in before] == [clip.span for clip in after]
    assert [dict(clip.columns) for clip in before] == [dict(clip.columns) for clip in after]
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(before, after, strict=True))


def test_data_before_a_dissection_can_be_limited_and_read_by_column(folder):
    first = data_clips(str(folder), DataOptions(limit=3), sampling_rate=None, column="mood")
    assert [clip.columns["mood"] for clip in first] == ["calm", None, "tense"]
    with pytest.raises(ValueError, match="no column 'colour'"):
        data_clips(str(folder), sampling_rate=None, column="colour")
    with pytest.raises(ValueError, match="no key 'caption' in the first clip"):
        next(data_clips([{"audio": noise(0.1), "sampling_rate": RATE}], sampling_rate=None, column="caption"))


def test_unreadable_data_before_a_dissection_is_a_failure(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    soundfile.write(tmp_path / "b.wav", noise(0.1), RATE)
    first, second = data_clips(str(tmp_path), sampling_rate=RATE)
    assert first == (Span(0), Failure("holds no bytes"))
    assert isinstance(second, Clip)


def test_bare_waveforms_are_at_the_rate_that_is_said():
    for stated, expected in ((None, 8_000), (8_000, 16_000)):
        (clip,) = data_clips([noise(0.5)], sampling_rate=16_000, source_rate=stated)
        assert len(clip.samples) == expected
