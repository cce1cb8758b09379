"""What of a folder is the dissection's own, by name: all else that lies there is somebody's, and stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

_PARTS = (
    "manifest.json",
    "clips.parquet",
    "quarantine.jsonl",
    "config.toml",
    "sums.safetensors",
    "sites/*.safetensors",
    "activations/*.npy",
    "explanations/*.parquet",
    "explanations/earlier/*.parquet",
    "explanations/embeddings-*.safetensors",
    "concepts/*.safetensors",
    "concepts/frames/*.safetensors",
    "exemplars/curves/*.safetensors",
    *(f"findings/*.{kind}" for kind in ("json", "parquet", "csv", "png", "pdf")),
)
_PARTS_WITH_SOUND = (
    "exemplars/sounds/*.flac",
    "exemplars/maps/*/*.safetensors",
    "*.html",  # a report has its sounds within
)


def shared_files(folder: Path, audio: bool) -> list[Path]:
    """The files of a dissection that are handed on, in order; with `audio` those that hold sound, too."""
    parts = (*_PARTS, *_PARTS_WITH_SOUND) if audio else _PARTS
    found = {path for part in parts for path in folder.glob(part) if path.is_file() and not path.name.startswith(".")}
    return sorted(found)


def left_out(folder: Path, shared: Sequence[Path]) -> list[str]:
    """What else is in the folder, a folder of which nothing is shared as one; not what is hidden."""
    return list(_others(folder, folder, set(shared), {parent for path in shared for parent in path.parents}))


def _others(folder: Path, inside: Path, shared: set[Path], holders: set[Path]) -> Iterator[str]:
    for path in sorted(inside.iterdir()):
        if path.name.startswith(".") or path in shared:
            continue
        name = path.relative_to(folder).as_posix()
        if path in holders:
            yield from _others(folder, path, shared, holders)
        elif not path.is_dir():
            yield name
        elif any(path.iterdir()):
            yield f"{name}/"
