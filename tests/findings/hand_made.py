"""Dissections written by hand, whose findings can be told by looking: any sites, the highest clips and the words given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch
from matplotlib.figure import Figure

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.files import site_file
from and_nnsight.dissection.manifest import FORMAT_VERSION
from and_nnsight.explain.records.description_rows import CalibratedRow, CaptionRow, ConceptRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.storage import write_json, write_tensors

Site = tuple[str, int | None, int]
"""Name, layer, width."""
ACOUSTIC = frozenset("loud soft bright high-pitched low-pitched noisy musical".split())
TIED = "tied"


def written_dissection(
    folder: Path,
    sites: Sequence[Site],
    captions: Sequence[str],
    top: Mapping[tuple[str, int], Any] | None = None,
    k: int = 5,
    values: Mapping[tuple[str, int], Sequence[float]] | None = None,
) -> Dissection:
    """A dissection whose units have given highest clips (else clips 0 to k − 1); TIED: those, all of one value.

    values  a unit's activations at those clips, highest first (else 10, 9, 8 …, which all are evidence); its mean is 1
    """
    (folder / "sites").mkdir(parents=True)
    (folder / "quarantine.jsonl").touch()
    frames = {"kind": "regular", "special_tokens": 0, "hop": 0.02, "span": 0.02}
    entries = [
        {"name": name, "path": name, "side": "output", "width": width, "layer": layer, "frames": frames}
        for name, layer, width in sites
    ]
    manifest = {"format_version": FORMAT_VERSION, "state": "complete", "sites": entries, "k": k, "clips": len(captions)}
    manifest["dataset"] = {"kind": "folder", "name": "sounds", "split": None, "fingerprint": "sounds", "limit": None}
    write_json(folder / "manifest.json", manifest)
    for name, _, width in sites:
        chosen = [(top or {}).get((name, unit), range(k)) for unit in range(width)]
        clips = np.array([list(range(k)) if one == TIED else list(one) for one in chosen]).T
        steps = np.array([np.zeros(k) if one == TIED else np.arange(k) for one in chosen]).T
        tensors: dict[str, torch.Tensor] = {
            "count": torch.tensor(len(captions)),
            "nonfinite": torch.tensor(0),
            "finite": torch.full((width,), len(captions)),
        }
        tensors |= {stat: torch.ones(width) for stat in ("mean", "variance", "active")}
        for side, sign in (("top", 1), ("bottom", -1)):
            tensors[f"{side}_values"] = torch.tensor(sign * (10 - steps), dtype=torch.float32).contiguous()
            for (site, unit), own in (values or {}).items():
                if site == name and side == "top":
                    tensors["top_values"][:, unit] = torch.tensor(own)
            tensors[f"{side}_clips"] = torch.tensor(clips, dtype=torch.int64).contiguous()
            tensors[f"{side}_frames"] = torch.zeros(k, width, dtype=torch.int32)
            tensors[f"{side}_ties"] = torch.zeros(width, dtype=torch.int64)
        write_tensors(site_file(folder, name), tensors)
    rows = [
        {"clip": clip, "path": f"{clip}.wav", "label": "x", "caption": caption, "seconds": 1.0, "sampling_rate": 16_000}
        for clip, caption in enumerate(captions)
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "clips.parquet")
    dissection = Dissection.load(folder)
    with Table(dissection, CaptionRow, {"captioner": "test"}) as table:
        table.add(
            CaptionRow(clip, caption=caption or None, raw=caption, background=None)
            for clip, caption in enumerate(captions)
        )
    return dissection


def with_words(
    dissection: Dissection, words: Mapping[tuple[str, int], Mapping[str, Sequence[str]] | str | None]
) -> Dissection:
    """Explanations: a unit's words by part of speech; "": calibration left nothing; None: there is no summary.

    Units that are not given were never explained. Adjectives are acoustic if they are in `ACOUSTIC`.
    """
    with Table(dissection, CalibratedRow, {"threshold": 0.6}) as table:
        table.add(
            CalibratedRow(
                site, unit, None if said is None else "Something." if said else "", ["Something."] if said else [],
                [], "no summary" if said is None else None, "",
            )
            for (site, unit), said in words.items()
        )  # fmt: skip
    with Table(dissection, ConceptRow, {"calibrated": {"threshold": 0.6}}) as table:
        table.add(
            ConceptRow(
                site, unit, word, part, 1 + len(word) % 2, word in ACOUSTIC if part == "adjective" else None
            )
            for (site, unit), said in words.items() if said
            for part, several in said.items() for word in several
        )  # fmt: skip
    return dissection


def shuffled(dissection: Dissection, seed: int = 1) -> None:
    """Put the rows of every explanation in another order."""
    for path in (dissection.folder / "explanations").glob("*.parquet"):
        table = parquet.read_table(path)
        order = np.random.default_rng(seed).permutation(table.num_rows)
        parquet.write_table(table.take(order).replace_schema_metadata(table.schema.metadata), path)


def adjectives(*words: str) -> dict[str, list[str]]:
    return {"adjective": list(words), "noun": ["bell"]}


def texts(figure: Figure) -> list[str]:
    """Every text of a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]
