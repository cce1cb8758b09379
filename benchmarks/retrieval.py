"""Can an explanation be traced back to its unit among twenty of its layer, by someone who never saw the unit?

An independent matcher, a text encoder that had no part in the explaining, reads an explanation and the captions of
clips that the explaining never saw. Over those clips, the cosine of explanation and caption is correlated with the
activation of the explanation's unit and with those of 19 other explained units of the same site, drawn at random. The
explanation is traced back if its own unit correlates the most: by chance in 1 of 20 cases.

    python -m benchmarks.retrieval EXPLAINED HELD_OUT --encoder sentence-transformers:REPO [--name NAME]
        [--summarizer NAME] [--captioner NAME] [-k K] [--against FILE.json]

EXPLAINED is a dissection, HELD_OUT one of the same model over other clips, with `keep_activations`; its clips' captions
are the dataset's own, or those of `--captioner`. Without `--summarizer` the summaries that EXPLAINED holds are tested,
whatever made them, so that summarizers of other versions can be compared: explain with each, measure each into a file
of its own with `--out`, and name the other file with `--against`.

A statement of an explanation counts by the share of clips that it was said of, as it does where claims are tested.
Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from and_nnsight import Dissection, plugins
from and_nnsight.explain import caption, explain
from and_nnsight.explain.evaluate.claims import Claim
from and_nnsight.explain.records.reading import read_table, table_settings
from and_nnsight.explain.roles import TextEncoder
from benchmarks._report import write_report

CANDIDATES = 20
DRAWS = 5
"""Sets of other units that each explanation is told from."""
TARGETS = {"chance": 1 / CANDIDATES}

Row = dict[str, Any]


def measure(
    explained: Dissection, held_out: Dissection, encoder: TextEncoder, *, table: str = "calibrated", seed: int = 0
) -> list[Row]:
    """One row a site: explained units, share of distinct explanations, share traced back among 20."""
    captions = _captions(held_out)
    clips = sorted(captions)
    embedded = _unit_length(encoder.encode([captions[clip] for clip in clips]))
    column = {"summaries": "highly", "calibrated": "calibrated"}[table]
    rows = []
    texts_of: dict[str, dict[int, str]] = {site: {} for site in explained.sites}
    for row in read_table(explained, table):
        if text := getattr(row, column):
            texts_of[row.site][row.unit] = text
    for site in explained.sites:
        activations = held_out.activations(site)
        if activations is None:
            raise SystemExit(f"{held_out.folder} keeps no activations: dissect it with --keep-activations")
        order = {clip: place for place, clip in enumerate(sorted(held_out.clips))}
        kept = np.asarray(activations[[order[clip] for clip in clips]], np.float64)
        rows.append(_of_site(site, texts_of[site], embedded, kept, encoder, np.random.default_rng(seed)))
    return rows


def _of_site(
    site: str,
    texts: Mapping[int, str],
    captions: Float[np.ndarray, "clip dim"],
    activations: Float[np.ndarray, "clip unit"],
    encoder: TextEncoder,
    random: np.random.Generator,
) -> Row:
    ideas = {unit: "\n".join(sorted(Claim(site, unit, "explanation", text).gist)) for unit, text in texts.items()}
    row = {"site": site, "explained": len(texts), "of": activations.shape[1],
           "distinct": len(set(ideas.values())) / max(1, len(ideas))}  # fmt: skip
    units = [unit for unit in texts if activations[:, unit].std() > 0]
    row["asked"] = len(units)
    if len(units) < CANDIDATES:
        return row | {"traced": None, "lowest": None, "highest": None}
    claimed = _standardised(_similarities([texts[unit] for unit in units], captions, encoder))
    scores = claimed.T @ _standardised(activations[:, units]) / len(captions)  # [explanation, unit]
    right = []
    for place in range(len(units)):
        others = np.delete(np.arange(len(units)), place)
        for _ in range(DRAWS):
            rivals = random.choice(others, CANDIDATES - 1, replace=False)
            right.append(bool(scores[place, place] > scores[place, rivals].max()))
    share = float(np.mean(right))
    lowest, highest = wilson(share, len(units))  # draws of the same explanation are not independent
    return row | {"traced": share, "lowest": lowest, "highest": highest}


def _similarities(
    texts: Sequence[str], captions: Float[np.ndarray, "clip dim"], encoder: TextEncoder
) -> Float[np.ndarray, "clip text"]:
    """How well each explanation fits each caption: the cosines of its statements, by their share of the clips."""
    parts = [Claim("", 0, "explanation", text).parts for text in texts]
    ideas = sorted({idea for said in parts for idea, _ in said})
    near = captions @ _unit_length(encoder.encode(ideas)).T
    place = {idea: at for at, idea in enumerate(ideas)}
    return np.stack([sum(weight * near[:, place[idea]] for idea, weight in said) for said in parts], 1)


def wilson(share: float, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share."""
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * (share * (1 - share) / of + z**2 / (4 * of**2)) ** 0.5
    return middle - half, middle + half


def _captions(held_out: Dissection) -> dict[int, str]:
    if (held_out.folder / "explanations" / "captions.parquet").exists():
        rows = read_table(held_out, "captions")
        return {row.clip: row.caption for row in rows if row.caption and row.start is None}
    return {clip: row.caption for clip, row in held_out.clips.items() if row.caption}


def _unit_length(vectors: Float[np.ndarray, "text dim"]) -> Float[np.ndarray, "text dim"]:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _standardised(columns: Float[np.ndarray, "clip n"]) -> Float[np.ndarray, "clip n"]:
    centred = columns - columns.mean(0)
    deviation = centred.std(0)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)


def overall(rows: Sequence[Row]) -> Row:
    """All sites together, each unit counting alike."""
    told = [row for row in rows if row["traced"] is not None]
    units = sum(row["explained"] for row in told)
    share = sum(row["traced"] * row["explained"] for row in told) / max(1, units)
    lowest, highest = wilson(share, max(1, units))
    every = sum(row["explained"] for row in rows)
    distinct = sum(row["distinct"] * row["explained"] for row in rows) / max(1, every)
    return {"site": "all", "explained": every, "of": sum(row["of"] for row in rows), "distinct": distinct,
            "traced": share, "lowest": lowest, "highest": highest}  # fmt: skip


def print_rows(rows: Sequence[Row], earlier: Mapping[str, Row]) -> None:
    """A table, with the shares of an earlier file beside."""
    table = Table("site", "explained", "distinct", "before", "traced", "before", title=f"chance {1 / CANDIDATES:.0%}")
    for row in rows:
        before = earlier.get(row["site"], {})
        traced = "" if row["traced"] is None else f"{row['traced']:.1%} ({row['lowest']:.1%} to {row['highest']:.1%})"
        table.add_row(row["site"], f"{row['explained']:,} of {row['of']:,}", f"{row['distinct']:.1%}",
                      _percent(before.get("distinct")), traced, _percent(before.get("traced")))  # fmt: skip
    Console(width=140).print(table)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _explained_anew(folder: Path, copy: Path, options: argparse.Namespace) -> Dissection:
    """A copy of a dissection, explained as asked for: the one that is named is left as it is."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("explanations"))
    dissection = Dissection.load(copy)
    more = {} if options.k is None else {"k": options.k}
    explain(dissection, captioner=options.captioner, summarizer=options.summarizer, progress=False, **more)
    return dissection


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("explained", type=Path, help="a dissection")
    parser.add_argument("held_out", type=Path, help="the same model over other clips, with --keep-activations")
    parser.add_argument("--encoder", required=True, help="the matcher: sentence-transformers:REPO")
    parser.add_argument("--name", default="model", help="what the model is called in the file")
    parser.add_argument("--summarizer", help="explain a copy with this one; else: what the folder holds")
    parser.add_argument("--captioner", help="of the explaining and of the held-out clips; else: the dataset's captions")
    parser.add_argument("-k", type=int, help="exemplars a unit, where it is explained here")
    parser.add_argument("--table", choices=("summaries", "calibrated"), default="calibrated")
    parser.add_argument("--out", type=Path, help="file to add the numbers to; else: results/<device>/retrieval.json")
    parser.add_argument("--against", type=Path, help="a file of another run, to show beside")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    encoder, encoder_name = plugins.resolve("text encoder", options.encoder, device="cpu")
    with TemporaryDirectory() as folder:
        explained, held_out = Dissection.load(options.explained), Dissection.load(options.held_out)
        if options.summarizer is not None:
            explained = _explained_anew(options.explained, Path(folder) / "explained", options)
        if options.captioner is not None:
            copy = shutil.copytree(options.held_out, Path(folder) / "held-out")
            held_out = Dissection.load(copy)
            caption(held_out, options.captioner, every_clip=True, progress=False)
        rows = measure(explained, held_out, encoder, table=options.table)
        settings = table_settings(explained, "summaries")
    rows = [*rows, overall(rows)]
    earlier = json.loads(options.against.read_text()) if options.against else {"rows": []}
    print_rows(rows, {row["site"]: row for row in earlier["rows"]})
    if options.out is not None:
        options.out.write_text(json.dumps({"name": options.name, "summaries": settings, "rows": rows}, indent=1))
    elif not options.no_write:
        numbers = {
            "name": options.name,
            "matcher": encoder_name,
            "summaries": settings,
            "rows": rows,
            "before": earlier,
        }
        print(write_report("retrieval", torch.device("cpu"), numbers, TARGETS))


if __name__ == "__main__":
    main()
