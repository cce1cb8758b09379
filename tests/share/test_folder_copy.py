"""What of a dissection's folder is handed on, and who reads it before."""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from and_nnsight import Dissection, DissectionError
from and_nnsight.dissection.hub import FOLDER
from and_nnsight.share.dataset_folder import DatasetOptions, write_dataset
from and_nnsight.share.delphi import export_delphi
from and_nnsight.share.folder_copy import copy_folder
from and_nnsight.share.machine_traces import MachineTraces
from and_nnsight.share.neuronpedia import export_neuronpedia
from tests.cli.commands import run_command
from tests.share.hub_client import files

SILENT = DatasetOptions(audio=False, keep_paths=True)
KEY = "hf_" + "aB3" * 12
SOUND = base64.b64encode(bytes(range(256)) * 8).decode()


@pytest.fixture
def run(in_a_folder: Dissection, tmp_path: Path) -> Path:
    """A copy of a dissection that a test may add to."""
    return write_dataset(in_a_folder, tmp_path / "copy", SILENT).folder / FOLDER


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def test_only_what_is_a_dissections_own_goes_along_and_the_rest_is_named(run: Path, tmp_path: Path) -> None:
    own = files(run)
    with_sound = ("exemplars/sounds/3.flac", "exemplars/maps/first/1 3.safetensors", "report.html")
    others = ("voice.m4a", "desktop.ini", "dataset/data/exemplars/train.parquet", "sites/a.wav", "explanations/n/a.txt")
    for name in (*with_sound, *others, ".cache/x"):
        put(run, name, b"sound")
    code, out, _ = run_command("export", run, "--to", "dataset", "--out", tmp_path / "out", "--no-audio")
    assert code == 0
    shared = files(tmp_path / "out" / FOLDER)
    assert set(shared) == set(own)
    named = "dataset/, desktop.ini, exemplars/, explanations/n/, report.html, sites/a.wav, voice.m4a"
    assert f"not handed on: {named}\n" in out


def test_with_sounds_their_files_and_reports_go_along(run: Path, tmp_path: Path) -> None:
    own = set(files(run))
    put(run, "exemplars/sounds/3.flac", b"sound")
    put(run, "report.html", b"<p>a bell</p>")
    put(run, "voice.m4a", b"sound")
    others = copy_folder(Dissection.load(run), tmp_path / "out", MachineTraces({}), audio=True)
    assert set(files(tmp_path / "out")) == own | {"exemplars/sounds/3.flac", "report.html"}
    assert others == ["voice.m4a"]


@pytest.mark.parametrize("inside", [".", "dataset", "explanations/../new/deep"])
def test_no_export_into_the_dissection_itself(run: Path, tmp_path: Path, inside: str) -> None:
    dissection, before = Dissection.load(run), files(run)
    (tmp_path / "link").symlink_to(run)
    for out in (run / inside, tmp_path / "link" / inside):
        for write in (
            lambda place: write_dataset(dissection, place, SILENT),
            lambda place: export_neuronpedia(dissection, place),
        ):
            with pytest.raises(DissectionError, match="is in the dissection's own folder .*: choose one outside it"):
                write(out)
    assert files(run) == before


def test_no_caches_of_latents_in_the_dissection_itself(explained: Dissection) -> None:
    with pytest.raises(DissectionError, match="is in the dissection's own folder .*: choose one outside it"):
        export_delphi(explained, explained.folder / "delphi", texts="labels")
    assert not (explained.folder / "delphi").exists()


def shared_with_sounds(run: Path, out: Path, roots: dict[str, str]) -> MachineTraces:
    traces = MachineTraces(roots)
    copy_folder(Dissection.load(run), out, traces, audio=True)
    return traces


def test_the_text_of_a_report_is_read_and_its_sounds_stay(run: Path, tmp_path: Path) -> None:
    page = f"<p>/home/me/bells/1.wav</p>\r\n<script>{SOUND}</script>"
    put(run, "report.html", page.encode())
    traces = shared_with_sounds(run, tmp_path / "out", {"/home/me/bells": "bells"})
    expected = page.replace("/home/me/bells", "bells").encode()
    assert (tmp_path / "out" / "report.html").read_bytes() == expected
    assert traces.rewritten["report.html"] == 1 and "report.html" not in traces.places
    put(run, "report.html", f"<p>{KEY}</p>".encode())
    with pytest.raises(DissectionError, match=r"report\.html of .* holds what looks like a key"):
        shared_with_sounds(run, tmp_path / "again", {})


@pytest.mark.parametrize(
    "kind",
    [
        arrow.string(),
        arrow.large_string(),
        arrow.string_view(),
        arrow.dictionary(arrow.int32(), arrow.string()),
        arrow.list_(arrow.large_string()),
        arrow.struct({"a": arrow.dictionary(arrow.int32(), arrow.string())}),
    ],
    ids=str,
)
def test_text_of_every_kind_of_column_is_read(run: Path, tmp_path: Path, kind: arrow.DataType) -> None:
    texts: list = ["/home/me/bells/1.wav", None, "a bell"]
    if arrow.types.is_list(kind):
        texts = [[text] for text in texts]
    if arrow.types.is_struct(kind):
        texts = [{"a": text} for text in texts]
    (run / "findings").mkdir()
    table = arrow.table({"text": arrow.array(texts, kind)})
    parquet.write_table(table, run / "findings" / "t.parquet")
    traces = shared_with_sounds(run, tmp_path / "out", {"/home/me/bells": "bells"})
    shared = parquet.read_table(tmp_path / "out" / "findings" / "t.parquet")
    assert (
        shared.schema.field("text").type == parquet.read_table(run / "findings" / "t.parquet").schema.field("text").type
    )
    assert "bells/1.wav" in str(shared.to_pylist()) and "/home/me" not in str(shared.to_pylist())
    assert traces.rewritten["findings/t.parquet"] == 1
    parquet.write_table(arrow.table({"text": arrow.array([KEY], arrow.large_string())}), run / "findings" / "t.parquet")
    with pytest.raises(DissectionError, match=r"findings/t\.parquet of .* holds what looks like a key"):
        shared_with_sounds(run, tmp_path / "again", {})
