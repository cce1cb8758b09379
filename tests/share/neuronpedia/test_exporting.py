"""What is written for Neuronpedia is what the dissection holds, whole, and as its server and its importer take it."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.share.neuronpedia import NeuronpediaExport, check_upload, export_neuronpedia
from and_nnsight.share.neuronpedia.checks import check_row
from tests.explain.small_dissection import small_dissection
from tests.share.conftest import SITES, dissected_sounds

UNITS = [(SITES[0], 3), (SITES[1], 40), (SITES[0], 7)]


@pytest.fixture(scope="module")
def dissection(explained: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return Dissection.load(shutil.copytree(explained.folder, tmp_path_factory.mktemp("neuronpedia") / "run"))


@pytest.fixture(scope="module")
def exported(dissection: Dissection, tmp_path_factory: pytest.TempPathFactory) -> NeuronpediaExport:
    out = tmp_path_factory.mktemp("neuronpedia") / "out"
    return export_neuronpedia(dissection, out, UNITS, data=dissected_sounds(), device="cpu", progress=False)


def batches(exported: NeuronpediaExport) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_text()) for path in exported.batches}


def lines(path: Path) -> list[dict[str, Any]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line, parse_constant=pytest.fail) for line in content.decode().splitlines()]


def test_each_site_is_a_source_and_each_unit_a_feature(exported: NeuronpediaExport) -> None:
    assert exported.sources == ("0-and-mlp-hook-post", "2-and-hook-mlp-out")
    assert exported.units == ((SITES[0], 3), (SITES[0], 7), (SITES[1], 40)) and not exported.left_out
    there = batches(exported)
    assert {name: [each["index"] for each in batch["features"]] for name, batch in there.items()} == {
        "0-and-mlp-hook-post": [3, 7],
        "2-and-hook-mlp-out": [40],
    }
    for batch in there.values():
        check_upload(batch)
        assert batch["modelId"] == exported.model == "tiny-ast"


def test_tokens_are_the_frames_of_its_exemplars(dissection: Dissection, exported: NeuronpediaExport) -> None:
    feature = batches(exported)["2-and-hook-mlp-out"]["features"][0]
    unit = dissection.unit(SITES[1], 40)
    exemplars = [each for each in unit.top if each.decided and not each.copy]
    assert len(feature["activations"]) == len(exemplars) > 1
    for activation, exemplar in zip(feature["activations"], exemplars, strict=True):
        curve = exemplar.curve()
        assert activation["tokens"] == [f"{start:.2f}s" for start in curve.start.tolist()]
        assert np.array_equal(np.array(activation["values"], np.float32), curve.activation)
        best = activation["tokens"][int(np.argmax(activation["values"]))]
        assert best == f"{exemplar.start:.2f}s" and max(activation["values"]) == pytest.approx(exemplar.activation)


def test_density_histogram_and_words_are_the_dissections(dissection: Dissection, exported: NeuronpediaExport) -> None:
    folder = exported.folder / "exports" / "tiny-ast" / "0-and-mlp-hook-post"
    features, said = (
        lines(folder / "features" / "batch-0.jsonl.gz"),
        lines(folder / "explanations" / "batch-0.jsonl.gz"),
    )
    known = {row.unit: row for row in dissection.units(SITES[0])}
    pooled = dissection.activations(SITES[0])
    assert pooled is not None
    for feature in features:
        unit = int(feature["index"])
        assert feature["frac_nonzero"] == pytest.approx((pooled[:, unit] > 0).mean())
        assert sum(feature["freq_hist_data_bar_heights"]) == len(dissection.clips)
        values = np.array(feature["freq_hist_data_bar_values"])
        width = (pooled[:, unit].max() - pooled[:, unit].min()) / len(values)
        assert values[[0, -1]] == pytest.approx(
            [pooled[:, unit].min() + width / 2, pooled[:, unit].max() - width / 2], abs=1e-4
        )
    assert {int(each["index"]): each["description"] for each in said} == {
        unit: known[unit].explanation for unit in (3, 7) if known[unit].explanation
    }
    assert said[0]["notes"] == known[int(said[0]["index"])].explanation_verdict


def test_the_files_of_an_export_fit_each_other(exported: NeuronpediaExport) -> None:
    for source in exported.sources:
        folder = exported.folder / "exports" / "tiny-ast" / source
        for path in folder.rglob("*.jsonl*"):
            table = path.name.partition(".")[0] if path.parent == folder else path.parent.name
            for line in lines(path):
                check_row(table, line)
        (about,), (model,) = lines(folder / "source.jsonl"), lines(folder / "model.jsonl")
        (source_set,), (release,) = lines(folder / "sourceset.jsonl"), lines(folder / "release.jsonl")
        assert about["id"] == source == f"{source.partition('-')[0]}-{source_set['name']}"
        assert about["setName"] == source_set["name"] and source_set["releaseName"] == release["name"]
        assert {about["modelId"], source_set["modelId"], model["id"]} == {"tiny-ast"}
        activations = lines(folder / "activations" / "batch-0.jsonl.gz")
        features = lines(folder / "features" / "batch-0.jsonl.gz")
        assert {row["index"] for row in activations} == {row["index"] for row in features}
        assert len({row["id"] for row in activations}) == len(activations)
        assert {row["layer"] for row in activations + features} == {source}
        uploaded = batches(exported)[source]["features"]
        assert [each["values"] for feature in uploaded for each in feature["activations"]] == [
            row["values"] for row in activations
        ]
    assert not any(str(exported.folder.parent).encode() in path.read_bytes() for path in exported.batches)


def test_the_same_units_give_the_same_bytes(
    dissection: Dissection, exported: NeuronpediaExport, tmp_path: Path
) -> None:
    again = export_neuronpedia(dissection, tmp_path / "again", UNITS, progress=False)  # the curves are there: no model
    files = [path.relative_to(exported.folder) for path in exported.folder.rglob("*.*") if path.is_file()]
    assert len(files) > 10
    assert all((again.folder / path).read_bytes() == (exported.folder / path).read_bytes() for path in files)


def test_without_units_it_is_the_most_selective_ones(dissection: Dissection, tmp_path: Path) -> None:
    written = export_neuronpedia(
        dissection, tmp_path / "out", best=3, most=1, data=dissected_sounds(), device="cpu", progress=False
    )
    assert set(written.units) == {(row.site, row.unit) for row in dissection.best(3)}
    assert all(len(each["activations"]) == 1 for batch in batches(written).values() for each in batch["features"])


def test_what_it_cannot_have_is_refused(dissection: Dissection, tmp_path: Path) -> None:
    outside = small_dissection(tmp_path / "bare")
    vars(outside.manifest)["sites"] = tuple(
        type(site)(**{**vars(site), "layer": None}) for site in outside.manifest.sites
    )
    with pytest.raises(ValueError, match=r"'first' lies in none: choose sites in blocks"):
        export_neuronpedia(outside, tmp_path / "out", ["first:1"])
    with pytest.raises(DissectionError, match="no unit to export"):
        export_neuronpedia(outside, tmp_path / "out")
    with pytest.raises(DissectionError, match="was not dissected"):
        export_neuronpedia(dissection, tmp_path / "out", ["blocks.9.mlp.hook_post:1"])
    with pytest.raises(DissectionError, match="is there and not empty"):
        export_neuronpedia(dissection, tmp_path, UNITS)
    assert not (tmp_path / "out").exists()
