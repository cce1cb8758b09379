"""metadata.csv and metadata.jsonl as spreadsheets and other systems write them; datasets whose audio lies deeper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
import soundfile

from and_nnsight.data import open_source
from tests.damaged import encode, sound

RATE = 16_000
FILE = encode(sound(0.1, RATE), RATE)


def labels(folder: Path, content: str, encoding: str = "utf-8", name: str = "metadata.csv") -> dict[str, str | None]:
    (folder / "sub").mkdir(exist_ok=True)
    for file in ("a.wav", "sub/b.wav"):
        soundfile.write(folder / file, sound(0.1, RATE), RATE)
    (folder / name).write_bytes(content.encode(encoding))
    items = open_source(folder).items()
    return {Path(item.audio).relative_to(folder).as_posix(): item.label for item in items}


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_spreadsheets_csv_is_read(mark: str, encoding: str, end: str, tmp_path: Path) -> None:
    rows = (('"file_name"', " label"), ("a.wav", "ä"), ("sub/b.wav", '"two, or; three"'))
    content = end.join(mark.join(row) for row in rows)
    assert labels(tmp_path, content, encoding) == {"a.wav": "ä", "sub/b.wav": "two, or; three"}


def test_paths_of_windows_are_found_and_do_not_lead_out(tmp_path: Path) -> None:
    assert labels(tmp_path, "file_name,label\nsub\\b.wav,x\n") == {"sub/b.wav": "x"}
    for outside in ("..\\a.wav", "sub\\..\\..\\a.wav", "C:\\a.wav", "\\\\server\\a.wav"):
        with pytest.raises(ValueError, match="metadata.csv, row 1: .* lies outside of the folder"):
            labels(tmp_path, f"file_name,label\n{outside},x\n")
    (tmp_path / "a\\b.wav").write_bytes(FILE)
    assert list(labels(tmp_path, "file_name\na\\b.wav\n")) == ["a\\b.wav"], "a name of its own where it is one"


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("file_name,label,label\na.wav,x,y\n", "metadata.csv", "it has several columns 'label': rename them"),
        ("file_name;file_name\na.wav;b.wav\n", "metadata.csv", "it has several columns 'file_name'"),
        ('{"file_name": "a.wav", "label": 1, "label": 2}\n', "metadata.jsonl", "it has several fields 'label'"),
        ('{\n "file_name": "a.wav"\n}\n', "metadata.jsonl", "not JSON, of which each line is to be one object$"),
        ('{"file_name": ' + "[" * 90_000, "metadata.jsonl", "not JSON, of which each line is to be one object$"),
    ],
)
def test_a_file_that_cannot_be_meant_so_is_refused_in_our_words(
    content: str, name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"{name}, row 1: cannot be read: {message}"):
        labels(tmp_path, content, name=name)


def dataset(features: dict[str, Any], row: dict[str, Any]) -> datasets.Dataset:
    described = datasets.Features(features)
    table = pyarrow.Table.from_pylist([row, row], schema=described.arrow_schema)
    return datasets.Dataset(datasets.table.InMemoryTable(table), info=datasets.DatasetInfo(features=described))


def test_audio_that_lies_deeper_in_a_column_is_refused_with_what_to_pass() -> None:
    file, audio = {"bytes": FILE, "path": None}, datasets.Audio()
    with pytest.raises(ValueError, match="column 'audio' holds lists of audio: pass a dataset of one recording a row"):
        open_source(dataset({"audio": datasets.List(audio)}, {"audio": [file, file]}))
    nested = dataset({"clip": {"sound": audio}}, {"clip": {"sound": file}})
    with pytest.raises(ValueError, match="column 'clip' holds its audio in a field, 'sound': make a column of its own"):
        open_source(nested, audio_column="clip")
