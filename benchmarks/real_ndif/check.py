"""Runs our package against the real ndif and compares it with a local run.

    python -m benchmarks.real_ndif.check --server SERVER/bin/python [--model FOLDER --data FOLDER --clips N]

The same clips through the same model here and at the server: in float32 and bfloat16, with a key that is trusted and
with one whose code runs in ndif's sandbox, in both ways of gathering. Then the server is disturbed in the middle of a
run, and asked for what it refuses. By default the embedded model and generated sounds. SERVER: see README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nnsight.ndif
import torch
from rich.console import Console
from rich.table import Table

from and_nnsight import AudioModel, Dissection, dissect
from and_nnsight.demo import tiny_ast_path
from and_nnsight.remote import Remote, RemoteRunError
from and_nnsight.remote.shapes import site_shapes
from benchmarks._generated_sounds import GeneratedSounds
from benchmarks._report import timed, write_report
from benchmarks.real_ndif.run import RealNdif

# nnsight ships modules that are installed as editable, as this one may be, by itself; it ships none of a wheel's.
nnsight.ndif._PULLED_ENV = True

CPU = torch.device("cpu")
NOBODY = "00000000-0000-0000-0000-000000000000"
LOST_AFTER = 60.0  # seconds, and at least three times what a job took: what was lost with the server is sent again


def main() -> None:
    """Run it, print a table, write the result file."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))  # stop the servers first
    with tempfile.TemporaryDirectory() as scratch:
        check = Check(options, Path(scratch))
        ways = [check.way(dtype, key, gather) for dtype, key, gather in check.served()]
    _print(check, ways)
    dissection = check.here
    numbers = {
        "ndif": check.server_version,
        "model": options.model.name,
        "data": options.data.name if options.data else "generated sounds",
        "clips": dissection.manifest.clips,
        "units": sum(dissection.widths().values()),
        "sites": len(dissection.sites),
        "k": options.k,
        "batch_size": options.batch_size,
        "clips_per_job": options.clips_per_job,
        "local_seconds": round(check.local_seconds, 2),
        "activation_bytes": check.activations,
        "ways": ways,
        "disturbed": check.disturbed,
        "refused": check.refused,
    }
    if not options.no_write:
        targets = {"ids_equal_float32": 1.0, "largest_difference_float32": 1e-4, "share_of_activations_sent_home": 0.01}
        print(write_report("real_ndif", CPU, numbers | {"command": _command()}, targets))


class Check:
    """One local run, and runs of the same at servers."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.data: Any = options.data or GeneratedSounds(options.clips)
        self.runs, self.slowest = 0, 0.0
        self.server_version: dict[str, str] = {}
        self.disturbed: list[dict[str, Any]] = []
        self.refused: dict[str, str] = {}
        here = timed(lambda: self._dissect(None), CPU)
        self.here, self.local_seconds = here.value, here.wall
        self.activations = _activation_bytes(str(options.model), self.here)
        print(f"here: {here.wall:.1f} s")

    def served(self) -> Iterator[tuple[str, str, str]]:
        """Every dtype, kind of key and way of gathering, while a server of that dtype runs; then what goes wrong."""
        for dtype in self.options.dtypes:
            with RealNdif(self.options.server, dtype=dtype) as self.ndif:
                self._warm()
                for key, usual in (("trusted", "trace"), ("sandboxed", "cache")):
                    for gather in ("trace", "cache") if dtype == "float32" else (usual,):
                        yield dtype, key, gather
                if dtype == "float32" and not self.options.undisturbed:
                    self._disturb()
                    self._refuse()
        if not self.options.undisturbed:
            with RealNdif(self.options.server, timeout=0.01) as self.ndif:
                self.refused["a job that takes too long"] = self._said(self._remote("trusted"))

    def way(self, dtype: str, key: str, gather: Any) -> dict[str, Any]:
        """Seconds, bytes and agreement of one run; or why there was none."""
        row: dict[str, Any] = {"dtype": dtype, "key": key, "gather": gather}
        up, down = self.ndif.bytes_on_the_wire()
        try:
            there = timed(lambda: self._dissect(self._remote(key, gather=gather)), CPU)
        except RemoteRunError as error:
            print(row, error, self.ndif.output("worker"), flush=True)
            return row | {"failed": self._without_places(str(error))}
        wire = [after - before for after, before in zip(self.ndif.bytes_on_the_wire(), (up, down), strict=True)]
        row |= {"seconds": round(there.wall, 2), "ratio_to_local": round(there.wall / self.local_seconds, 2)}
        told = there.value.manifest.remote or {}
        row |= {name: told[name] for name in told if name not in ("url", "gather", "versions")}
        row |= {"wire_up": wire[0], "wire_down": wire[1]}
        row |= {"home_share_of_activations": round(wire[1] / self.activations, 6), **_agreement(self.here, there.value)}
        self.slowest = max(self.slowest, there.wall * self.options.batch_size / self.options.clips)
        print(row, flush=True)
        return row

    def _remote(self, key: str, **settings: Any) -> Remote:
        named = {"trusted": self.ndif.trusted_key, "sandboxed": self.ndif.sandboxed_key, "none": ""}
        given = {"clips_per_job": self.options.clips_per_job, "deadline": 900.0, **settings}
        return Remote(self.ndif.url, api_key=named.get(key, key), **given)

    def _dissect(self, remote: Remote | None, model: str | None = None, **changes: Any) -> Dissection:
        self.runs += 1
        options = self.options
        run = {"sites": options.sites, "k": options.k, "batch_size": options.batch_size, "limit": options.clips}
        out = self.folder / str(self.runs)
        given: dict[str, Any] = {**run, "progress": False, **({} if remote is None else {"remote": remote}), **changes}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bfloat16, which is measured here
            return dissect(model or str(options.model), self.data, out=out, **given)

    @property
    def _lost_after(self) -> float:
        """Seconds after which a job of one batch has ended, were it not lost; two are at the server at once."""
        return max(LOST_AFTER, 6 * self.slowest)

    def _warm(self) -> None:
        """The server loads the model with the first job, and its first sandbox with the second."""
        for key in ("trusted", "sandboxed"):
            with contextlib.suppress(RemoteRunError):  # the ways tell
                self._dissect(self._remote(key, gather="trace"), limit=1)
        self.server_version = {"ndif": self.ndif.installed("ndif"), "nnsight": self.ndif.installed("nnsight")}
        self.server_version["transformers"] = self.ndif.installed("transformers")

    def _disturb(self) -> None:
        fewer = min(self.options.disturbed_clips, self.options.clips)
        here = self._dissect(None, limit=fewer)
        kill = signal.SIGKILL
        for key, name, process, how in (
            ("trusted", "the model's process killed", "actor", kill),
            ("sandboxed", "the sandbox's process killed", "runner", kill),
            ("trusted", "the model evicted", "worker", signal.SIGUSR1),
            ("trusted", "the API killed", "api", kill),
            ("trusted", "dispatcher and model killed, and all jobs lost", "worker", kill),
        ):
            row: dict[str, Any] = {"what": name, "key": key}
            began = time.monotonic()
            try:
                dissection = self._dissect_disturbed(key, fewer, lambda each=process, by=how: self.ndif.kill(each, by))
            except RemoteRunError as error:
                row["failed"] = self._without_places(str(error))
            else:
                row["seconds"] = round(time.monotonic() - began, 1)
                row |= {count: (dissection.manifest.remote or {})[count] for count in ("jobs", "sent_again")}
                row |= _agreement(here, dissection)
            print(row, flush=True)
            self.disturbed.append(row)

    def _dissect_disturbed(self, key: str, clips: int, disturb: Callable[[], Any]) -> Dissection:
        """A run in which something happens once the first job's answer is home."""
        progress = self.folder / str(self.runs + 1)
        done = threading.Event()

        def wait() -> None:
            while not any(progress.rglob("state.safetensors")) and not done.wait(0.05):
                pass
            if not done.is_set():
                disturb()

        watcher = threading.Thread(target=wait)
        watcher.start()
        try:
            remote = self._remote(key, clips_per_job=self.options.batch_size, deadline=self._lost_after)
            return self._dissect(remote, limit=clips)
        finally:
            done.set()
            watcher.join()

    def _refuse(self) -> None:
        """What our client says where the server says no."""
        for name, key in (("no key", "none"), ("an unknown key", NOBODY), ("a malformed key", "key")):
            self.refused[name] = self._said(self._remote(key), limit=1)
        with tempfile.TemporaryDirectory() as gone:
            folder = Path(gone) / "model"
            shutil.copytree(self.options.model, folder)
            model = AudioModel(str(folder))
            model.to_model_key()
            for file in folder.glob("*"):
                file.unlink()
            self.refused["a model that the server cannot load"] = self._said(self._remote("trusted"), model, limit=1)
        small = self._remote("trusted", most_bytes_home=1000)
        self.refused["an answer that is too large"] = self._said(small, limit=1)

    def _said(self, remote: Remote, model: Any = None, **changes: Any) -> str:
        try:
            self._dissect(remote, model, **changes)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        else:
            said = "nothing: it ran"
        print(said, flush=True)
        return self._without_places(said)

    def _without_places(self, said: str) -> str:
        for place in (str(self.folder), self.ndif.url, tempfile.gettempdir()):
            said = said.replace(place, "…")
        return said


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--server", type=Path, required=True, help="interpreter of the server's virtual environment")
    parser.add_argument("--model", type=Path, default=tiny_ast_path(), help="folder of a checkpoint")
    parser.add_argument("--data", type=Path, help="folder of audio")
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--disturbed-clips", type=int, default=32, help="so many of them in runs that are disturbed")
    parser.add_argument("--clips-per-job", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--sites", default="paper")
    parser.add_argument("-k", type=int, default=16)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--undisturbed", action="store_true", help="nothing is killed, and nothing asked that is refused"
    )
    parser.add_argument("--no-write", action="store_true", help="print only")
    return parser.parse_args()


def _command() -> str:
    """The command line, without this machine's folders."""
    given = ["python", "-m", "benchmarks.real_ndif.check", *sys.argv[1:]]
    places = {"--server": "SERVER", "--model": "FOLDER", "--data": "FOLDER"}
    return shlex.join([places.get(before, each) for before, each in pairwise(["", *given])])


def _activation_bytes(model: str, dissection: Dissection) -> int:
    """What all activations at the sites take in float32: what would come home if nothing were reduced there."""
    opened = AudioModel(model)
    noise = torch.randn(opened.sampling_rate, generator=torch.Generator().manual_seed(0)).numpy()
    shapes = site_shapes(opened, opened.sites(*dissection.sites), opened.featuriser([noise]))
    return 4 * dissection.manifest.clips * sum(shape.numel() for shape in shapes.values())


def _agreement(here: Dissection, there: Dissection) -> dict[str, Any]:
    """How the kept clips of two runs agree, over all units, the highest and the lowest."""
    pairs = [
        (getattr(here[site], side), getattr(there[site], side)) for site in here.sites for side in ("top", "bottom")
    ]
    same = torch.cat([(ours.clips == theirs.clips).flatten() for ours, theirs in pairs])
    apart = torch.cat([(ours.values - theirs.values).abs().flatten() for ours, theirs in pairs])
    size = torch.cat([ours.values.abs().flatten() for ours, _ in pairs])
    return {
        "clips": there.manifest.clips,
        "ids_equal": round(same.double().mean().item(), 6),
        "largest_difference": float(f"{apart.max().item():.3g}"),
        "median_difference": float(f"{apart.median().item():.3g}"),
        "median_activation": float(f"{size.median().item():.3g}"),
    }


def _print(check: Check, rows: list[dict[str, Any]]) -> None:
    columns = ("dtype", "key", "gather", "s", "to local", "s a job", "MB up", "MB home", "of activations", "ids equal")
    title = f"local: {check.local_seconds:.1f} s; activations: {check.activations / 1e6:,.0f} MB"
    table = Table(*columns, "largest difference", title=title)
    for row in rows:
        if "failed" in row:
            table.add_row(row["dtype"], row["key"], row["gather"], "failed")
            continue
        table.add_row(
            row["dtype"], row["key"], row["gather"], f"{row['seconds']:.1f}", f"{row['ratio_to_local']:.2f}",
            f"{row['seconds_per_job']:.2f}", f"{row['wire_up'] / 1e6:.2f}", f"{row['wire_down'] / 1e6:.2f}",
            f"{row['home_share_of_activations']:.3%}", f"{row['ids_equal']:.4f}", f"{row['largest_difference']:.2g}",
        )  # fmt: skip
    Console(width=130).print(table)


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s")
