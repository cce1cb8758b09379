"""Are the latents of a dictionary more interpretable than the neurons of its block?

    python -m benchmarks.latents EXPLAINED HELD_OUT --latents SITE --neurons SITE --encoder sentence-transformers:REPO
        [--training DIR] [--out FILE.json]

EXPLAINED is a dissection of both sites, explained; HELD_OUT one of the same sites over other clips, which neither the
dictionary nor the explaining saw, with `keep_activations`; its clips' captions are the dataset's own. Per site:

dead       share of the units that are 0 on every clip of EXPLAINED
explained  units with an explanation that survived
asked      those of them whose value differs between held-out clips: of the others nothing can be told
traced     share of these that are traced back by their explanation among 20 of their own site (see `retrieval`)
purity     of the five highest clips that are evidence, the share of the most common class, over units that have five
moment     share of those units that fire in all five within five frames of one another, behind the tenth: at a place
           in the window, whatever is heard there

Rivals are of the same site: neurons that all fire for the same are harder to tell apart, and that they do is a part of
what is asked. Intervals are Wilson's for `traced` and a bootstrap over units for `purity`, 95 %; those of the
difference are Newcombe's, and a bootstrap. `--control EXPLAINED HELD_OUT` are the same of a dictionary that nobody
trained: what being sparse and many does alone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from and_nnsight import Dissection, plugins
from benchmarks._report import write_report
from benchmarks.retrieval import CANDIDATES, Row, measure

_HIGHEST, _DRAWS = 5, 2000
_NEAR, _ONSET = 5, 10  # frames


def highest_five(dissection: Dissection, site: str) -> tuple[np.ndarray, np.ndarray]:
    """Clips and frames, [unit, 5], of the units that have five exemplars that are evidence."""
    evidence = dissection.evidence(site, "top")
    ranked, telling = evidence.ranked, evidence.telling.numpy()
    units = [(unit, np.flatnonzero(told)[:_HIGHEST]) for unit, told in enumerate(telling.T)]
    places = [(unit, first) for unit, first in units if len(first) == _HIGHEST]
    clips, frames = ranked.clips.numpy(), ranked.frames.numpy()
    return (
        np.array([clips[first, unit] for unit, first in places]),
        np.array([frames[first, unit] for unit, first in places]),
    )


def purities(dissection: Dissection, clips: np.ndarray) -> Float[np.ndarray, " unit"]:
    """Of each row of clips the share of the most common class."""
    labels = [[dissection.clips[int(clip)].label for clip in row] for row in clips]
    return np.array([Counter(row).most_common(1)[0][1] / _HIGHEST for row in labels])


def at_one_moment(frames: np.ndarray) -> float:
    """Share of the rows of frames that lie within five of one another, behind the tenth."""
    return float(((np.ptp(frames, 1) <= _NEAR) & (frames.min(1) > _ONSET)).mean())


def chance_purity(dissection: Dissection, random: np.random.Generator) -> float:
    """The same of five clips drawn at random."""
    labels = [row.label for row in dissection.clips.values()]
    drawn = [random.choice(len(labels), _HIGHEST, replace=False) for _ in range(_DRAWS)]
    return float(np.mean([max(Counter(labels[at] for at in five).values()) / _HIGHEST for five in drawn]))


def means(shares: Float[np.ndarray, " unit"], random: np.random.Generator) -> Float[np.ndarray, " draw"]:
    """Bootstrap means over units."""
    return shares[random.integers(0, len(shares), (_DRAWS, len(shares)))].mean(1)


def difference(one: Row, other: Row) -> dict[str, float]:
    """Share traced back of one site less that of another, with Newcombe's interval."""
    between = one["traced"] - other["traced"]
    below = np.hypot(one["traced"] - one["lowest"], other["highest"] - other["traced"])
    above = np.hypot(one["highest"] - one["traced"], other["traced"] - other["lowest"])
    return {"difference": between, "lowest": between - float(below), "highest": between + float(above)}


def describe(explained: Dissection, held_out: Dissection, encoder: Any) -> tuple[dict[str, Row], dict[str, Any]]:
    """A row a site, and the bootstrap draws of its mean purity."""
    random = np.random.default_rng(0)
    rows = {row["site"]: row for row in measure(explained, held_out, encoder)}
    draws = {}
    for site, row in rows.items():
        clips, frames = highest_five(explained, site)
        shares = purities(explained, clips)
        draws[site] = means(shares, random)
        lowest, highest = np.quantile(draws[site], (0.025, 0.975))
        row["dead"] = float((explained[site].top.values[0] <= 0).float().mean())
        row["purity"] = {"mean": shares.mean(), "lowest": lowest, "highest": highest, "units": len(shares)}
        row["all five of one class"] = float((shares == 1).mean())
        row["moment"] = at_one_moment(frames)
    return rows, draws


def compare(explained: Dissection, held_out: Dissection, encoder: Any, latents: str, neurons: str) -> dict[str, Any]:
    """The rows of both sites and their differences."""
    rows, draws = describe(explained, held_out, encoder)
    lowest, highest = np.quantile(draws[latents] - draws[neurons], (0.025, 0.975))
    between = rows[latents]["purity"]["mean"] - rows[neurons]["purity"]["mean"]
    return {
        "rows": list(rows.values()),
        "traced, latents less neurons": difference(rows[latents], rows[neurons]),
        "purity, latents less neurons": {"difference": between, "lowest": lowest, "highest": highest},
        "purity by chance": chance_purity(explained, np.random.default_rng(0)),
        "traced by chance": 1 / CANDIDATES,
    }


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latents", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("explained", type=Path, help="a dissection of both sites, explained")
    parser.add_argument("held_out", type=Path, help="the same over other clips, with --keep-activations")
    parser.add_argument("--latents", required=True, help="the site of the dictionary's latents")
    parser.add_argument("--neurons", required=True, help="the site that they are compared with")
    parser.add_argument("--encoder", required=True, help="the matcher: sentence-transformers:REPO")
    parser.add_argument("--training", type=Path, help="and_nnsight_training.json of the dictionary, to keep beside")
    parser.add_argument(
        "--control", type=Path, nargs=2, help="both dissections, of a dictionary with random directions"
    )
    parser.add_argument("--note", default="", help="what else is to be said of the numbers")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    encoder, name = plugins.resolve("text encoder", options.encoder, device="cpu")
    explained, held_out = Dissection.load(options.explained), Dissection.load(options.held_out)
    numbers = compare(explained, held_out, encoder, options.latents, options.neurons)
    clips = {"explained": len(explained.clips), "held out": len(held_out.clips)}
    numbers |= {"note": options.note, "matcher": Path(name).name, "clips": clips}
    if options.control is not None:
        here, elsewhere = map(Dissection.load, options.control)
        rows, _ = describe(here, elsewhere, encoder)
        ours = next(row for row in numbers["rows"] if row["site"] == options.latents)
        numbers["control"] = list(rows.values())
        numbers["traced, latents less control"] = difference(ours, numbers["control"][0])
    if options.training is not None:
        training = json.loads(options.training.read_text(encoding="utf-8"))
        kept = ("site", "held_out", "train", "frames", "seconds", "versions")
        numbers["training"] = {key: training[key] for key in kept} | {"settings": training["of"]["settings"]}
    print(json.dumps(numbers, indent=1, default=float))
    if not options.no_write:
        print(write_report("latents", torch.device("cpu"), json.loads(json.dumps(numbers, default=float)), {}))


if __name__ == "__main__":
    main()
