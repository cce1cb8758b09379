"""What a run on a server costs: `python -m benchmarks.remote [--model FOLDER --data FOLDER --clips N]`.

The same clips through the same model here and through the loopback NDIF of the tests (a process of its own, without
our package): seconds against the local run's, bytes on the wire both ways against the bytes of the activations, and
whether ids and values agree; in both ways of gathering, with samples and with features going up, and with a server that
runs in bfloat16. By default the embedded model and generated sounds.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from and_nnsight import AudioModel, Dissection, dissect
from and_nnsight.demo import tiny_ast_path
from and_nnsight.remote import Remote
from and_nnsight.remote.payloads import Audio
from and_nnsight.remote.shapes import site_shapes
from benchmarks._generated_sounds import GeneratedSounds
from benchmarks._report import timed, write_report
from tests.remote.loopback import Loopback

CPU = torch.device("cpu")
TARGET_SHARE = 0.01
TARGET_DIFFERENCE = 1e-4
_WAYS: tuple[tuple[Literal["trace", "cache"], Audio, str], ...] = (
    ("trace", "exact", "float32"),
    ("cache", "exact", "float32"),
    ("trace", "features", "float32"),
    ("trace", "exact", "bfloat16"),
)


def main() -> None:
    """Run it, print a table, write the result file."""
    options = _options()
    data: Any = options.data or GeneratedSounds(options.clips)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = {"sites": options.sites, "k": options.k, "batch_size": 8, "limit": options.clips, "progress": False}
        here = timed(lambda: dissect(str(options.model), data, out=folder / "here", **run), CPU)
        activations = _activation_bytes(options.model, here.value)
        rows = []
        with Loopback(folder / "server") as server:
            for number, (gather, audio, dtype) in enumerate(_WAYS):
                server.reset()
                server.faults(dtype=dtype)
                settings = Remote(server.url, gather=gather, audio=audio, clips_per_job=options.clips_per_job)
                warm = {**run, "limit": 1}  # the server loads the model with the first job
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of bfloat16, which is measured here
                    dissect(str(options.model), data, out=folder / f"warm{number}", remote=settings, **warm)
                    server.reset()
                    server.faults(dtype=dtype)
                    there = timed(
                        lambda: dissect(str(options.model), data, out=folder / f"{number}", remote=settings, **run),  # noqa: B023
                        CPU,
                    )
                row = {"gather": gather, "audio": audio, "dtype": dtype, "seconds": round(there.wall, 2)}
                row["ratio_to_local"] = round(there.wall / here.wall, 2)
                row |= _traffic(server, there.value, activations)
                rows.append(row | _agreement(here.value, there.value))
    _print(rows, here.wall, activations)
    path = write_report(
        "remote",
        CPU,
        {
            "model": options.model.name,
            "data": options.data.name if options.data else "generated sounds",
            "clips": here.value.manifest.clips,
            "units": sum(here.value.widths().values()),
            "k": options.k,
            "local_seconds": round(here.wall, 2),
            "activation_bytes": activations,
            "ways": rows,
        },
        {"share_of_activations_sent_home": TARGET_SHARE, "largest_difference_float32": TARGET_DIFFERENCE},
    )
    print(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=tiny_ast_path(), help="folder of a checkpoint")
    parser.add_argument("--data", type=Path, help="folder of audio")
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--clips-per-job", type=int, default=128)
    parser.add_argument("--sites", default="paper")
    parser.add_argument("-k", type=int, default=16)
    return parser.parse_args()


def _activation_bytes(model: Path, dissection: Dissection) -> int:
    """What all activations at the sites take in float32: what would come home if nothing were reduced there."""
    opened = AudioModel(str(model))
    noise = torch.randn(opened.sampling_rate, generator=torch.Generator().manual_seed(0))
    shapes = site_shapes(opened, opened.sites(*dissection.sites), opened.featuriser([noise.numpy()]))
    return 4 * dissection.manifest.clips * sum(shape.numel() for shape in shapes.values())


def _traffic(server: Loopback, dissection: Dissection, activations: int) -> dict[str, Any]:
    log = server.log()
    jobs = log["jobs"]
    return {
        "jobs": len(jobs),
        "seconds_per_job": round(sum(job["seconds"] for job in jobs) / len(jobs), 2),
        "bytes_up": sum(job["bytes_in"] for job in jobs),
        "bytes_down": sum(job["bytes_out"] for job in jobs),
        "bytes_on_the_wire": log["total"],
        "bytes_up_a_clip": round(sum(job["bytes_in"] for job in jobs) / dissection.manifest.clips),
        "home_share_of_activations": round(sum(job["bytes_out"] for job in jobs) / activations, 6),
    }


def _agreement(here: Dissection, there: Dissection) -> dict[str, Any]:
    """How the two runs' top-K agree, over all sites."""
    pairs = [(here[site], there[site]) for site in here.sites]
    ids = torch.cat([(a.top.clips == b.top.clips).flatten() for a, b in pairs])
    ids = torch.cat([ids, *((a.bottom.clips == b.bottom.clips).flatten() for a, b in pairs)])
    apart = [(a.top.values - b.top.values).abs() for a, b in pairs]
    scale = torch.cat([a.top.values.abs().flatten() for a, _ in pairs]).median()
    return {
        "ids_equal": round(ids.double().mean().item(), 6),
        "largest_difference": float(f"{max(part.max().item() for part in apart):.3g}"),
        "median_difference": float(f"{torch.cat([part.flatten() for part in apart]).median().item():.3g}"),
        "median_activation": float(f"{scale.item():.3g}"),
    }


def _print(rows: Iterable[dict[str, Any]], local: float, activations: int) -> None:
    columns = ("gather, samples, dtype", "s", "to local", "s a job", "MB up", "MB home", "of all", "ids equal", "apart")
    table = Table(*columns, title=f"local: {local:.1f} s; all activations: {activations / 1e6:,.0f} MB", padding=0)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(
            f"{row['gather']}, {row['audio']}, {row['dtype']}", f"{row['seconds']:.1f}", f"{row['ratio_to_local']:.2f}",
            f"{row['seconds_per_job']:.2f}", f"{row['bytes_up'] / 1e6:.2f}", f"{row['bytes_down'] / 1e6:.2f}",
            f"{row['home_share_of_activations']:.2%}", f"{row['ids_equal']:.4f}", f"{row['largest_difference']:.2g}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
