"""The manifest is written as it was read, in one order, and an entry that is none is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from and_nnsight.dissection.descriptions import AT_SERVER, ModelDescription
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.dissection.manifest import COMPLETE, Manifest, read_manifest
from and_nnsight.dissection.manifest_differences import differences
from and_nnsight.storage import as_json, write_json

WRITTEN: dict[str, Any] = {
    "format_version": 3,
    "versions": {"and_nnsight": "0.1.0", "torch": "2.11"},
    "model": {
        "id": "m", "revision": None, "class": "C", "edits": 0, "config": "c", "weights": "w", "structure": "s",
        "features": "f", "through": "a bridge",
    },
    "dataset": {
        "kind": "folder", "name": "sounds", "split": None, "fingerprint": "d",
        "unused": [{"reason": "not sound", "count": 2, "example": "a.txt", "sound": False}],
        "limit": None, "audio_column": "audio", "label_column": None, "caption_column": "text",
    },
    "sites": [
        {"name": "unembed.hook_out", "path": "head", "side": "output", "width": 3, "layer": None,
         "frames": {"kind": "clip", "special_tokens": 0}},
    ],
    "k": 4, "pool": "max", "dtype": "float32",
    "concepts": {"fingerprint": "s", "method": "labels", "count": 2},
    "keep_activations": False,
    "remote": {"jobs": 1},
    "clips": 5, "quarantined": 1, "truncated": 0, "silent": 0, "copies": 0,
    "checksums": {"clips.parquet": "0123"},
    "state": "complete",
}  # fmt: skip
_OF_A_COMPLETE_RUN = ("clips", "quarantined", "truncated", "silent", "copies", "checksums")


def test_what_was_written_comes_back_byte_for_byte() -> None:
    running = {name: value for name, value in WRITTEN.items() if name not in _OF_A_COMPLETE_RUN} | {"state": "running"}
    local = {name: value for name, value in WRITTEN.items() if name != "remote"} | {"concepts": None}
    for written in (WRITTEN, running, local, running | {"dtype": None}):
        assert as_json(Manifest.from_json(written).to_json(), 2) == as_json(written, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "done"}, "its state is 'done'"),
        ({"sites": []}, "it names no sites"),
        ({"sites": [{"width": 3}]}, "a site has no name"),
        ({"sites": [{"name": "a.b", "width": "3"}]}, "the width of 'a.b' is '3'"),
        ({"sites": [{"name": "a.b", "width": 3, "frames": "all"}]}, "the frames of 'a.b' are 'all'"),
        ({"sites": 2 * WRITTEN["sites"]}, "it names 'unembed.hook_out' twice"),
        ({"k": 0}, "k is 0"),
        ({"clips": True}, "clips is True"),
        ({"model": "ast"}, "model is 'ast'"),
        ({"dataset": []}, r"dataset is \[\]"),
        ({"dataset": {"limit": "all"}}, "the limit of the dataset is 'all'"),
        ({"dataset": {"unused": [{"why": 1}]}}, "what is unused of the dataset cannot be understood"),
        ({"versions": "new"}, "versions is 'new'"),
    ],
)
def test_an_entry_of_another_form_is_named_with_its_file(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write_json(tmp_path / "manifest.json", WRITTEN | changes)
    with pytest.raises(DissectionError, match=rf"manifest\.json has been damaged or edited by hand \({words}"):
        read_manifest(tmp_path)


def test_a_complete_run_says_how_many_clips_there_are(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {name: value for name, value in WRITTEN.items() if name != "clips"})
    with pytest.raises(DissectionError, match="it does not say how many clips there are, and k"):
        read_manifest(tmp_path)


def test_what_is_lacking_has_its_default() -> None:
    least = {"state": COMPLETE, "sites": [{"name": "a.b", "width": 2}], "k": 1, "clips": 0}
    manifest = Manifest.from_json(least)
    assert (manifest.model, manifest.concepts, manifest.keep_activations) == (ModelDescription(), None, False)
    assert manifest.dataset.fingerprint == "unknown"
    assert Manifest.from_json(json.loads(as_json(manifest.to_json()))) == manifest


def test_differences_are_told_entry_by_entry() -> None:
    there = Manifest.from_json(WRITTEN)
    assert differences(there, there) == []
    here = replace(
        there,
        k=5,
        dtype=None,  # a server's: compared later
        model=replace(there.model, weights="x", edits=2),
        dataset=replace(there.dataset, fingerprint="e", split="test"),
        concepts=None,
        keep_activations=True,
        sites=(replace(there.sites[0], width=4),),
    )
    assert differences(there, here) == [
        "k is 4 there, 5 here",
        "other model weights",
        "model edits (hooks, replaced forwards or functions): 0 there, 2 here",
        "another dataset fingerprint: its clips, their order, files, labels or captions",
        "dataset split is None there, test here",
        "concept scores: some there, none here",
        "keep_activations is False there, True here",
        "1 site there, another here",
    ]
    half = replace(there, dtype="float16", model=replace(there.model, weights="x"))
    assert differences(there, half) == [f"dtype is {there.dtype} there, float16 here"], "the weights are others for it"
    away = replace(there, model=replace(there.model, weights=AT_SERVER))
    assert differences(there, away) == ["the model ran here, and is to run on a server now"]
