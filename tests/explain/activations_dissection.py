"""A dissection folder made of activations that are given, without a model: one site, K best clips of either end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.files import activation_file, site_file
from and_nnsight.dissection.manifest import FORMAT_VERSION
from and_nnsight.storage import write_json, write_tensors

SITE = "blocks.0.mlp.hook_post"


def activations_dissection(
    folder: Path,
    activations: np.ndarray,
    *,
    k: int,
    kept: bool = False,
    copies: Mapping[int, int] | None = None,
    labels: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    site: str = SITE,
) -> Dissection:
    """`activations` [clip, unit], finite. copies: clips that have the samples of another."""
    clips, units = activations.shape
    values = torch.from_numpy(np.asarray(activations, np.float32))
    k = min(k, clips)
    tensors: dict[str, torch.Tensor] = {
        "count": torch.tensor(clips),
        "nonfinite": torch.tensor(0),
        "finite": torch.full((units,), clips),
        "mean": values.double().mean(0).float(),
        "variance": values.double().var(0, correction=0).float(),
        "active": (values > 0).float().mean(0),
    }
    for side, sign in (("top", -1.0), ("bottom", 1.0)):
        order = (sign * values).sort(dim=0, stable=True).indices
        best = values.gather(0, order[:k])
        tensors[f"{side}_values"], tensors[f"{side}_clips"] = best, order[:k]
        tensors[f"{side}_frames"] = (order[:k] % 7).int()
        tensors[f"{side}_ties"] = (values == best[-1]).sum(0) - (best == best[-1]).sum(0)
    frames = {"kind": "regular", "special_tokens": 0, "hop": 0.1, "span": 0.1}
    entry = {"name": site, "path": site, "side": "output", "width": units, "layer": 0, "frames": frames}
    manifest = {
        "format_version": FORMAT_VERSION, "state": "complete", "sites": [entry], "k": k, "clips": clips, "keep_activations": kept,
        "dataset": {"name": "given", "fingerprint": "given"},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quarantine.jsonl").touch()
    rows = [
        {
            "clip": clip,
            "path": f"{clip}.wav",
            "label": labels[clip] if labels else f"label_{clip}",
            "caption": captions[clip] if captions else f"caption {clip}",
            "seconds": 1.0,
            "sampling_rate": 16_000,
            "content": str((copies or {}).get(clip, clip)),
            "silent": False,
        }
        for clip in range(clips)
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "clips.parquet")
    site_file(folder, site).parent.mkdir(exist_ok=True)
    write_tensors(site_file(folder, site), tensors)
    if kept:
        activation_file(folder, site).parent.mkdir(exist_ok=True)
        np.save(activation_file(folder, site), values.numpy())
    write_json(folder / "manifest.json", manifest)
    return Dissection.load(folder)
