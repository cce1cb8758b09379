"""A hub that answers without a network."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from tests.data.small_sources import audio_dataset


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The dataset library's own streaming, from local parquet files; gives the arguments it was called with."""
    files = {}
    for split, count in {"train": 5, "test": 2}.items():
        files[split] = str(tmp_path / f"{split}.parquet")
        audio_dataset(count).to_parquet(files[split])
    real, calls = datasets.load_dataset_builder, []

    def builder(name: str, config: str | None = None):
        calls.append((name, config))
        if name == "org/one-split":
            return real("parquet", data_files={"test": files["test"]}, cache_dir=str(tmp_path / "cache"))
        return real("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    return calls
