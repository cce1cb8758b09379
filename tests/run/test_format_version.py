"""A dissection of another format is refused by name, never read as if it were of this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.dissection.manifest import FORMAT_VERSION, read_manifest
from tests.findings.hand_made import written_dissection

CAPTIONS = ["A bell."] * 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written_dissection(tmp_path / "run", [("blocks.0.mlp.hook_post", 0, 2)], CAPTIONS).folder


def rewrite(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}), encoding="utf-8")


def test_the_format_of_this_package_is_read(folder: Path) -> None:
    assert Dissection.load(folder).sites == ("blocks.0.mlp.hook_post",)
    manifest = read_manifest(folder)
    assert manifest is not None and manifest.to_json()["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, FORMAT_VERSION + 1, str(FORMAT_VERSION), None])
def test_another_format_is_refused_by_both_versions(folder: Path, version: object) -> None:
    rewrite(folder, format_version=version)
    said = f"has format version {version}; this package reads version {FORMAT_VERSION}"
    for read in (Dissection.load, read_manifest):
        with pytest.raises(DissectionError, match=said):
            read(folder)


def test_a_run_does_not_go_on_in_a_folder_of_another_format(folder: Path) -> None:
    from and_nnsight import dissect
    from and_nnsight.demo import make_sounds, tiny_ast_path

    rewrite(folder, format_version=FORMAT_VERSION + 1)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(DissectionError, match=f"has format version {FORMAT_VERSION + 1}"):
        dissect(str(tiny_ast_path()), list(make_sounds(1))[:4], "blocks.0.mlp.hook_post", 2, out=folder, device="cpu",
                progress=False)  # fmt: skip
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before, "nothing of it was touched"
