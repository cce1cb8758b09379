"""Two dissections written by hand, of the same units over different clips: what is true of each unit is known.

Clips are of five kinds, which their captions name; how loud, long and bright they are has nothing to do with the kind.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.files import activation_file, site_file
from and_nnsight.dissection.manifest import FORMAT_VERSION
from and_nnsight.explain.acoustics import measuring
from and_nnsight.explain.acoustics.table import VERSION
from and_nnsight.explain.records.acoustics import Acoustics, AcousticsRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.explain.roles import Span
from and_nnsight.storage import write_json, write_tensors

KINDS = ("dog barking", "church bell", "rain falling", "siren wailing", "engine humming")
SITE, OTHER = "blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post"
UNITS = ("dog", "bell", "rain", "siren", "engine", "loud", "bright", "dark", "chance", "constant", "broken", "half")
"""Units of SITE, by what they do; of OTHER the first two, then chance. `broken` is a dog unit, NaN on the first clips."""
K = 6
MODEL = {"id": "m", "class": "C", "config": "1", "weights": "2", "features": "3", "edits": 0, "revision": None}


def written(
    folder: Path, seed: int, clips: int = 150, *, kept: bool = True, others: int = 2, **manifest: Any
) -> Dissection:
    """A dissection of clips that the seed settles; `manifest` replaces entries of its manifest."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(len(KINDS), size=clips)
    level, bright = rng.uniform(-50, -10, clips), rng.uniform(200, 6000, clips)
    fires = {name.split()[0]: (kinds == place) + 0.1 * rng.standard_normal(clips) for place, name in enumerate(KINDS)}
    values = {
        "dog": fires["dog"], "bell": fires["church"], "rain": fires["rain"], "siren": fires["siren"],
        "engine": fires["engine"], "loud": level / 10, "bright": np.log2(bright), "dark": -np.log2(bright),
        "chance": rng.standard_normal(clips), "constant": np.ones(clips), "broken": fires["dog"].copy(),
        "half": (kinds == 0) * 1.0,
    }  # fmt: skip
    values["broken"][:5] = np.nan
    table = np.stack([values[name] for name in UNITS], 1).astype(np.float32)
    folder.mkdir(parents=True)
    (folder / "sites").mkdir()
    (folder / "quarantine.jsonl").touch()
    more = rng.standard_normal((clips, others - 2)).astype(np.float32)
    tables = {SITE: table, OTHER: np.concatenate([table[:, :2], more], 1)}
    widths = {site: pooled.shape[1] for site, pooled in tables.items()}
    frames = {"kind": "clip", "special_tokens": 0}
    sites = [
        {"name": name, "path": name, "side": "output", "width": width, "layer": layer, "frames": frames}
        for layer, (name, width) in enumerate(widths.items())
    ]
    dataset = {"kind": "sequence", "name": "list", "split": None, "fingerprint": f"data {seed}", "limit": None}
    dataset |= {"audio_column": "audio", "label_column": None, "caption_column": None}
    described = {
        "format_version": FORMAT_VERSION,
        "state": "complete",
        "sites": sites,
        "k": K,
        "pool": "max",
        "clips": clips,
    }
    described |= {"model": MODEL, "dataset": dataset, "keep_activations": kept}
    write_json(folder / "manifest.json", described | manifest)
    for site, pooled in tables.items():
        write_tensors(site_file(folder, site), _statistics(pooled))
        if kept:
            (folder / "activations").mkdir(exist_ok=True)
            np.save(activation_file(folder, site), pooled)
    rows = [
        {"clip": clip, "path": None, "label": KINDS[kind], "seconds": 2.0, "sampling_rate": 16_000,
         "content": hashlib.blake2b(f"{seed} {clip}".encode(), digest_size=8).hexdigest(),
         "caption": f"A recording of {KINDS[kind]} in the {rng.choice(['street', 'house', 'field'])}."}
        for clip, kind in enumerate(kinds)
    ]  # fmt: skip
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "clips.parquet")
    dissection = Dissection.load(folder)
    settings = {"sampling_rate": measuring.SAMPLING_RATE, "version": VERSION}
    with Table(dissection, AcousticsRow, settings) as acoustics:
        acoustics.add(AcousticsRow.of(Span(clip), _measured(level[clip], bright[clip])) for clip in range(clips))
    return dissection


def _statistics(values: np.ndarray) -> dict[str, torch.Tensor]:
    known = np.nan_to_num(values, nan=-np.inf)
    order = np.argsort(-known, 0, kind="stable")[:K]
    bottom = np.argsort(np.nan_to_num(values, nan=np.inf), 0, kind="stable")[:K]
    found = {
        "count": torch.tensor(len(values)),
        "nonfinite": torch.tensor(0),
        "finite": torch.from_numpy(np.isfinite(values).sum(0)),
        "mean": torch.from_numpy(np.nanmean(values, 0)),
        "variance": torch.from_numpy(np.nanvar(values, 0)),
        "active": torch.from_numpy((np.nan_to_num(values) > 0).mean(0).astype(np.float32)),
    }
    for side, places in (("top", order), ("bottom", bottom)):
        found[f"{side}_values"] = torch.from_numpy(np.take_along_axis(values, places, 0))
        found[f"{side}_clips"] = torch.from_numpy(places)
        found[f"{side}_frames"] = torch.full(places.shape, -1, dtype=torch.int32)
        border = found[f"{side}_values"][-1].numpy()
        found[f"{side}_ties"] = torch.from_numpy(
            (values == border).sum(0) - (found[f"{side}_values"].numpy() == border).sum(0)
        )
    return found


def _measured(level: float, bright: float) -> Acoustics:
    fields = dict.fromkeys(Acoustics.__dataclass_fields__, 0.0)
    fields |= {
        "seconds": 2.0,
        "level_dbfs": level,
        "loudest_dbfs": level + 6.0,
        "brightness_hz": bright,
        "sound_seconds": 1.5,
    }
    return Acoustics(**{**fields, "silence_share": 0.2, "onsets": 1})
