"""Which small changes of the code its tests notice: mutants of mutmut, a sample of each file, against its near tests.

Needs `pip install mutmut==3.8.1`, git, and a system that forks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ._report import write_report

ROOT = Path(__file__).parents[1]
SUBJECTS = {
    "kernels/topk.py": "kernels/test_topk.py",
    "kernels/moments.py": "kernels/test_moments.py",
    "kernels/pooling.py": "kernels/test_pooling.py",
    "kernels/average_precision.py": "kernels/test_average_precision.py",
    "kernels/correlation.py": "kernels/test_correlation.py",
    "statistics/units.py": (
        "statistics/test_units.py run/test_field_defects.py kernels/test_topk.py kernels/test_moments.py"
    ),
    "statistics/concepts.py": "statistics/test_concepts.py",
    "dissection/ties.py": "dissection/test_ties.py",
    "dissection/evidence.py": "dissection/test_exemplars.py",
    "run/session.py": "run/test_session.py run/test_dissect.py run/test_concept_runs.py run/test_contents.py",
    "explain/describe/evidence.py": "explain/describe/test_summaries.py explain/describe/test_contrast.py",
    "explain/describe/calibration.py": "explain/describe/test_calibration.py",
    "explain/labels/in_context.py": "explain/labels/test_label.py",
    "explain/evaluate/metrics.py": "explain/evaluate/test_metrics.py",
    "explain/text/log_odds.py": "explain/describe/summarizers/test_keywords.py explain/text/test_corpus.py",
}
"""Modules of the package, and the test files that are near them."""
_GENERATE = """
from pathlib import Path
from mutmut import __main__ as mutmut
from mutmut.mutation.trampoline import set_mutant_under_test
set_mutant_under_test("mutant_generation")
Path("mutants").mkdir()
mutmut.copy_src_dir()
mutmut.copy_also_copy_files()
mutmut.create_mutants(1)
"""


def write_mutants(folder: Path, modules: list[str]) -> str:
    """A copy of the last commit in `folder`, and below `mutants` one that holds every mutant; the commit's name."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    folder.mkdir(parents=True)
    subprocess.run(["tar", "x"], cwd=folder, input=archive, check=True)
    files = [f"and_nnsight/{module}" for module in modules]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(
            "\n[tool.mutmut]\nsource_paths = ['and_nnsight']\nalso_copy = ['benchmarks', 'README.md']\n"
            f"only_mutate = {files}\nuse_git_change_detection = false\n"
        )
    subprocess.run([sys.executable, "-c", _GENERATE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()


def run_mutants(folder: Path, module: str, most: int) -> dict[str, Any]:
    """What became of the mutants of one module. Raises CalledProcessError if its tests fail on the code as it is."""
    out = folder / f"{module.replace('/', '.')}.json"
    subject = {"MUTANTS": f"and_nnsight/{module}", "MOST": str(most), "MUTANTS_OUT": str(out.absolute())}
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    tests = [f"tests/{test}" for test in SUBJECTS[module].split()]
    options = "-q -x -p no:cacheprovider -p benchmarks._mutants -W ignore --tb=native".split()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "pytest", *options, *tests]
    subprocess.run(
        command, cwd=folder / "mutants", env=environment | quiet | subject, check=True, stdout=subprocess.DEVNULL
    )
    return json.loads(out.read_text(encoding="utf-8"))[f"and_nnsight/{module}"]


def summary(module: str, record: dict[str, Any]) -> dict[str, Any]:
    """A module's counts, and the mutants that no test noticed."""
    counts = Counter(mutant["status"] for mutant in record["mutants"].values())
    unnoticed = [m["difference"] for m in record["mutants"].values() if m["status"] in ("survived", "no test")]
    kinds = {"killed": counts["killed"] + counts["timeout"], "survived": len(unnoticed)}
    return {
        "module": module, "generated": record["generated"], "wording": record["wording"],
        "run": len(record["mutants"]), **kinds, "unnoticed": unnoticed,
    }  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "modules", nargs="*", default=list(SUBJECTS), help="of the package, for example kernels/topk.py"
    )
    parser.add_argument("--most", type=int, default=40, help="mutants of a module (default: 40)")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    if find_spec("mutmut") is None:
        parser.error("this needs mutmut: pip install mutmut==3.8.1")
    if unknown := set(options.modules) - set(SUBJECTS):
        parser.error(f"no near tests are known of {', '.join(sorted(unknown))}: one of {', '.join(SUBJECTS)}")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "copy"
        commit = write_mutants(folder, options.modules)
        for module in options.modules:
            rows.append(summary(module, run_mutants(folder, module, options.most)))
            print({name: value for name, value in rows[-1].items() if name != "unnoticed"})
            for difference in rows[-1]["unnoticed"]:
                print("   ", *difference, sep="\n    ")
    if not options.no_write:
        print(write_report("mutations", torch.device("cpu"), {"commit": commit, "modules": rows}, {}))


if __name__ == "__main__":
    main()
